"""The converter against llama.cpp's script and ``cp``: seconds of whole processes, and what they hold in memory.

The models are made here, of random weights under real vocabularies. Every rival takes its turn in each round, so that
whatever else the machine does falls on all of them; the table shows medians. Disk: 12 GB in the temporary folder.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.lf.find import find
from data.paths import Paths
from data.settings import load_settings
from tests import oracle
from tests.bench import random_model
from tests.bench.result import Result
from tests.support import program

ROUNDS: Final = 3
SCRIPT: Final = "convert_hf_to_gguf.py"
_SAMPLE_S: Final = 0.02
_SAFE: Final = ("135M bf16", "1.4B bf16", "1.4B q8_0")


@dataclass(frozen=True, slots=True)
class Run:
    """One process from its start to its end."""

    seconds: float
    peak_mb: float
    """VmHWM: everything that was resident at once, file pages that were mapped included"""
    anonymous_mb: float
    """RssAnon at its highest: what only swapping could take away"""


def measure() -> Iterator[Result]:
    """Make both models, let everybody convert them in turns, and yield the comparison."""
    python = _llamafactory_python()
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as name:
        root = Path(name)
        for sizes in (random_model.SMALL, random_model.LARGE):
            random_model.write(sizes, root / sizes.name)
        runs: dict[str, list[Run]] = defaultdict(list)
        for _round in range(ROUNDS):
            for case in _SAFE:
                model, outtype = case.split()
                for who, argv, env in _rivals(root / model, root / "made.gguf", outtype, python):
                    runs[f"{who} {case}"].append(_run(argv, env))
                    (root / "made.gguf").unlink()
            runs["cp"].append(_copy(root / "1.4B" / "model.safetensors", root / "made.gguf", durable=False))
            runs["cp, sync"].append(_copy(root / "1.4B" / "model.safetensors", root / "made.gguf", durable=True))
    yield from _results({who: _median(taken) for who, taken in runs.items()}, with_script=python is not None)


def _results(runs: Mapping[str, Run], *, with_script: bool) -> Iterator[Result]:
    goals = dict(zip(_SAFE, (1 / 10, 1 / 8, 1 / 4), strict=True))
    for case in _SAFE if with_script else ():
        ours, theirs = runs[f"ours {case}"], runs[f"theirs {case}"]
        yield Result(f"convert: {case}", ours.seconds, "s", SCRIPT, theirs.seconds, most_ratio=goals[case])
        yield Result(f"convert: {case}, memory (RSS)", ours.peak_mb, "MB", SCRIPT, theirs.peak_mb, most=300)
        yield Result(f"convert: {case}, of it anonymous", ours.anonymous_mb, "MB", SCRIPT, theirs.anonymous_mb)
    ours = runs["ours 1.4B bf16"]
    yield Result("convert: 1.4B bf16, on the disk", ours.seconds, "s", "cp and sync", runs["cp, sync"].seconds, 1 / 0.7)
    yield Result("convert: 1.4B bf16, on the disk", ours.seconds, "s", "cp, into memory", runs["cp"].seconds)


def _rivals(
    folder: Path, target: Path, outtype: str, python: Path | None
) -> Iterator[tuple[str, Sequence[str], Mapping[str, str]]]:
    yield "ours", program("convert_folder.py", folder, target, outtype), os.environ
    if python is not None:
        script = [str(python), str(oracle.llama_cpp() / SCRIPT), str(folder), "--outfile", str(target)]
        yield "theirs", [*script, "--outtype", outtype, "--model-name", "Bench"], oracle.gguf_python()


def _copy(source: Path, target: Path, *, durable: bool) -> Run:
    began = time.monotonic()
    subprocess.run(["cp", str(source), str(target)], check=True)
    if durable:
        subprocess.run(["sync", str(target)], check=True)
    seconds = time.monotonic() - began
    target.unlink()
    return Run(seconds, 0.0, 0.0)


def _run(argv: Sequence[str], env: Mapping[str, str]) -> Run:
    """Run ``argv`` to its end, looking at its memory fifty times a second. What was written before is on the disk."""
    os.sync()
    pause = threading.Event()
    peaks = {"VmHWM": 0, "RssAnon": 0}
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, env=dict(env), cwd="/", stdout=said, stderr=said)
        while process.poll() is None:
            _look(process.pid, peaks)
            pause.wait(_SAMPLE_S)
        seconds = time.monotonic() - began
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace")[-3000:])
    return Run(seconds, peaks["VmHWM"] / 1024, peaks["RssAnon"] / 1024)


def _look(pid: int, peaks: dict[str, int]) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return
    for line in status.splitlines():
        name, _colon, value = line.partition(":")
        if name in peaks:
            peaks[name] = max(peaks[name], int(value.split()[0]))


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(run.seconds for run in runs),
        max(run.peak_mb for run in runs),
        max(run.anonymous_mb for run in runs),
    )


def _llamafactory_python() -> Path | None:
    paths = Paths.default()
    found = find(load_settings(paths.settings).values, paths)
    if found is None:
        sys.stderr.write("No LLaMA-Factory: llama.cpp's script cannot be run, only cp is the rival.\n")
        return None
    return found.python


if __name__ == "__main__":
    from tests.bench.result import table

    sys.stdout.write(table(list(measure())) + "\n")
