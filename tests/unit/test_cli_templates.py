"""The names of LLaMA-Factory's templates: all of them on request, the nearest where one is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backend.lf.schema import snapshot as arguments
from backend.lf.schema import template_remedy
from backend.parity.template import snapshot
from data.errors import RequestError
from tui.commands.root import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> None:
    """A home without a LLaMA-Factory."""
    os.environ["PADDOCK_HOME"] = str(tmp_path)


def test_all_templates_are_listed_and_found_by_a_part_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["templates", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    names = [one["name"] for one in answer["templates"]]
    assert names == sorted(snapshot().by_name)
    assert set(names) == set(arguments().templates)
    assert answer["llamafactory"] == snapshot().llamafactory

    assert run(["templates", "LLAMA"]) == 0
    said = capsys.readouterr().out
    assert "llama3" in said
    assert "qwen" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert run(["templates", "nothing-like-it"]) == 0
    assert "No template has 'nothing-like-it' in its name." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "near"), [("llama-3", "llama3"), ("Qwen2.5", "qwen"), ("chat_ml", "chatml"), ("GEMMA3", "gemma3")]
)
def test_a_wrong_name_gives_a_few_near_ones_and_the_command_that_lists_all(name: str, near: str) -> None:
    with pytest.raises(RequestError) as raised:
        snapshot().get(name)
    hint = str(raised.value.hint)
    assert near in hint
    assert f"`paddock templates` lists all {len(snapshot().by_name)}" in hint
    assert len(str(raised.value)) < 300
    assert len(json.dumps(raised.value.as_json())) < 400


def test_a_name_like_no_other_gives_the_command_alone() -> None:
    assert str(template_remedy("§§§", ["llama3", "qwen"])).startswith("`paddock templates` lists all 2")
