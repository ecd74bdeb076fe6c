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
    assert run(["templates", "deepseek"]) == 0  # no terminal: what somebody reads on gets everything
    said = capsys.readouterr().out
    system = next(one.default_system for one in snapshot().by_name.values() if one.name == "deepseekcoder")
    assert " ".join(system.split()) in said
    assert "…" not in said
    assert all(line == line.rstrip() for line in said.splitlines())


def test_a_part_that_no_name_has_is_a_wrong_request_with_the_nearest_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["templates", "Qwen-3"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "No template has 'Qwen-3' in its name" in said.err
    assert "qwen3" in said.err
    assert run(["templates", "nothing-like-it", "--json"]) == 2
    assert "`paddock templates` lists all" in json.loads(capsys.readouterr().out)["error"]["hint"]


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
