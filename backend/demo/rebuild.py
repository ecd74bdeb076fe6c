"""Turn the demo's GGUF back into a Hugging Face folder that LLaMA-Factory trains from: bf16 weights, its own tokenizer.

No torch: LLaMA-Factory's environment lacks the ``gguf`` package that transformers needs for this, and importing
transformers alone costs more than the work. transformers 5.6 also makes a wrong tokenizer of a GGUF (digits are
no longer split, EOS becomes ``<|im_start|>``), so the tokenizer is rebuilt from the GGUF's own keys.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor
from gguf.quants import dequantize, quantize

_CONTROL: Final = 3  # the token type of llama.cpp for special tokens
_CONTEXT: Final = "llama.context_length"

# llama.cpp's names of the tensors (gguf-py `tensor_mapping.py`) and those of transformers' LlamaForCausalLM.
_OUTSIDE: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_IN_LAYER: Final = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_LAYER: Final = re.compile(r"blk\.(\d+)\.(\w+)\.weight")

Progress = Callable[[int, int], None]


def rebuild(gguf: Path, folder: Path, progress: Progress) -> None:
    """Write config, weights and tokenizer of the Llama model in ``gguf`` into the existing ``folder``.

    ``progress`` is called with bytes written and bytes in all. Raises ValueError or KeyError when the file is not
    a Llama-family model with a byte-level BPE vocabulary, OSError when it cannot be read or written.
    """
    reader = GGUFReader(gguf)
    keys = _Keys(reader)
    if keys.text("general.architecture") != "llama" or keys.text("tokenizer.ggml.model") != "gpt2":
        msg = f"{gguf.name}: expected architecture llama with a gpt2 vocabulary"
        raise ValueError(msg)
    names = {tensor.name for tensor in reader.tensors}
    _write_json(folder / "config.json", config(keys, tied="output.weight" not in names))
    _write_json(folder / "generation_config.json", generation_config(keys))
    _write_json(folder / "tokenizer.json", tokenizer(keys))
    _write_json(folder / "tokenizer_config.json", tokenizer_config(keys))
    (folder / "chat_template.jinja").write_text(keys.text("tokenizer.chat_template"), encoding="utf-8")
    _write_weights(folder / "model.safetensors", reader.tensors, keys, progress)


class _Keys:
    """The keys of a GGUF, each taken as the type that its reader expects."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields

    def _value(self, name: str) -> object:
        return cast("object", self._fields[name].contents())

    def text(self, name: str) -> str:
        return str(self._value(name))

    def number(self, name: str) -> int:
        return int(cast("int", self._value(name)))

    def real(self, name: str) -> float:
        return float(cast("float", self._value(name)))

    def texts(self, name: str) -> list[str]:
        return cast("list[str]", self._value(name))

    def numbers(self, name: str) -> list[int]:
        return cast("list[int]", self._value(name))


def config(keys: _Keys, *, tied: bool) -> dict[str, object]:
    """Return config.json of transformers' LlamaForCausalLM; ``rope_theta`` stands where both 4.x and 5.x find it.

    ``dtype`` is what the bf16 weights are loaded as. LLaMA-Factory 0.9.5 computes in it whatever its own arguments
    say, and many CPUs have no bf16 arithmetic: there float32 is several times faster.
    """
    theta = keys.real("llama.rope.freq_base")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": keys.number("llama.vocab_size"),
        "hidden_size": keys.number("llama.embedding_length"),
        "intermediate_size": keys.number("llama.feed_forward_length"),
        "num_hidden_layers": keys.number("llama.block_count"),
        "num_attention_heads": keys.number("llama.attention.head_count"),
        "num_key_value_heads": keys.number("llama.attention.head_count_kv"),
        "max_position_embeddings": keys.number(_CONTEXT),
        "rms_norm_eps": keys.real("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        **_special_ids(keys),
    }


def generation_config(keys: _Keys) -> dict[str, object]:
    """Return generation_config.json: only the special ids, so that decoding stays greedy unless asked otherwise."""
    return dict(_special_ids(keys))


def _special_ids(keys: _Keys) -> dict[str, int]:
    return {
        "bos_token_id": keys.number("tokenizer.ggml.bos_token_id"),
        "eos_token_id": keys.number("tokenizer.ggml.eos_token_id"),
        "pad_token_id": keys.number("tokenizer.ggml.padding_token_id"),
    }


def tokenizer(keys: _Keys) -> dict[str, object]:
    """Return tokenizer.json: BPE over the GGUF's tokens and merges, digits split one by one, then byte level."""
    tokens = keys.texts("tokenizer.ggml.tokens")
    types = keys.numbers("tokenizer.ggml.token_type")
    byte_level: dict[str, object] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level["use_regex"] = True
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind == _CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": dict(byte_level),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in keys.texts("tokenizer.ggml.merges")],
        },
    }


def tokenizer_config(keys: _Keys) -> dict[str, object]:
    """Return tokenizer_config.json.

    The class is not GPT2Tokenizer: that of transformers 5.6 puts its own pre-tokenizer in place of tokenizer.json's,
    and a merged model would be saved without the splitting of digits. ``add_prefix_space`` is read by llama.cpp only.
    """
    tokens = keys.texts("tokenizer.ggml.tokens")
    named = {
        f"{role}_token": tokens[keys.number(f"tokenizer.ggml.{key}_token_id")]
        for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "model_max_length": keys.number(_CONTEXT),
        **named,
    }


def tensor_name(name: str) -> str:
    """Return transformers' name of llama.cpp's tensor ``name``; raises KeyError for one that Llama does not have."""
    layer = _LAYER.fullmatch(name)
    if layer:
        return f"model.layers.{layer[1]}.{_IN_LAYER[layer[2]]}.weight"
    return f"{_OUTSIDE[name.removesuffix('.weight')]}.weight"


def unpermuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's reordering of q and k rows for rope (`convert_hf_to_gguf.py`, ``LlamaModel.permute``)."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_weights(path: Path, tensors: list[ReaderTensor], keys: _Keys, progress: Progress) -> None:
    """Write safetensors: 8 bytes length of the header, the header in JSON padded to 8 bytes, the data without gaps."""
    ordered = sorted(tensors, key=lambda tensor: tensor_name(tensor.name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in ordered:
        end = offset + 2 * int(tensor.n_elements)
        shape = [int(size) for size in reversed(tensor.shape)]
        header[tensor_name(tensor.name)] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    written = 0
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(head)) + head)
        for tensor in ordered:
            written += stream.write(_bf16(tensor, keys).tobytes())
            progress(written, offset)


def _bf16(tensor: ReaderTensor, keys: _Keys) -> np.ndarray:
    weights = dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("attn_q.weight"):
        weights = unpermuted(weights, keys.number("llama.attention.head_count"))
    elif tensor.name.endswith("attn_k.weight"):
        weights = unpermuted(weights, keys.number("llama.attention.head_count_kv"))
    return quantize(np.ascontiguousarray(weights, dtype=np.float32), GGMLQuantizationType.BF16)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
