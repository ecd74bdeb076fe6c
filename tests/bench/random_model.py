"""A model of random weights in Hugging Face's form, as large as asked for, under a real vocabulary; without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from tests import vocabularies

_POOL: Final = 1 << 24  # random numbers that the weights are cut from
_WRITE_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """A Llama model; the embedding is tied, as in most small ones."""

    name: str
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: str
    rows: int

    def config(self) -> dict[str, object]:
        """Return config.json."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "vocab_size": self.rows,
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.width // self.heads,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
            "tie_word_embeddings": True,
            "hidden_act": "silu",
            "bos_token_id": 0,
            "eos_token_id": 0,
        }

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the weights in the order in which safetensors stores them: by name."""
        narrow = self.width // self.heads * self.kv_heads
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.rows, self.width),
            "model.norm.weight": (self.width,),
        }
        for layer in range(self.layers):
            found |= {
                f"model.layers.{layer}.{name}.weight": shape
                for name, shape in {
                    "self_attn.q_proj": (self.width, self.width),
                    "self_attn.k_proj": (narrow, self.width),
                    "self_attn.v_proj": (narrow, self.width),
                    "self_attn.o_proj": (self.width, self.width),
                    "mlp.gate_proj": (self.inner, self.width),
                    "mlp.up_proj": (self.inner, self.width),
                    "mlp.down_proj": (self.width, self.inner),
                    "input_layernorm": (self.width,),
                    "post_attention_layernorm": (self.width,),
                }.items()
            }
        yield from sorted(found.items())


SMALL: Final = Sizes("135M", 576, 1536, 30, 9, 3, "starcoder", 49152)
LARGE: Final = Sizes("1.4B", 2048, 5632, 26, 32, 8, "llama-bpe", 128256)


def write(sizes: Sizes, folder: Path) -> int:
    """Write config.json, the tokenizer and model.safetensors in bfloat16; return the bytes of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(sizes.config()), encoding="utf-8")
    vocabularies.write_bpe(sizes.vocabulary, folder, template=False)
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in sizes.shapes():
        size = 2 * prod(shape)
        entries[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for piece in _numbers(offset // 2):
            stream.write(piece)
    return offset


def _numbers(count: int) -> Iterator[memoryview]:
    """Yield ``count`` normally distributed bfloat16, pieces of one random pool from places that differ each time."""
    random = np.random.default_rng(1)
    floats = random.standard_normal(_POOL, dtype=np.float32) * np.float32(0.02)
    pool = (floats.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    del floats
    step = _WRITE_BYTES // 2
    while count:
        first = int(random.integers(0, _POOL - step))
        piece = pool[first : first + min(step, count)]
        yield piece.view(np.uint8).data
        count -= len(piece)
