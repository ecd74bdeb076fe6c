"""What help, doctor, the list of jobs and the first screen must do without; and when the benches refuse to measure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.doctor import bytecode
from tests.bench import modules


@pytest.mark.parametrize("words", modules.SHOWN, ids=lambda words: " ".join(words) or "app")
def test_nothing_heavy_is_imported(words: Sequence[str]) -> None:
    assert modules.imported(words) & modules.HEAVY == set()


def test_without_byte_code_nothing_is_measured_and_the_remedy_is_said(tmp_path: Path) -> None:
    """Python looks for the byte code in another, empty place: as if none had been made."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.bench", "commands"],
        env={**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "-m compileall -q" in done.stderr


def test_byte_code_counts_only_when_it_is_of_the_source_as_it_is_now(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("1\n", encoding="utf-8")
    assert not bytecode._is_compiled(source)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(source)], check=True)
    assert bytecode._is_compiled(source)
    source.write_text("12\n", encoding="utf-8")
    assert not bytecode._is_compiled(source)
