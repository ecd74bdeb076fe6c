"""A template of each kind on both lines of Ollama; `make parity` does the same with every one of them."""

from __future__ import annotations

import pytest

from tests import ollamas
from tests.parity_table import Row, run

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Plain, fused, thinking; BOS in front, inside, or nowhere; each way of tools; real vocabularies for three of them.
NAMES = ("chatglm3", "gemma4", "glm4", "llama2", "qwen3", "vicuna", "yuan")
SAID_NOT = {"llama2": 1, "vicuna": 1}
"""Conversations in which an answer begins with a blank, as replies under such a tokenizer do"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return run(ollamas.VERSIONS, NAMES, tmp_path_factory.mktemp("models"))


def test_a_server_sends_what_was_trained_in_ids(rows: list[Row]) -> None:
    assert [(row.template, row.failures) for row in rows if row.failures] == []
    assert len(rows) == len(NAMES) * len(ollamas.VERSIONS)
    for row in rows:
        right, tried = row.right["paddock"]
        assert right == tried - SAID_NOT.get(row.template, 0) > 0, row.template
        if row.version == ollamas.CURRENT:
            assert row.right["jinja"] == row.right["paddock"], row.template


def test_every_prompt_of_every_method_is_foretold(rows: list[Row]) -> None:
    assert [(row.template, row.foretold) for row in rows if row.foretold[0] != row.foretold[1]] == []
    assert all(row.foretold[1] > 30 for row in rows)
