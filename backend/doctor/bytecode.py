"""Whether byte code lies beside the sources: without it every start compiles them anew, and takes twice as long.

PYTHONDONTWRITEBYTECODE by itself does no harm (measured: with whole caches `paddock --help` takes the same 67 ms set
or unset). It only keeps missing byte code missing, so what is looked at is the byte code itself: one that is there and
was made from the source as it is now.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

OURS: Final = ("tui", "screens", "backend", "data")
PACKAGES: Final = (*OURS, "textual", "rich", "click")
_HEADER = struct.Struct("<4sIII")  # magic, flags, then the source's mtime and size or a hash of it
_HASHED = 0b1


def lacking(packages: Iterable[str] = PACKAGES) -> list[Path]:
    """Return the sources in ``packages`` without byte code that Python would take."""
    return [source for name in packages for source in _sources(name) if not _is_compiled(source)]


def remedy(sources: Iterable[Path]) -> str:
    """Return the command that makes the byte code of ``sources``."""
    tops = sorted({str(_top(source)) for source in sources})
    return shlex.join([sys.executable, "-m", "compileall", "-q", *tops])


def _top(source: Path) -> Path:
    folder = source.parent
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return folder


def _sources(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        message = f"there is no package {package}"
        raise ModuleNotFoundError(message)
    return sorted(Path(spec.origin).parent.rglob("*.py"))


def _is_compiled(source: Path) -> bool:
    """Say whether Python would load the cached byte code of ``source`` (importlib's own test of its header)."""
    try:
        with open(importlib.util.cache_from_source(os.fspath(source)), "rb") as stream:  # noqa: PTH123 - text from importlib
            magic, flags, mtime, size = _HEADER.unpack(stream.read(_HEADER.size))
        there = source.stat()
    except (OSError, struct.error):
        return False
    if magic != importlib.util.MAGIC_NUMBER:
        return False
    wanted = (int(there.st_mtime) & 0xFFFFFFFF, there.st_size & 0xFFFFFFFF)
    return bool(flags & _HASHED) or (mtime, size) == wanted
