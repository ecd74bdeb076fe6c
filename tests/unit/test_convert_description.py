"""A GGUF that is passed on alone says which training it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.convert.sidecar import description_of
from data.gguf import read_header
from tests.unit.model_folder import write_model

RUN: dict[str, object] = {
    "version": 1,
    "job": "20260101-000000-train-abcd",
    "model": "/models/qwen",
    "template": "qwen",
}


@pytest.mark.parametrize(
    ("changes", "told", "said"),
    [
        ({}, "", "run 20260101-000000-train-abcd, base qwen, template qwen."),
        ({"model": "Qwen/Qwen3-4B"}, "qwen", "base Qwen/Qwen3-4B, template qwen."),
        ({"template": None}, "", "base qwen."),
        ({"template": None}, "chatml", "base qwen, template chatml."),
        ({}, "chatml", "base qwen, template chatml, not qwen as trained."),
    ],
)
def test_the_run_is_named_and_no_place_on_this_machine(
    tmp_path: Path, changes: dict[str, object], told: str, said: str
) -> None:
    (tmp_path / "paddock.json").write_text(json.dumps({**RUN, **changes}))
    found = description_of(tmp_path, told)
    assert found is not None
    assert found.endswith(said)
    assert "/models" not in found


def test_a_folder_without_a_good_record_says_nothing(tmp_path: Path) -> None:
    assert description_of(tmp_path) is None
    for text in ("{", json.dumps({**RUN, "job": ""}), "[]"):
        (tmp_path / "paddock.json").write_text(text)
        assert description_of(tmp_path) is None


def test_it_stands_in_the_gguf_only_when_it_was_given(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "a.gguf", description="Fine-tuned.")
    convert(tmp_path / "model", tmp_path / "b.gguf")
    assert read_header(tmp_path / "a.gguf").text("general.description") == "Fine-tuned."
    assert "general.description" not in read_header(tmp_path / "b.gguf").keys
