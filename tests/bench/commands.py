"""The command line: how long it takes to answer, against the least that click can be."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data.paths import HOME_VARIABLE
from tests.bench.result import Result
from tests.support import program

ROUNDS = 11
RIVAL = "--help of a bare click program"
COMMANDS = (("--help",), ("jobs", "list"), ("doctor",))


def measure() -> Iterator[Result]:
    """Alternate all of them, and compare medians."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as folder:
        environ = {**os.environ, HOME_VARIABLE: str(Path(folder) / "home")}
        took: dict[Sequence[str], list[float]] = {words: [] for words in (*COMMANDS, ())}
        for number in range(ROUNDS + 1):
            for words, times in took.items():
                argv = [sys.executable, "-P", "-m", "tui.cli", *words] if words else program("bare_click.py", "--help")
                seconds = _once(argv, environ, folder)
                if number:  # the first of each only warms the file cache
                    times.append(seconds)
    middle = {words: statistics.median(times) * 1000 for words, times in took.items()}
    for words in COMMANDS:
        yield Result(f"paddock {' '.join(words)}", middle[words], "ms", RIVAL, middle[()])


def _once(argv: Sequence[str], environ: Mapping[str, str], folder: str) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, env=environ, cwd=folder, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):  # doctor says 1 where something is missing
        raise RuntimeError(done.stderr.decode("utf-8", "replace"))
    return seconds
