"""JSON that is written is JSON for every reader: NaN and infinities, which it has not, are null."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.files import append_line, write_atomic
from data.jsontext import json_line, json_text, parse_json
from tui.commands.console import Console

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def strict(text: str) -> object:
    def refuse(word: str) -> object:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_whatever_is_written_is_strict_json(value: dict[str, object]) -> None:
    line = json_line(value)
    assert "\n" not in line
    assert strict(line) == strict(json_text(value, ensure_ascii=True)) == strict(json_text(value, ensure_ascii=False))
    assert strict(json_text(value, ensure_ascii=True, indent=2)) == strict(line)


def test_files_and_commands_write_it(tmp_path: Path) -> None:
    value = {"progress": {"done": float("nan"), "total": [float("inf"), 1.5]}}
    append_line(tmp_path / "events.jsonl", value, durable=False)
    out = io.StringIO()
    console = Console(out, io.StringIO(), as_json=True)
    console.emit(value)
    assert strict(out.getvalue()) == strict((tmp_path / "events.jsonl").read_text())
    assert strict(out.getvalue()) == {"progress": {"done": None, "total": [None, 1.5]}}


def test_a_path_that_is_no_text_comes_back_from_a_file(tmp_path: Path) -> None:
    value = {"path": os.fsdecode(b"/models/b\xffad"), "\ud800": "学"}
    append_line(tmp_path / "events.jsonl", value, durable=False)
    write_atomic(tmp_path / "spec.json", json_text(value, ensure_ascii=False, indent=2))
    for name in ("events.jsonl", "spec.json"):
        assert parse_json((tmp_path / name).read_bytes()) == value


def test_nesting_without_end_is_one_kind_of_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        parse_json("[" * 100_000)
