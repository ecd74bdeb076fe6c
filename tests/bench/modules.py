"""Modules that help, doctor and the first screen must do without: each takes longer to import than all of ours."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.paths import HOME_VARIABLE
from tests.bench.result import Result
from tests.support import program

HEAVY = frozenset(
    {
        "torch",
        "transformers",
        "peft",
        "datasets",
        "accelerate",
        "llamafactory",
        "pydantic",
        "numpy",
        "gguf",
        "tokenizers",
        "safetensors",
        "httpx",
        "ollama",
    }
)
SHOWN = (("--help",), ("doctor",), ("doctor", "--json"), ("jobs", "list"), ())
"""What must not import them; without words it is the app on its first screen"""


def imported(words: Sequence[str]) -> set[str]:
    """Return the top-level modules that a command has imported by its end, or the app after its first look around."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as folder:
        done = subprocess.run(
            program("imports.py", *words),
            env={**os.environ, HOME_VARIABLE: str(Path(folder) / "home")},
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    return set(json.loads(done.stderr.splitlines()[-1]))


def measure() -> Iterator[Result]:
    """Count the heavy ones."""
    for words in SHOWN:
        found = imported(words) & HEAVY
        name = f"paddock {' '.join(words)}" if words else "app: first screen"
        yield Result(f"{name}: heavy modules {', '.join(sorted(found))}".rstrip(), len(found), "", most=0)
