"""A template of each kind on both lines of Ollama; `make parity` does the same with every one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ollamas
from tests.parity_table import run

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Plain, fused, thinking; BOS in front, inside, or nowhere; each way of tools; real vocabularies for three of them.
NAMES = ("chatglm3", "gemma4", "glm4", "llama2", "llama3", "qwen3", "yuan")


@pytest.mark.parametrize("version", ollamas.VERSIONS)
def test_a_server_sends_what_was_trained_in_text_and_in_ids(version: str, tmp_path: Path) -> None:
    rows = run([version], NAMES, tmp_path)
    assert [(row.template, row.failures) for row in rows if row.failures] == []
    assert all(row.texts["paddock"][1] == row.texts["paddock"][0] == row.ids[0] > 0 for row in rows)
    if version == ollamas.CURRENT:
        assert [row.template for row in rows if row.texts["jinja"][0] != row.texts["jinja"][1]] == []
