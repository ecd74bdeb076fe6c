"""A managed environment with LLaMA-Factory, in versions that were seen to work together.

``pip install llamafactory`` alone resolves a torch that does not fit its torchaudio, and crashes on import. The
environment is made under a dot-name and stays there, because virtual environments cannot be moved; the name by
which it is found is a link that is made last. What was begun is continued, never used.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from backend.lf.find import LlamaFactory, find, look
from backend.lf.versions import metadata_of, torch_mismatches
from backend.setup import pip, space
from backend.setup.failure import failed, is_missing_version
from backend.setup.process import Ended, run, say
from data.files import sync_folder, write_atomic
from data.i18n import _
from data.jobs.report import Reporter, size_bytes
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
_LARGEST_STEP_BYTES: Final = 1_300_000_000
_HEAVY: Final = re.compile(r"(nvidia|cuda|triton)", re.IGNORECASE)
# One import of what a training uses is the proof: that is where a torchaudio of another torch crashes.
_PROOF: Final = (
    "import llamafactory.train.tuner, llamafactory.chat, torch, sys; from llamafactory.extras.env import VERSION; "
    "print('llamafactory', VERSION, 'torch', torch.__version__)"
)
_PROVED: Final = re.compile(r"^llamafactory (?P<version>\S+) torch (?P<torch>\S+)$")


def folder(paths: Paths) -> Path:
    """Return the name by which the managed environment is found, once it is complete."""
    return paths.llamafactory / SET


def begun(paths: Paths) -> bool:
    """Say whether an environment was begun that is not complete."""
    return _place(paths).exists() and managed(paths) is None


def _place(paths: Paths) -> Path:
    return paths.llamafactory / f".{SET}"


def managed(paths: Paths) -> LlamaFactory | None:
    """Return the managed LLaMA-Factory where it is complete."""
    python = folder(paths) / "bin" / "python"
    return look(python, "managed") if (folder(paths) / MARKER).is_file() and python.exists() else None


def present(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> LlamaFactory | None:
    """Return a LLaMA-Factory that is there and can work: whoever installed it, and with a torchaudio that fits."""
    found = find(settings, paths, environ=environ)
    return managed(paths) if found is None or torch_mismatches(found.packages) else found


def install(paths: Paths, settings: Settings, reporter: Reporter, environ: Mapping[str, str]) -> LlamaFactory:
    """Make the managed environment, or finish one that was begun, unless LLaMA-Factory is already there.

    Raises AppError with the remedy: no venv module, no disk, no network, a mirror without these versions.
    """
    found = present(paths, settings, environ)
    if found is not None:
        say(f"LLaMA-Factory {found.version} is already there: {found.python} ({found.origin})")
        return found
    place = _place(paths)
    _room(paths, begun=(place / "pyvenv.cfg").exists())
    env = pip.environment(paths, environ)
    reporter.stage("llamafactory-environment", _("Making an environment for LLaMA-Factory"))
    python = pip.make_environment(place, env, reporter)
    _fetch(python, env, reporter, paths)
    _compile(python, env, reporter)
    version = _prove(python, env, reporter)
    write_atomic(
        place / MARKER,
        json.dumps({"set": SET, "version": version, "python": str(python), "completed_at": rfc3339(now())}) + "\n",
    )
    _publish(place, folder(paths))
    reporter.artifact(folder(paths), "environment")
    done = managed(paths)
    if done is None:
        raise failed(_("The new environment has no LLaMA-Factory"), [str(place)])
    return done


def _publish(place: Path, name: Path) -> None:
    """Make ``name`` a link to ``place``, whatever stood there before, in one step."""
    link = name.with_name(f".{name.name}.link")
    link.unlink(missing_ok=True)
    link.symlink_to(place.name, target_is_directory=True)
    if name.is_dir() and not name.is_symlink():
        shutil.rmtree(name)
    link.replace(name)
    sync_folder(name.parent)


def _room(paths: Paths, *, begun: bool) -> None:
    """Check the disk; where most is there already, how much exactly is not worth walking 30,000 files."""
    kept = DISK_BYTES // 2 if begun else DISK_BYTES
    space.require({paths.llamafactory: kept, paths.cache: _LARGEST_STEP_BYTES})


def _fetch(python: Path, env: Mapping[str, str], reporter: Reporter, paths: Paths) -> None:
    """Install step by step, the large packages each by itself: what is installed need not be fetched again.

    pip's own cache is no help in that: whether it keeps a file is up to what the mirror says of it.
    """
    reporter.stage("llamafactory-packages", _("Fetching LLaMA-Factory {version} and torch", version=VERSION))
    place = pip.site_packages(python)
    there = size_bytes(place) / DISK_BYTES
    progress = pip.PipProgress(reporter, total_bytes=round(DOWNLOAD_BYTES * max(0.05, 1 - there)), site_packages=place)
    installer = _Installer(python, env, progress, paths)
    installer.install(TORCH[0], "--no-deps", "--no-warn-conflicts")
    for requirement in heavy_requirements(metadata_of("torch", [place])):
        installer.install(requirement, "--no-warn-conflicts")  # the next step mends what pip would warn of
    installer.install(*TORCH)
    installer.install(*WANTED)


def heavy_requirements(metadata: str) -> list[str]:
    """Return the requirements of a torch (the text of its METADATA) that weigh hundreds of megabytes: CUDA, Triton.

    A torch for the CPU has none.
    """
    required = HeaderParser().parsestr(metadata).get_all("Requires-Dist") or []
    texts = [(text.partition(";")[0].strip(), text.partition(";")[2]) for text in required]
    return [text for text, marker in texts if _HEAVY.match(text) and "extra" not in marker]


class _Installer:
    """pip with the versions that were seen to work; the essential ones only, where a mirror lacks some other."""

    def __init__(self, python: Path, env: Mapping[str, str], progress: pip.PipProgress, paths: Paths) -> None:
        self._python = python
        self._env = env
        self._progress = progress
        self._paths = paths
        self._constraints = CONSTRAINTS

    def install(self, *wanted: str) -> None:
        """Install ``wanted`` (requirements and options of pip); raises AppError with the remedy."""
        ended = self._run(wanted)
        if ended.status != 0 and self._constraints == CONSTRAINTS and is_missing_version(ended.lines):
            say("The mirror lacks some of the pinned versions: trying again with the essential pins only.")
            self._constraints = _essential_constraints(self._paths)
            ended = self._run(wanted)
        if ended.status != 0:
            raise failed(_("LLaMA-Factory cannot be installed"), ended.lines)

    def _run(self, wanted: Sequence[str]) -> Ended:
        options = ("--no-compile", "--constraint", str(self._constraints))
        return pip.install(self._python, wanted, env=self._env, progress=self._progress, options=options)


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
