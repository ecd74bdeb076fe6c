"""A whole little Hugging Face folder, made without torch: config.json, safetensors, a byte-level tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

RAW = {"F32": np.float32, "F16": np.float16}
CONFIG: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 256,
    "eos_token_id": 257,
}


def shapes(config: Mapping[str, object] = CONFIG) -> dict[str, tuple[int, ...]]:
    """Return the weights of a Llama model and their shapes."""
    width, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads, layers = config["num_attention_heads"], config["num_key_value_heads"], config["num_hidden_layers"]
    assert isinstance(width, int)
    assert isinstance(inner, int)
    assert isinstance(rows, int)
    assert isinstance(heads, int)
    assert isinstance(kv_heads, int)
    assert isinstance(layers, int)
    narrow = width // heads * kv_heads
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, width), "model.norm.weight": (width,)}
    found["lm_head.weight"] = (rows, width)
    for layer in range(layers):
        inside = f"model.layers.{layer}."
        found |= {
            f"{inside}self_attn.q_proj.weight": (width, width),
            f"{inside}self_attn.k_proj.weight": (narrow, width),
            f"{inside}self_attn.v_proj.weight": (narrow, width),
            f"{inside}self_attn.o_proj.weight": (width, width),
            f"{inside}input_layernorm.weight": (width,),
            f"{inside}post_attention_layernorm.weight": (width,),
            f"{inside}mlp.gate_proj.weight": (inner, width),
            f"{inside}mlp.up_proj.weight": (inner, width),
            f"{inside}mlp.down_proj.weight": (width, inner),
        }
    return found


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """Write name -> (dtype, shape, bytes)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(raw for _, _, raw in tensors.values()))


def write_model(
    folder: Path,
    *,
    config: Mapping[str, object] | None = None,
    dtype: str = "F32",
    shards: int = 1,
    seed: int = 3,
    tokenizer: Mapping[str, object] | None = None,
) -> dict[str, np.ndarray]:
    """Write a model folder and return its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**CONFIG, **(config or {})}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    random = np.random.default_rng(seed)
    wanted = {
        name: shape
        for name, shape in shapes(settings).items()
        if not (settings.get("tie_word_embeddings") and name == "lm_head.weight")
    }
    weights = {name: random.standard_normal(shape).astype(RAW[dtype]) for name, shape in wanted.items()}
    write_weights(folder, weights, dtype=dtype, shards=shards)
    write_tokenizer(folder, tokenizer)
    return weights


def write_weights(folder: Path, weights: Mapping[str, np.ndarray], *, dtype: str = "F32", shards: int = 1) -> None:
    """Write model.safetensors, or shards with their index."""
    raw = {name: (dtype, value.shape, value.tobytes()) for name, value in weights.items()}
    if shards == 1:
        write_safetensors(folder / "model.safetensors", raw)
        return
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(raw.items())[number::shards])
        write_safetensors(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_adapter(
    folder: Path,
    base: Path,
    shapes: Mapping[str, Sequence[int]],
    rank: int,
    random: np.random.Generator,
    changes: Mapping[str, object] | None = None,
) -> dict[str, np.ndarray]:
    """Write a PEFT folder with a LoRA of the matrices in ``shapes``, and return its weights by their names there."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": 2 * rank,
        "use_dora": False,
        "use_rslora": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "alpha_pattern": {},
        "rank_pattern": {},
        **(changes or {}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    weights: dict[str, np.ndarray] = {}
    for name, (rows, columns) in shapes.items():
        inside = f"base_model.model.{name}.lora"
        weights[f"{inside}_A.weight"] = random.standard_normal((rank, columns)).astype(np.float32)
        weights[f"{inside}_B.weight"] = random.standard_normal((rows, rank)).astype(np.float32)
    raw = {name: ("F32", value.shape, value.tobytes()) for name, value in weights.items()}
    write_safetensors(folder / "adapter_model.safetensors", raw)
    return weights


def byte_letters() -> list[str]:
    """Return the letters that stand for the bytes 0 to 255 in a byte-level vocabulary (GPT-2's table)."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) if byte in kept else chr(256 + others.index(byte)) for byte in range(256)]


def write_tokenizer(folder: Path, changes: Mapping[str, object] | None = None) -> None:
    """Write a byte-level tokenizer with GPT-2's rule, one merge and two control tokens; ``changes`` replace parts."""
    letters = byte_letters()
    vocab = {letter: number for number, letter in enumerate(letters)}
    vocab["ab"] = 258
    control = [("<|im_start|>", 256), ("<|im_end|>", 257)]
    vocab |= dict(control)  # as in models whose added tokens do not come last
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer: dict[str, object] = {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": text, **flags} for text, number in control],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]]},
        **(changes or {}),
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
