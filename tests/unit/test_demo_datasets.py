"""The bundled datasets: rows that LLaMA-Factory keeps, two languages, a name that only the identity rows say."""

from __future__ import annotations

import json
import re

import pytest

from backend.demo.recipe import QUESTION, TRAINED_NAME
from data.demo import FOLDER, GENERAL, IDENTITY

HAN = re.compile(r"[\u4e00-\u9fff]")


def info() -> dict[str, dict[str, object]]:
    return json.loads((FOLDER / "dataset_info.json").read_text(encoding="utf-8"))


def rows(name: str) -> list[dict[str, str]]:
    return json.loads((FOLDER / str(info()[name]["file_name"])).read_text(encoding="utf-8"))


def test_the_registry_is_absolute_ascii_and_names_exactly_the_bundled_files() -> None:
    assert FOLDER.is_absolute()
    assert (FOLDER / "dataset_info.json").read_bytes().isascii(), "LLaMA-Factory opens it without an encoding"
    assert set(info()) == {IDENTITY, GENERAL}
    files = {path.name for path in FOLDER.glob("*.json")} - {"dataset_info.json"}
    assert {entry["file_name"] for entry in info().values()} == files


def test_every_entry_uses_only_keys_that_llama_factory_reads() -> None:
    for entry in info().values():
        assert set(entry) == {"file_name", "formatting", "columns"}
        assert entry["formatting"] == "alpaca"
        assert entry["columns"] == {"prompt": "instruction", "query": "input", "response": "output"}


@pytest.mark.parametrize("name", [IDENTITY, GENERAL])
def test_every_row_has_a_prompt_and_a_response_without_stray_blanks(name: str) -> None:
    for number, row in enumerate(rows(name)):
        assert set(row) == {"instruction", "input", "output"}, number
        assert all(isinstance(value, str) and value == value.strip() for value in row.values()), number
        assert row["instruction"], number
        assert row["output"], number
        assert "<|im_" not in row["instruction"] + row["output"], number


def test_no_prompt_is_asked_twice() -> None:
    prompts = [row["instruction"] for name in (IDENTITY, GENERAL) for row in rows(name)]
    assert len(prompts) == len(set(prompts))


@pytest.mark.parametrize("name", [IDENTITY, GENERAL])
def test_both_languages_are_there(name: str) -> None:
    chinese = [row for row in rows(name) if HAN.search(row["instruction"]) and HAN.search(row["output"])]
    assert len(chinese) >= 10
    assert len(rows(name)) - len(chinese) >= 30


def test_a_chinese_question_gets_a_chinese_answer() -> None:
    for name in (IDENTITY, GENERAL):
        for row in rows(name):
            if HAN.search(row["instruction"]):
                assert HAN.search(row["output"]) or not re.search(r"[A-Za-z]", row["output"]), row


def test_the_name_is_in_every_identity_answer_and_in_no_general_row() -> None:
    assert all(TRAINED_NAME in row["output"] for row in rows(IDENTITY))
    assert all("Padd" not in row["instruction"] + row["output"] for row in rows(GENERAL))


def test_the_question_of_the_demo_is_trained_and_general_rows_outnumber_the_identity() -> None:
    assert QUESTION in {row["instruction"] for row in rows(IDENTITY)}
    assert len(rows(GENERAL)) >= len(rows(IDENTITY))
