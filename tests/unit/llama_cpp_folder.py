"""A llama.cpp with a stand-in for its script, a Python that seems to have LLaMA-Factory, and a model for both."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from backend.convert.converter import convert
from backend.convert.llama_cpp import SCRIPT, Script
from backend.convert.road import Others
from data.settings import Settings
from tests.support import PROGRAMS
from tests.unit.model_folder import write_model

UNKNOWN = "GPTNeoXForCausalLM"
NOBODY = Others(lambda: None, lambda: None)
"""A machine on which there is no other converter"""


def only(script: Script) -> Others:
    """Return a machine on which there is a script, and no Ollama."""
    return Others(lambda: script, lambda: None)


def write_llama_cpp(place: Path) -> Path:
    """Write a folder of llama.cpp with the script and its gguf."""
    (place / "gguf-py" / "gguf").mkdir(parents=True)
    (place / "gguf-py" / "gguf" / "__init__.py").write_text("OF = 'the checkout'\n")
    shutil.copyfile(PROGRAMS / "llama_cpp_script.py", place / SCRIPT)
    return place


def write_python(place: Path) -> Path:
    """Write an environment whose Python is this one, and in which LLaMA-Factory seems to be installed."""
    (place / "lib" / "python3.11" / "site-packages" / "llamafactory-0.9.5.dist-info").mkdir(parents=True)
    (place / "bin").mkdir()
    python = place / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def write_settings(place: Path) -> Settings:
    """Write both below ``place``, and return the settings that name them."""
    return Settings(
        llama_cpp_dir=str(write_llama_cpp(place / "llama.cpp")),
        llamafactory_python=str(write_python(place / "lf")),
    )


def write_unknown_model(place: Path, does: str = "", **changes: object) -> Path:
    """Write a model of an architecture that our converter does not know, and what the script makes of it."""
    write_model(place)
    convert(place, place / "ready.gguf", outtype="bf16")
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": [UNKNOWN], "script": does, **changes}
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return place
