"""Programs in the Python of LLaMA-Factory."""

from __future__ import annotations

import subprocess

from backend.lf.find import LlamaFactory


def run(lf: LlamaFactory, *words: object) -> None:
    """Run LLaMA-Factory's Python with ``words``; an end with an error fails the test."""
    done = subprocess.run([str(lf.python), *map(str, words)], capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()[-2000:]
