"""Paddock's app against a bare Textual app: the time to the first frame, and the memory once it has come to rest."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.paths import HOME_VARIABLE
from tests.bench.result import Result
from tests.bench.terminal import Terminal, memory_mb
from tests.support import program

ROUNDS = 9
PADDOCK = str(Path(sys.executable).parent / "paddock")
"""What people start: the script that the installation makes"""
RIVAL = "a bare Textual app"
_OURS_DRAWN = "Jobs"
"""A title on Home's first frame"""
_THEIRS_DRAWN = "bare-first-frame"


def measure() -> Iterator[Result]:
    """Alternate the two, and compare medians: what else the machine does falls on both."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as folder:
        root = Path(folder)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PADDOCK_")},
            HOME_VARIABLE: str(root / "home"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        ours, theirs = [], []
        for number in range(ROUNDS + 1):
            one = _once([PADDOCK], _OURS_DRAWN, environ, root)
            two = _once(program("bare_textual.py"), _THEIRS_DRAWN, environ, root)
            if number:  # the first of each only warms the file cache
                ours.append(one)
                theirs.append(two)
    pairs = [tuple(map(statistics.median, zip(*taken, strict=True))) for taken in (ours, theirs)]
    (our_ms, our_rss, our_pss), (their_ms, their_rss, their_pss) = pairs
    yield Result("app: start to the first frame", our_ms, "ms", RIVAL, their_ms, most_ratio=1.25)
    yield Result("app: resident memory (RSS)", our_rss, "MB", RIVAL, their_rss)
    yield Result("app: proportional memory (PSS)", our_pss, "MB", RIVAL, their_pss)


def _once(argv: list[str], drawn: str, environ: Mapping[str, str], cwd: Path) -> tuple[float, float, float]:
    """Return milliseconds to the first frame, and RSS and PSS in MB."""
    with Terminal(argv, environ, cwd) as terminal:
        first_ms = terminal.seconds_until(drawn) * 1000
        terminal.settle()
        return (first_ms, *memory_mb(terminal.process.pid))
