"""A config.json that does not fit its weights: refused before anything is written, and found in a finished file."""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.convert.converter import convert
from backend.convert.planning import make_plan
from data.errors import RequestError
from data.gguf import Header, check, read_header
from data.gguf.shapes import MAX_LAYERS, misfits
from tests.unit.model_folder import write_model, write_weights

QWEN3: dict[str, object] = {"architectures": ["Qwen3ForCausalLM"], "head_dim": 8, "tie_word_embeddings": True}
MIXED: dict[str, object] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "head_dim": 8,
    "num_experts": 3,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 64,
}


def change(folder: Path, entry: str, value: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, entry: value}))


def write_qwen3(folder: Path) -> None:
    weights = write_model(folder, config=QWEN3)
    norms = [f"model.layers.{layer}.self_attn.{part}_norm.weight" for layer in range(2) for part in "qk"]
    write_weights(folder, weights | {name: np.ones(8, np.float32) for name in norms})


def write_mixed(folder: Path) -> None:
    weights = write_model(folder, config=MIXED)
    weights = {name: value for name, value in weights.items() if ".mlp." not in name}
    for layer in range(2):
        inside = f"model.layers.{layer}."
        weights |= {f"{inside}self_attn.{part}_norm.weight": np.ones(8, np.float32) for part in "qk"}
        weights[f"{inside}mlp.gate.weight"] = np.ones((3, 32), np.float32)
        for expert in range(3):
            place = f"{inside}mlp.experts.{expert}."
            weights |= {f"{place}{part}_proj.weight": np.ones((64, 32), np.float32) for part in ("gate", "up")}
            weights[f"{place}down_proj.weight"] = np.ones((32, 64), np.float32)
    write_weights(folder, weights)


@pytest.mark.parametrize(
    ("entry", "value", "weight"),
    [
        ("intermediate_size", 4096, "mlp.down_proj.weight"),
        ("head_dim", 64, "self_attn.k_norm.weight"),
        ("num_key_value_heads", 4, "self_attn.k_proj.weight"),
        ("num_attention_heads", 3, "self_attn.o_proj.weight"),
        ("hidden_size", 48, "embed_tokens.weight"),
    ],
)
def test_the_weight_and_the_entry_that_do_not_fit_are_named_before_anything_is_written(
    tmp_path: Path, entry: str, value: int, weight: str
) -> None:
    write_qwen3(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "right.gguf")
    change(tmp_path / "model", entry, value)
    with pytest.raises(RequestError) as caught:
        convert(tmp_path / "model", tmp_path / "out" / "a.gguf")
    assert weight in caught.value.title.english()
    assert entry in caught.value.detail.english()
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("entry", "value"), [("moe_intermediate_size", 96), ("num_experts_per_tok", math.inf)])
def test_experts_are_compared_too(tmp_path: Path, entry: str, value: float) -> None:
    write_mixed(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "right.gguf")
    assert check(tmp_path / "right.gguf") == ()
    change(tmp_path / "model", entry, value)
    with pytest.raises(RequestError, match=entry):
        make_plan(tmp_path / "model")


