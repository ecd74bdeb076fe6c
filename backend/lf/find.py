"""Find the Python environment that has LLaMA-Factory, without importing it (that would take 24 s and 1 GB)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from data.errors import RequestError
from data.i18n import _
from data.jsontext import parse_json
from data.paths import Paths
from data.settings import Settings

PACKAGES: Final = (
    "llamafactory",
    "torch",
    "torchaudio",
    "torchvision",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "torchao",
)
"""The distributions whose versions decide whether LLaMA-Factory works."""

_ASK_TIMEOUT_S: Final = 20
# Runs in the other Python, from 3.9 on: names the folders that its imports come from, and imports nothing heavy.
_ASK_FOLDERS: Final = "import json, sys; print(json.dumps([p for p in sys.path if p]))"


@dataclass(frozen=True, slots=True)
class LlamaFactory:
    """An installation of LLaMA-Factory: which Python has it, which version, and how it was found."""

    python: Path
    """The interpreter, as named (a venv's ``bin/python`` is not resolved: the link is what makes it the venv's)."""
    version: str
    origin: str
    """settings, managed, own, VIRTUAL_ENV, CONDA_PREFIX, workspace or PATH"""
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    """Versions of what is installed of ``PACKAGES``"""
    folders: tuple[Path, ...] = ()
    """The site-packages folders of the environment, in the order of its imports"""

    @property
    def bin(self) -> Path:
        """The environment's folder of programs; torchrun is found by name there."""
        return self.python.parent

    def file(self, *parts: str) -> Path | None:
        """Return the installed file ``parts`` (e.g. "transformers", "training_args.py"), or None."""
        for folder in self.folders:
            path = folder.joinpath(*parts)
            if path.is_file():
                return path
        return None

    def as_json(self) -> dict[str, object]:
        """Return ``{python, version, origin, packages}``, the object of ``paddock doctor``."""
        return {
            "python": str(self.python),
            "version": self.version,
            "origin": self.origin,
            "packages": dict(self.packages),
        }


def find(
    settings: Settings, paths: Paths, workspace: Path | None = None, environ: Mapping[str, str] = os.environ
) -> LlamaFactory | None:
    """Return the installation to use: settings, managed, our own Python, an active environment, workspace, PATH.

    Takes milliseconds where the usual folders answer, else one start of that Python. Raises RequestError when the
    setting names a Python that does not exist or has no LLaMA-Factory: a wish is never silently passed over.
    """
    if settings.llamafactory_python:
        return _wished(settings.llamafactory_python)
    seen: set[Path] = set()
    for origin, python in candidates(paths, workspace, environ):
        if python in seen or not os.access(python, os.X_OK):
            continue
        seen.add(python)
        found = look(python, origin)
        if found is not None:
            return found
    return None


