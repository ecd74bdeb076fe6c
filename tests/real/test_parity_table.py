"""A template of each kind on both lines of Ollama; `make parity` does the same with every one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ollamas
from tests.parity_table import run

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Plain, fused, thinking; BOS in front, inside, or nowhere; each way of tools; real vocabularies for three of them.
NAMES = ("chatglm3", "gemma4", "glm4", "llama2", "qwen3", "vicuna", "yuan")
SAID_NOT = {"llama2": 1, "vicuna": 1}
"""Conversations in which an answer begins with a blank, as replies under such a tokenizer do"""


@pytest.mark.parametrize("version", ollamas.VERSIONS)
def test_a_server_sends_what_was_trained_in_text_and_in_ids(version: str, tmp_path: Path) -> None:
    rows = run([version], NAMES, tmp_path)
    assert [(row.template, row.failures) for row in rows if row.failures] == []
    assert [row.template for row in rows if row.foretold[0] != row.foretold[1] or not row.foretold[1]] == []
    for row in rows:
        right, tried = row.right["paddock"]
        assert right == tried - SAID_NOT.get(row.template, 0) > 0, row.template
        if version == ollamas.CURRENT:
            assert row.right["jinja"] == row.right["paddock"], row.template