@pytest.mark.parametrize(
    ("entry", "written"),
    [("rms_norm_eps", "NaN"), ("rms_norm_eps", "-1e-5"), ("rms_norm_eps", "1e39"), ("rope_theta", "1e400")],
)
def test_numbers_that_no_model_has_are_refused(tmp_path: Path, entry: str, written: str) -> None:
    write_qwen3(tmp_path / "model")
    change(tmp_path / "model", entry, 12345)
    file = tmp_path / "model" / "config.json"
    file.write_text(file.read_text().replace("12345", written))
    with pytest.raises(RequestError, match=f"no usable .*{entry}"):
        convert(tmp_path / "model", tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("rope", "said"),
    [
        ({"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 1e20}, "original_context_length"),
        ({"rope_type": "llama3", "factor": 0}, "factor"),
        ({"rope_type": "llama3", "high_freq_factor": 0}, "high_freq_factor"),
        ({"rope_type": "llama3", "low_freq_factor": math.nan}, "low_freq_factor"),
        ({"rope_type": "default", "mrope_section": [1e20, 1, 1]}, "mrope_section"),
    ],
)
def test_a_rope_that_no_model_has_is_refused(tmp_path: Path, rope: dict[str, object], said: str) -> None:
    write_model(tmp_path / "model", config={"rope_scaling": rope})
    with pytest.raises(RequestError, match=f"no usable .*{said}"):
        make_plan(tmp_path / "model")


def test_a_weight_without_numbers_is_refused(tmp_path: Path) -> None:
    weights = write_model(tmp_path / "model")
    write_weights(tmp_path / "model", weights | {"model.norm.weight": np.ones((2**20, 0), np.float32)})
    with pytest.raises(RequestError, match=r"model\.norm\.weight is empty"):
        convert(tmp_path / "model", tmp_path / "a.gguf")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


COUNTS = ("num_hidden_layers", "head_dim", "num_attention_heads", "num_key_value_heads", "vocab_size", "num_experts")


@pytest.mark.parametrize("architecture", ["Llama", "Llama4", "Qwen3", "Qwen2Moe", "Mixtral", "Olmo2", "DeepseekV2"])
@pytest.mark.parametrize("entry", [*COUNTS, "num_local_experts", "n_routed_experts", "hidden_size"])
@pytest.mark.parametrize("count", [MAX_LAYERS, 2**32 - 1])
def test_a_large_count_is_refused_at_once(model: Path, architecture: str, entry: str, count: int) -> None:
    rope = {"rope_type": "llama3", "factor": 8.0}
    config = {"architectures": [f"{architecture}ForCausalLM"], "rope_scaling": rope, entry: count}
    refused_at_once(model, config)


@given(st.dictionaries(st.sampled_from(COUNTS), st.integers(1, 2**40), min_size=1))
@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_whatever_counts_are_refused_at_once(model: Path, counts: dict[str, int]) -> None:
    refused_at_once(model, counts)


def refused_at_once(model: Path, config: dict[str, Any]) -> None:
    """Make a plan of it, in much less time than a list of so many things would take."""
    old = (model / "config.json").read_text()
    (model / "config.json").write_text(json.dumps({**json.loads(old), **config}))
    began = time.monotonic()
    try:
        with contextlib.suppress(RequestError):
            make_plan(model)
        assert time.monotonic() - began < 2
    finally:
        (model / "config.json").write_text(old)


@pytest.fixture
def header(tmp_path: Path) -> Header:
    write_model(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "a.gguf")
    return read_header(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("key", "value", "tensor", "shape"),
    [
        ("feed_forward_length", 4096, "blk.0.ffn_down.weight", "(64, 32)"),
        ("attention.head_count", 3, "blk.0.attn_output.weight", "(32, 32)"),
        ("attention.head_count_kv", 4, "blk.0.attn_k.weight", "(32, 16)"),
        ("attention.key_length", 16, "blk.0.attn_q.weight", "(32, 32)"),
        ("embedding_length", 48, "token_embd.weight", "(32, 260)"),
    ],
)
def test_the_check_names_tensor_shape_and_key(header: Header, key: str, value: int, tensor: str, shape: str) -> None:
    assert check(header) == ()
    problems = check(replace(header, keys={**header.keys, f"llama.{key}": value}))
    assert {problem.rule for problem in problems} == {"model.shapes"}
    told = [str(problem.message) for problem in problems]
    assert any(tensor in line and shape in line and f"llama.{key}" in line for line in told)
    assert len(told) < len(header.tensors) - 8, "each kind of tensor is told once, not once a layer"


@pytest.mark.parametrize(("key", "value"), [("attention.layer_norm_rms_epsilon", -1.0), ("rope.freq_base", math.inf)])
def test_the_check_finds_numbers_that_no_model_has(header: Header, key: str, value: float) -> None:
    problems = check(replace(header, keys={**header.keys, f"llama.{key}": value}))
    assert [problem.rule for problem in problems] == ["model.numbers"]


def test_keys_may_differ_from_layer_to_layer() -> None:
    keys: dict[str, object] = {"llama.embedding_length": 8, "llama.feed_forward_length": [16, 24]}
    shapes = [("blk.0.ffn_up.weight", (8, 16)), ("blk.1.ffn_up.weight", (8, 24)), ("blk.2.ffn_up.weight", (8, 5))]
    assert list(misfits("llama", keys, shapes)) == []
    (found,) = misfits("llama", keys, [("blk.1.ffn_up.weight", (8, 16))])
    assert (found.wanted, found.keys) == ((8, 24), ("feed_forward_length",))


def test_architectures_that_are_not_known_and_keys_that_are_missing_are_left_alone() -> None:
    shapes = [("blk.0.ffn_up.weight", (8, 16))]
    assert list(misfits("mamba", {"mamba.embedding_length": 9}, shapes)) == []
    assert list(misfits("llama", {"llama.embedding_length": 8}, shapes)) == []
