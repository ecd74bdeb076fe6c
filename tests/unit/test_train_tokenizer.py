"""The tokenizer before a training or an export: classes that transformers 5 reads otherwise than tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.export.caution import warnings
from backend.export.plan import draft
from backend.export.source import read_source
from backend.lf.find import LlamaFactory
from backend.lf.schema import snapshot
from backend.lf.tokenizer import is_byte_level, misread
from backend.train.preflight import export_checks, train_checks
from tests.unit.adapter_run import CHECKPOINT, write_adapter_run

BYTES: dict[str, object] = {"type": "ByteLevel", "use_regex": True}
LLAMA3: dict[str, object] = {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\s+"}}
GPT2: dict[str, object] = {
    "type": "Split",
    "pattern": {"Regex": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"},
}
DIGITS: dict[str, object] = {"type": "Digits", "individual_digits": True}
METASPACE: dict[str, object] = {"type": "Metaspace", "replacement": "▁"}
OF_BYTES, OF_PIECES = {"a": 0, "Ġ": 1, "Ġa": 2}, {"▁": 0, "<0x00>": 1, "Ġ": 2}


def write(
    folder: Path, name: str, *rules: dict[str, object], vocab: dict[str, int] = OF_BYTES, ascii_only: bool = False
) -> Path:
    """Write a folder whose tokenizer has the class ``name`` and cuts by ``rules``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    tokenizer = {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": rules},
        "model": {"type": "BPE", "vocab": vocab},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=ascii_only))
    return folder


def found(folder: Path, transformers: str) -> dict[str, str]:
    """Return the tokenizer's findings of a training in ``folder`` and of an export of it, which are the same."""
    lf = LlamaFactory(
        Path("/opt/env/bin/python"), "0.9.5", "settings", {"torch": "2.11.0", "transformers": transformers}
    )
    args: dict[str, object] = {"model_name_or_path": str(folder), "output_dir": str(folder / "out")}
    common = {"workspace": folder, "lf": lf, "schema": snapshot(), "environ": {}}
    trained = train_checks(args, **common)  # type: ignore[arg-type]
    exported = export_checks(args, **common)  # type: ignore[arg-type]
    one, other = (
        {check.id: check.level for check in checks if check.id.startswith("tokenizer.")}
        for checks in (trained, exported)
    )
    assert one == other
    return one


@pytest.mark.parametrize("name", ["LlamaTokenizer", "LlamaTokenizerFast"])
def test_a_byte_level_tokenizer_that_would_lose_its_spaces_is_refused(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "model", name, LLAMA3, BYTES)
    assert found(folder, "5.6.0") == {"tokenizer.spaces": "error"}
    assert found(folder, "5.13.0") == {"tokenizer.spaces": "warning"}
    assert found(folder, "4.57.1") == {}
    assert found(write(folder, "PreTrainedTokenizerFast", LLAMA3, BYTES), "5.6.0") == {}


def test_the_remedy_names_the_file_and_the_class(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "LlamaTokenizer", BYTES)
    lf = LlamaFactory(tmp_path, "0.9.5", "settings", {"torch": "2.11.0", "transformers": "5.6.0"})
    args: dict[str, object] = {"model_name_or_path": str(folder)}
    checks = export_checks(args, workspace=tmp_path, lf=lf, schema=snapshot(), environ={})
    (remedy,) = (str(check.remedy) for check in checks if check.id == "tokenizer.spaces")
    assert remedy == f"In {folder / 'tokenizer_config.json'}, set tokenizer_class to PreTrainedTokenizerFast."


def test_a_job_that_waits_for_its_model_is_not_judged_by_what_lies_there_now(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "LlamaTokenizer", BYTES)
    lf = LlamaFactory(tmp_path, "0.9.5", "settings", {"torch": "2.11.0", "transformers": "5.6.0"})
    args: dict[str, object] = {"model_name_or_path": str(folder)}
    checks = export_checks(args, workspace=tmp_path, lf=lf, schema=snapshot(), after=["j"], environ={})
    assert "tokenizer.spaces" not in {check.id for check in checks}


@pytest.mark.parametrize(
    ("name", "rules", "vocab", "expected"),
    [
        ("LlamaTokenizerFast", [BYTES], OF_BYTES, "pieces"),
        ("LlamaTokenizer", [METASPACE], OF_BYTES, "saved"),
        ("LlamaTokenizerFast", [METASPACE], OF_PIECES, None),
        ("GPT2Tokenizer", [LLAMA3, BYTES], OF_BYTES, "rule"),
        ("GPT2Tokenizer", [GPT2, BYTES], OF_BYTES, None),
        ("GPT2Tokenizer", [DIGITS, BYTES], OF_BYTES, None),
        ("Qwen2Tokenizer", [LLAMA3, BYTES], OF_BYTES, None),
    ],
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_it_is_known_which_tokenizers_are_read_otherwise(
    tmp_path: Path,
    name: str,
    rules: list[dict[str, object]],
    vocab: dict[str, int],
    expected: str | None,
    *,
    ascii_only: bool,
) -> None:
    assert misread(write(tmp_path, name, *rules, vocab=vocab, ascii_only=ascii_only)) == expected


def test_another_rule_than_the_models_own_is_only_warned_of(tmp_path: Path) -> None:
    assert found(write(tmp_path / "model", "GPT2Tokenizer", LLAMA3, BYTES), "5.6.0") == {"tokenizer.rule": "warning"}


def test_the_class_may_stand_in_config_json_and_code_of_the_folder_goes_before_it(tmp_path: Path) -> None:
    folder = write(tmp_path, "", BYTES)
    (folder / "config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    assert misread(folder) == "pieces"
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer", "auto_map": {"a": "b"}}')
    assert misread(folder) is None


@given(st.dictionaries(st.sampled_from(["a", "Ġ", "▁", "<0x00>", '"Ġ": 1', "\\u0120"]), st.integers(0, 9)))
def test_a_vocabulary_is_known_from_the_file_as_from_its_tokens(
    tmp_path_factory: pytest.TempPathFactory, vocab: dict[str, int]
) -> None:
    folder = write(tmp_path_factory.mktemp("model"), "LlamaTokenizer", BYTES, vocab=vocab)
    assert (misread(folder) == "pieces") == is_byte_level(vocab)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"tokenizer_class": 5}'])
def test_files_that_are_no_tokenizers_are_somebody_elses_to_judge(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path, "LlamaTokenizer", BYTES)
    (folder / "tokenizer.json").write_text(text)
    assert misread(folder) is None
    (folder / "tokenizer_config.json").write_text(text)
    assert misread(folder) is None


def test_an_adapter_that_was_trained_without_spaces_is_told_before_its_export(tmp_path: Path) -> None:
    write_adapter_run(tmp_path)
    plan = draft(read_source(tmp_path / CHECKPOINT), tmp_path)
    args: dict[str, object] = {"adapter_name_or_path": str(CHECKPOINT)}

    def said() -> list[str]:
        checks = export_checks(args, workspace=tmp_path, lf=None, schema=snapshot(), environ={})
        told = [str(check.message) for check in checks if check.id == "adapter.tokenizer"]
        assert told == [str(note) for note in warnings(plan, None, has_gpu=True) if "as /" in str(note)]
        return told

    write(tmp_path / CHECKPOINT, "PreTrainedTokenizerFast", BYTES)
    assert said() == []
    write(tmp_path / CHECKPOINT, "LlamaTokenizer", METASPACE)
    (note,) = said()
    assert f"as {tmp_path / CHECKPOINT} shows" in note
