"""A hidden folder beside a target for what is not whole yet; what a process that was killed left of one is removed.

The folder holds a lock that its process keeps for life, and so do the programs that write into it: a folder whose lock
nobody holds is left over, whichever host or container it was made in. Nothing but that says so: process ids begin anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.errors import AppError
from data.files import is_locked, open_lock, try_lock
from data.i18n import _

_LOCK: Final = "lock"
_HIDDEN: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder on the file system of the target, so that a rename is enough."""

    folder: Path
    lock: int
    """The descriptor to be handed to programs that write into the folder"""


@contextlib.contextmanager
def scratch(target: Path) -> Generator[Scratch]:
    """Yield a new hidden folder beside ``target``, which is gone when the block ends; older ones go before.

    Raises AppError where the folder of ``target`` cannot be made or written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(target)
        made = _make(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        yield made
    finally:
        _remove(made.folder)
        os.close(made.lock)


def cannot_write(target: Path, error: OSError) -> AppError:
    """Return what to say of a target that cannot be written."""
    return AppError(
        _("{path} cannot be written", path=str(shown(target))),
        error.strerror or str(error),
        _("Check the folder's permissions and its free space; nothing was left under that name."),
    )


def _make(target: Path) -> Scratch:
    while True:
        folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        folder.mkdir()
        handle = open_lock(folder / _LOCK)
        # Between its birth and its lock, another conversion may have taken the folder for a left one.
        if _take(handle) and (folder / _LOCK).exists():
            return Scratch(folder, handle)
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        return try_lock(handle)
    except OSError:  # a file system without locks, on which nothing is ever taken for left
        return True


def shown(target: Path) -> Path:
    """Return what people know ``target`` by: a file in a hidden folder is a step to the one that that lies beside."""
    found = _HIDDEN.fullmatch(target.parent.name)
    return target.parent.with_name(found[1]) if found else target


def is_being_made(target: Path) -> bool:
    """Say whether a conversion to ``target`` runs; False also where the file system cannot tell."""
    with contextlib.suppress(OSError):
        return any(is_locked(folder / _LOCK) for folder in _folders(target))
    return False


def _remove_left(target: Path) -> None:
    """Remove the folders of conversions to ``target`` that have ended without doing so."""
    for folder in _folders(target):
        # Without a lock it is none of ours, or not yet; another person's cannot be opened.
        with contextlib.suppress(OSError):
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if try_lock(handle):
                    _remove(folder)
            finally:
                os.close(handle)


def _folders(target: Path) -> list[Path]:
    """Return the hidden folders beside ``target`` that may be of conversions to it."""
    with os.scandir(target.parent) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if (found := _HIDDEN.fullmatch(entry.name))
            and found[1] == target.name
            and entry.is_dir(follow_symlinks=False)
        ]


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last; an error that is on its way is not to give way to that of a disk that fails."""
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
        (folder / _LOCK).unlink()
        folder.rmdir()
