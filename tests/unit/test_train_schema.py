"""Another version of LLaMA-Factory is asked for its arguments, once; one that does not answer holds up no job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.lf import schema
from data.paths import HOME_VARIABLE
from tests.support import program
from tests.unit.test_cli import write_training
from tui.commands.root import run

BRIDGE = """\
#!{python}
import json, pathlib
with open({asked!r}, "a") as stream:
    stream.write("asked\\n")
value = json.loads(pathlib.Path({snapshot!r}).read_text())
value["llamafactory"] = "0.9.9"
value["groups"]["data"]["brand_new"] = value["groups"]["data"]["template"]
print(json.dumps(value))
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A LLaMA-Factory 0.9.9 whose Python is a program of two lines."""
    folder = tmp_path / "env"
    subprocess.run(program("fake_trainer.py", "install", folder), check=True)
    (info,) = folder.glob("lib/*/site-packages/llamafactory-*.dist-info")
    info.rename(info.with_name("llamafactory-0.9.9.dist-info"))
    monkeypatch.chdir(tmp_path)
    os.environ[HOME_VARIABLE] = str(tmp_path / "home")
    os.environ["PADDOCK_LLAMAFACTORY_PYTHON"] = str(folder / "bin" / "python")
    return folder


def answers(folder: Path, text: str) -> None:
    python = folder / "bin" / "python"
    python.unlink()
    python.write_text(text, encoding="utf-8")
    python.chmod(0o755)


def dry_run(capsys: pytest.CaptureFixture[str], file: Path) -> tuple[dict[str, dict[str, str]], str]:
    """Return the checks by id, and what was told beside."""
    run(["train", str(file), "--dry-run", "--json"])
    said = capsys.readouterr()
    return {check["id"]: check for check in json.loads(said.out)["checks"]}, said.err


def test_it_is_asked_once_and_its_arguments_are_known(
    other: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    answers(other, BRIDGE.format(python=sys.executable, asked=str(asked), snapshot=str(schema._SNAPSHOT)))
    file = write_training(tmp_path, brand_new="yes")
    checks, told = dry_run(capsys, file)
    assert "LLaMA-Factory 0.9.9 is asked once" in told
    assert "argument.unknown" not in checks
    checks, told = dry_run(capsys, file)
    assert "is asked once" not in told
    assert "argument.unknown" not in checks
    assert asked.read_text(encoding="utf-8") == "asked\n"


def test_one_that_does_not_answer_is_a_warning(other: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answers(other, "#!/bin/sh\necho 'ImportError: libgomp' >&2\nexit 1\n")
    checks, _told = dry_run(capsys, write_training(tmp_path))
    found = checks["arguments.inexact"]
    assert found["level"] == "warning"
    assert "0.9.9 are not known: ImportError: libgomp" in found["message"]
    assert "0.9.5" in found["remedy"]
    assert not [check for check in checks.values() if check["level"] == "error"]