def candidates(paths: Paths, workspace: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield (origin, python) of every place where LLaMA-Factory may be, best first; they need not exist."""
    if paths.llamafactory.is_dir():
        # Newest first; names with a dot in front are environments that are still being built.
        managed = [f for f in paths.llamafactory.iterdir() if f.is_dir() and not f.name.startswith(".")]
        for folder in sorted(managed, key=lambda f: f.stat().st_mtime, reverse=True):
            yield "managed", folder / "bin" / "python"
    yield "own", Path(sys.executable)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if environ.get(variable):
            yield variable, Path(environ[variable]).absolute() / "bin" / "python"
    if workspace is not None:
        for name in (".venv", "venv"):
            yield "workspace", workspace.absolute() / name / "bin" / "python"
    program = shutil.which("llamafactory-cli", path=environ.get("PATH", os.defpath))
    if program is not None:
        yield "PATH", python_of_script(Path(program))


def look(python: Path, origin: str) -> LlamaFactory | None:
    """Return the installation that belongs to ``python``, or None where it has none."""
    folders = site_folders(python)
    packages = versions(folders)
    # Its torch may lie elsewhere: the system's, where a machine comes with one, or in a folder that a .pth file names.
    is_short = "torch" not in packages if "llamafactory" in packages else not _is_complete(folders)
    if is_short:
        folders = tuple(dict.fromkeys((*folders, *_asked_folders(python))))
        packages = versions(folders)
    if "llamafactory" not in packages:
        return None
    return LlamaFactory(python, packages["llamafactory"], origin, packages, folders)


def site_folders(python: Path) -> tuple[Path, ...]:
    """Return the site-packages folders beside ``python`` (``<prefix>/bin/python``), by the layout alone."""
    prefix = python.parent.parent
    return tuple(
        folder
        for pattern in ("lib/python3*/site-packages", "lib64/python3*/site-packages")
        for folder in sorted(prefix.glob(pattern))
        if folder.is_dir() and not (pattern.startswith("lib64") and (prefix / "lib64").is_symlink())
    )


def versions(folders: tuple[Path, ...]) -> dict[str, str]:
    """Read the versions of ``PACKAGES`` from the names of their dist-info (or egg-info) folders."""
    found: dict[str, str] = {}
    wanted = set(PACKAGES)
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names only, thousands of them: no Path objects
        except OSError:
            continue
        for name in names:
            stem, dot, kind = name.rpartition(".")
            package, dash, version = stem.partition("-")
            package = package.lower()
            if dot and dash and kind in ("dist-info", "egg-info") and package in wanted and package not in found:
                found[package] = version.partition("-")[0]
    return found


def python_of_script(program: Path) -> Path:
    """Return the interpreter of an installed console script: its ``#!`` line, pip's long form, or the neighbour."""
    try:
        with program.open("rb") as stream:
            head = stream.read(4096).decode("utf-8", "replace").splitlines()
    except OSError:
        head = []
    if head and head[0].startswith("#!"):
        words = head[0][2:].split()
        if words and words[0].endswith("/sh") and len(head) > 1 and head[1].startswith("'''exec'"):
            words = shlex.split(head[1][len("'''exec'") :])  # pip's form for paths with spaces or over 127 bytes
        elif words and words[0].endswith("/env"):
            words = [shutil.which(words[-1]) or ""]
        if words and words[0]:
            return Path(words[0])
    return program.parent / "python"


def _wished(text: str) -> LlamaFactory:
    wish = Path(text).expanduser().absolute()
    if wish.is_dir():  # the environment's folder is a natural answer to the question too
        wish = wish / "bin" / "python"
    if not os.access(wish, os.X_OK):
        raise RequestError(
            _("The Python of LLaMA-Factory does not exist"),
            _("The setting llamafactory_python names {path}, which cannot be run.", path=wish),
            _("Correct or empty the setting; paddock doctor shows what is found without it."),
        )
    found = look(wish, "settings")
    if found is None:
        raise RequestError(
            _("This Python has no LLaMA-Factory"),
            _("The setting llamafactory_python names {path}; no package llamafactory is installed there.", path=wish),
            _("Correct or empty the setting, or run: paddock setup llamafactory"),
        )
    return found


def _is_complete(folders: tuple[Path, ...]) -> bool:
    """Say whether the layout answers for good: a venv without the system's packages, or a conda environment."""
    if not folders:
        return False
    prefix = folders[0].parent.parent.parent
    if (prefix / "conda-meta").is_dir():
        return True
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    system = [line.partition("=")[2].strip() for line in lines if line.startswith("include-system-site-packages")]
    return system == ["false"]


def _asked_folders(python: Path) -> tuple[Path, ...]:
    """Ask ``python`` where it imports from: user site, Debian's dist-packages, a venv over the system's packages."""
    try:
        answer = subprocess.run(
            [str(python), "-c", _ASK_FOLDERS],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_TIMEOUT_S,
            check=True,
        )
        folders = cast("list[str]", parse_json(answer.stdout))
        return tuple(Path(folder) for folder in folders if Path(folder).is_dir())
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return ()  # a Python that cannot even start has no LLaMA-Factory to offer
