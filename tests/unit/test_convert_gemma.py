"""Gemma 3 keeps as many rows of its embedding as its vocabulary has tokens, which config.json says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.convert.converter import convert
from data.gguf import check, read_header
from tests.unit.model_folder import write_model, write_weights

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES: dict[str, object] = {
    "added_tokens": [],
    "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
    "model": {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "vocab": {token: number for number, token in enumerate(["<unk>", "a", "b", "ab", *BYTES])},
        "merges": [["a", "b"]],
    },
}
CONFIG: dict[str, object] = {
    "architectures": ["Gemma3ForCausalLM"],
    "head_dim": 8,
    "sliding_window": 32,
    "tie_word_embeddings": True,
}
NORMS = {
    "pre_feedforward_layernorm": 32,
    "post_feedforward_layernorm": 32,
    "self_attn.q_norm": 8,
    "self_attn.k_norm": 8,
}


@pytest.mark.parametrize(("size", "rows"), [(260, 260), (300, 300), (260, 320), (280, 320)])
def test_there_is_a_row_for_each_token_and_no_more(tmp_path: Path, size: int, rows: int) -> None:
    """PIECES has 260 tokens; those up to ``size`` are unused ones."""
    weights = write_model(tmp_path / "model", config={**CONFIG, "vocab_size": size}, tokenizer=PIECES)
    weights |= {
        f"model.layers.{layer}.{name}.weight": np.ones(width, np.float32)
        for layer in range(2)
        for name, width in NORMS.items()
    }
    embedding = np.random.default_rng(1).standard_normal((rows, 32)).astype(np.float32)
    write_weights(tmp_path / "model", weights | {"model.embed_tokens.weight": embedding})
    convert(tmp_path / "model", tmp_path / "a.gguf", outtype="f32")
    header = read_header(tmp_path / "a.gguf")
    tokens = header.array("tokenizer.ggml.tokens")
    assert check(header) == ()
    assert tokens is not None
    assert len(list(tokens.texts())) == size
    (found,) = (tensor for tensor in header.tensors if tensor.name == "token_embd.weight")
    assert found.shape == (32, size)
    raw = (tmp_path / "a.gguf").read_bytes()[header.data_offset + found.offset :][: found.size_bytes]
    assert raw == embedding[:size].tobytes()
