"""What GGUFs are called: as gguf's own functions name them, for llama.cpp's script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf.metadata import Metadata
from gguf.utility import naming_convention, size_label
from hypothesis import assume, example, given
from hypothesis import strategies as st

from backend.convert.converter import convert
from backend.convert.naming import counts_of, file_name, title_of
from backend.convert.plan import Counts
from data.gguf import read_header
from tests.unit.llama_cpp_folder import write_unknown_model
from tests.unit.model_folder import write_model
from tui.commands.convert import default_target

SMOLLM = Counts(134_515_008, 134_515_008, 0, 0)
QWEN = Counts(494_032_768, 494_032_768, 0, 0)
MIXTRAL = Counts(46_702_792_704, 1_604_000_000, 5_637_000_000, 8)
TITLES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=60)
WORDS = ["SmolLM2", "robin", "7B", "8x7b", "135m", "Instruct", "lora", "v0.1", "4k", "mini", "BF16", "2026", "中文"]
PARTS = st.lists(st.sampled_from([*WORDS, ""]), min_size=1, max_size=6).map("-".join)
TYPES = st.sampled_from(["bf16", "f16", "f32", "q8_0", "q4_k_m", "iq2_xxs"])
COUNTS = st.sampled_from([SMOLLM, QWEN, MIXTRAL, Counts(560, 560, 0, 0)])


@pytest.mark.parametrize(
    ("title", "outtype", "counts", "name"),
    [
        ("SmolLM2-135M-Instruct-sft", "bf16", SMOLLM, "SmolLM2-135M-Instruct-sft-BF16"),
        ("smollm2-135m-instruct-sft", "q8_0", SMOLLM, "smollm2-135M-instruct-sft-Q8_0"),
        ("Qwen2.5-0.5B-Instruct-sft-checkpoint-600", "f16", QWEN, "Qwen2.5-0.5B-Instruct-sft-checkpoint-600-F16"),
        ("robin", "q4_k_m", SMOLLM, "robin-135M-Q4_K_M"),
        ("robin-checkpoint-5", "f16", SMOLLM, "robin-135M-checkpoint-5-F16"),
        ("Mixtral-8x7B-v0.1-sft-checkpoint-5", "bf16", MIXTRAL, "Mixtral-8x7B-sft-checkpoint-5-v0.1-BF16"),
        ("moe", "f16", MIXTRAL, "moe-8x7.2B-F16"),
        ("Qwen2.5-0.5B-sft", "f16", None, "Qwen2.5-0.5B-sft-F16"),  # the weights are elsewhere
        ("robin", "f16", None, "robin-F16"),
        ("robin", None, None, "robin"),
        ("my first model", "f16", SMOLLM, "my-first-model-135M-F16"),
        ("模型", "f16", SMOLLM, "模型-135M-F16"),
    ],
)
def test_a_file_is_named_by_base_size_finetune_version_and_encoding(
    title: str, outtype: str | None, counts: Counts | None, name: str
) -> None:
    assert file_name(title, outtype, counts) == f"{name}.gguf"


def test_an_adapters_file_says_that_it_is_one() -> None:
    assert file_name("SmolLM2-135M-sft", "f16", is_adapter=True) == "SmolLM2-135M-sft-F16-LoRA.gguf"
    assert file_name("SmolLM2-135M-lora", "f32", is_adapter=True) == "SmolLM2-135M-F32-LoRA.gguf"


def by_the_script(title: str, outtype: str, counts: Counts) -> str:
    """Return the name that convert_hf_to_gguf.py --model-name TITLE gives to the GGUF of a folder of that name."""
    metadata = Metadata.load(None, Path("/nowhere") / title, title, counts.total)
    if metadata.size_label is None:
        metadata.size_label = size_label(counts.total, counts.shared, counts.expert, counts.experts)
    parts = metadata.basename, metadata.finetune, metadata.version, metadata.size_label
    return naming_convention(metadata.name, *parts, outtype.upper()) + ".gguf"


@given(PARTS | TITLES, TYPES, COUNTS)
@example("robin-v2", "f16", SMOLLM)
def test_the_name_is_that_of_llama_cpps_script(title: str, outtype: str, counts: Counts) -> None:
    assume(title not in {"", ".", ".."})
    assume("checkpoint-" not in title)
    assert file_name(title, outtype, counts) == by_the_script(title, outtype, counts)


@given(PARTS | TITLES, TYPES, st.none() | COUNTS, st.booleans())
def test_any_title_gives_one_name_of_a_file_that_differs_with_the_type(
    title: str, outtype: str, counts: Counts | None, adapter: bool
) -> None:
    name = file_name(title, outtype, counts, is_adapter=adapter)
    assert name == Path(name).name
    assert f"-{outtype.upper()}" in name
    assert name.endswith("-LoRA.gguf" if adapter else ".gguf")
    assert name == file_name(title, outtype, counts, is_adapter=adapter)


def test_weights_are_counted_as_the_gguf_will_hold_them(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    counts = counts_of(tmp_path / "model")
    assert counts is not None
    convert(tmp_path / "model", tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    label = str(header.keys["general.size_label"])
    assert file_name("robin", "f16", counts) == f"robin-{label}-F16.gguf"


def test_a_model_that_is_not_known_is_counted_too_and_one_that_cannot_be_read_is_not(tmp_path: Path) -> None:
    write_unknown_model(tmp_path / "unknown")
    counts = counts_of(tmp_path / "unknown")
    assert counts is not None
    assert counts.total > 0
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    assert counts_of(tmp_path / "pickled") is None
    assert counts_of(tmp_path / "absent") is None


def test_a_checkpoint_bears_the_name_of_its_run() -> None:
    assert title_of(Path("/w/saves/sft/checkpoint-5")) == "sft-checkpoint-5"
    assert title_of(Path("/w/saves/sft/checkpoint-5"), "/models/SmolLM2-135M/") == "SmolLM2-135M-sft-checkpoint-5"
    assert title_of(Path("/w/saves/sft"), "owner/base") == "base-sft"


def test_a_snapshot_of_the_hugging_face_cache_bears_the_name_of_its_repository(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--Qwen--Qwen2.5-0.5B-Instruct" / "snapshots" / "7ae557604adf67be50417f59c2c2f167"
    write_model(snapshot)
    assert title_of(snapshot) == "Qwen2.5-0.5B-Instruct"
    assert title_of(Path("/w/saves/sft"), str(snapshot)) == "Qwen2.5-0.5B-Instruct-sft"
    target = default_target(snapshot, "bf16").name
    assert (target.startswith("Qwen2.5-"), "7ae5" in target) == (True, False)
    convert(snapshot, tmp_path / "a.gguf")
    keys = read_header(tmp_path / "a.gguf").keys
    assert (keys["general.name"], keys["general.basename"]) == ("Qwen2.5 0.5B Instruct", "Qwen2.5")
    assert not any("7ae5" in str(value) for value in keys.values())
    convert(snapshot, tmp_path / "b.gguf", name="Robin")
    assert read_header(tmp_path / "b.gguf").keys["general.name"] == "Robin"


def test_a_conversion_without_a_target_writes_beside_its_model(tmp_path: Path) -> None:
    write_model(tmp_path / "robin")
    assert default_target(tmp_path / "robin", "q8_0") == tmp_path / "robin" / "robin-35K-Q8_0.gguf"
    adapter = tmp_path / "sft"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/Llama-3.2-1B"}))
    assert default_target(adapter, "f16", adapter=True) == adapter / "Llama-3.2-1B-sft-F16-LoRA.gguf"
    told = default_target(adapter, "f16", tmp_path / "robin", adapter=True)
    assert told == adapter / "robin-sft-F16-LoRA.gguf"
