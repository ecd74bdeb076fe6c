"""A managed environment with LLaMA-Factory, in versions that were seen to work together.

``pip install llamafactory`` alone resolves a torch that does not fit its torchaudio, and crashes on import. The
environment is made at its final place (virtual environments cannot be moved); ``complete.json`` in it is written
last, so one without it is continued, never used.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.lf.find import LlamaFactory, find, look
from backend.setup import pip, space
from backend.setup.failure import failed, is_missing_version
from backend.setup.process import run, say
from backend.setup.versions import torch_mismatches
from data.files import write_atomic
from data.i18n import _
from data.jobs.report import Reporter
from data.jobs.spec import now, rfc3339
from data.paths import Paths
from data.settings import Settings

VERSION: Final = "0.9.5"
SET: Final = "llamafactory-0.9.5-torch-2.11.0"
TORCH: Final = ("torch==2.11.0", "torchaudio==2.11.0", "torchvision==0.26.0")
WANTED: Final = (f"llamafactory=={VERSION}", *TORCH)
MARKER: Final = "complete.json"
CONSTRAINTS: Final = Path(__file__).parent / f"llamafactory-{VERSION}.txt"
# What LLaMA-Factory itself checks, or breaks without: pinned even where a mirror lacks some other version.
_ESSENTIAL: Final = frozenset(
    {"torch", "torchaudio", "torchvision", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers"}
    | {"huggingface_hub", "numpy", "gradio", "pydantic"}
)

DOWNLOAD_BYTES: Final = 3_065_000_000
"""Measured on x86-64 Linux with Python 3.11: 136 wheels, the most of it CUDA 13 libraries of torch."""
DISK_BYTES: Final = 6_300_000_000
_WITHOUT_CACHE_BYTES: Final = DISK_BYTES + DOWNLOAD_BYTES
_WITH_CACHE_BYTES: Final = DISK_BYTES + 2 * DOWNLOAD_BYTES
# One import of what a training uses is the proof: that is where a torchaudio of another torch crashes.
_PROOF: Final = (
    "import llamafactory.train.tuner, llamafactory.chat, torch, sys; from llamafactory.extras.env import VERSION; "
    "print('llamafactory', VERSION, 'torch', torch.__version__)"
)
_PROVED: Final = re.compile(r"^llamafactory (?P<version>\S+) torch (?P<torch>\S+)$")


def folder(paths: Paths) -> Path:
    """Return where the managed environment is or will be."""
    return paths.llamafactory / SET


def managed(paths: Paths) -> LlamaFactory | None:
    """Return the managed LLaMA-Factory where it is complete."""
    python = folder(paths) / "bin" / "python"
    return look(python, "managed") if (folder(paths) / MARKER).is_file() and python.exists() else None


def present(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> LlamaFactory | None:
    """Return a LLaMA-Factory that is there and can work: whoever installed it, and with a torchaudio that fits."""
    found = find(settings, paths, environ=environ)
    if found is None or found.python.is_relative_to(paths.llamafactory) or torch_mismatches(found.packages):
        return managed(paths)
    return found


def install(paths: Paths, settings: Settings, reporter: Reporter, environ: Mapping[str, str]) -> LlamaFactory:
    """Make the managed environment, or finish one that was begun, unless LLaMA-Factory is already there.

    Raises AppError with the remedy: no venv module, no disk, no network, a mirror without these versions.
    """
    found = present(paths, settings, environ)
    if found is not None:
        say(f"LLaMA-Factory {found.version} is already there: {found.python} ({found.origin})")
        return found
    place = folder(paths)
    cached = _room(paths, begun=(place / "pyvenv.cfg").exists())
    env = {**pip.environment(paths, environ), **({} if cached else {"PIP_NO_CACHE_DIR": "1"})}
    reporter.stage("llamafactory-environment", _("Making an environment for LLaMA-Factory"))
    python = pip.make_environment(place, env)
    _fetch(python, env, reporter, paths)
    _compile(python, env, reporter)
    version = _prove(python, env, reporter)
    write_atomic(
        place / MARKER,
        json.dumps({"set": SET, "version": version, "python": str(python), "completed_at": rfc3339(now())}) + "\n",
    )
    shutil.rmtree(pip.cache_folder(paths), ignore_errors=True)  # 3 GB that only a second try would have wanted
    reporter.artifact(place, "environment")
    done = managed(paths)
    if done is None:
        raise failed(_("The new environment has no LLaMA-Factory"), [str(place)])
    return done


def _room(paths: Paths, *, begun: bool) -> bool:
    """Check the disk and say whether it is large enough to keep what was fetched until all is well."""
    if begun:  # how much of it is already on the disk is not worth walking 30,000 files
        return True
    if space.free_bytes(paths.llamafactory) > _WITH_CACHE_BYTES and space.free_bytes(paths.cache) > _WITH_CACHE_BYTES:
        return True
    space.require({paths.llamafactory: DISK_BYTES, paths.cache: _WITHOUT_CACHE_BYTES - DISK_BYTES})
    return False


def _fetch(python: Path, env: Mapping[str, str], reporter: Reporter, paths: Paths) -> None:
    """Install torch, then LLaMA-Factory: two steps, so that a second try has less to do over."""
    reporter.stage("llamafactory-packages", _("Fetching LLaMA-Factory {version} and torch", version=VERSION))
    progress = pip.PipProgress(reporter, total_bytes=DOWNLOAD_BYTES, site_packages=pip.site_packages(python))
    constraints = CONSTRAINTS
    for wanted in (TORCH, WANTED):
        options = ("--no-compile", "--constraint", str(constraints))
        ended = pip.install(python, wanted, env=env, progress=progress, options=options)
        if ended.status != 0 and constraints == CONSTRAINTS and is_missing_version(ended.lines):
            say("The mirror lacks some of the pinned versions: trying again with the essential pins only.")
            constraints = _essential_constraints(paths)
            options = ("--no-compile", "--constraint", str(constraints))
            ended = pip.install(python, wanted, env=env, progress=progress, options=options)
        if ended.status != 0:
            raise failed(_("LLaMA-Factory cannot be installed"), ended.lines)


def _essential_constraints(paths: Paths) -> Path:
    lines = [
        line
        for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()
        if line.partition("==")[0].lower().replace("-", "_") in _ESSENTIAL
    ]
    target = paths.cache / "setup" / "essential.txt"
    write_atomic(target, "\n".join(lines) + "\n")
    return target


def _compile(python: Path, env: Mapping[str, str], reporter: Reporter) -> None:
    """Compile the byte code on all cores: an import of LLaMA-Factory without it takes twice as long, each time."""
    reporter.stage("llamafactory-bytecode", _("Compiling byte code"))
    place = pip.site_packages(python)
    total = sum(1 for _path in place.rglob("*.py"))
    seen = 0

    def count(line: str) -> bool:
        nonlocal seen
        if not line.startswith("Compiling "):
            # Some packages ship templates and tests in other dialects of Python; their complaints are of no use.
            return True
        seen += 1
        reporter.progress(min(seen, total), total, "files")
        return True

    run([str(python), "-P", "-m", "compileall", "-j", "0", str(place)], env=env, take_line=count)


def _prove(python: Path, env: Mapping[str, str], reporter: Reporter) -> str:
    """Import LLaMA-Factory in its own Python and return its version; 10 to 30 s."""
    reporter.stage("llamafactory-proof", _("Importing LLaMA-Factory once, to see that it works"))
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    ended = run([str(python), "-P", "-c", _PROOF], env={**env, **quiet})
    proved = next((match for line in ended.lines if (match := _PROVED.match(line))), None)
    if ended.status != 0 or proved is None:
        raise failed(
            _("LLaMA-Factory was installed but cannot be imported"),
            ended.lines,
            fallback=_("Remove {folder} and run paddock setup llamafactory again.", folder=str(python.parent.parent)),
        )
    return proved["version"]
