"""Settings that cannot be used: every command says so once, and the doctor says so and goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tui.commands.root import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Path:
    """A home whose settings are written by the test."""
    os.environ["PADDOCK_HOME"] = str(tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "settings.toml"


WRONG = [
    ('theme = "nrd"\n', "The setting theme has a wrong value", "Did you mean nord?"),
    ('theme = "xyzzy"\n', "The setting theme has a wrong value", "paddock-light"),
    ('language = "fr"\n', "The setting language has a wrong value", "en, zh_CN"),
    ('them = "nord"\n', "Unknown setting them", "Did you mean theme?"),
    ("theme = 3\n", "The setting theme has a wrong value", "3"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), WRONG)
def test_a_command_says_it_once_and_starts_nothing(
    home: Path, text: str, what: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text(text)
    assert run(["jobs", "list"]) == 2
    said = capsys.readouterr()
    assert said.err.count(what) == 1
    assert remedy in said.err
    assert run(["jobs", "list", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert remedy in error["detail"] + error["hint"]


BROKEN = [
    *(text for text, _what, _remedy in WRONG),
    "theme = [",
    '[keys]\n"job.stop" = "ctrl+q"\n',
    '[keys]\nx = "y"\n',
]


@pytest.mark.parametrize("text", BROKEN)
def test_the_doctor_names_what_is_wrong_with_them_and_looks_at_the_rest(
    home: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text(text)
    assert run(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    first, *others = report["checks"]
    assert (first["id"], first["level"]) == ("settings", "error")
    assert first["remedy"]
    assert {"python", "ollama", "disk"} <= {check["id"] for check in others}


def test_the_doctor_says_where_good_settings_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json"])
    assert "No settings file" in json.loads(capsys.readouterr().out)["checks"][0]["message"]
    home.write_text('theme = "nord"\n')
    run(["doctor", "--json"])
    check = json.loads(capsys.readouterr().out)["checks"][0]
    assert (check["id"], check["level"]) == ("settings", "ok")
    assert str(home) in check["message"]
