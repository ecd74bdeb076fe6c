"""The name that a GGUF gets: where a link leads, free or to be replaced, with room for the file, and never half a file.

Without ``replace`` a file that is there stays, whoever made it and when: nothing is between the look and the name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from backend.convert.scratch import cannot_write, is_being_made, shown
from data.disk import free_bytes
from data.errors import AppError, RequestError
from data.files import sync_folder
from data.i18n import _
from data.size import size

SPARE_BYTES: Final = 16 * 1024 * 1024
"""What must be left of a disk beside the file: with less, it counts as full"""


def real_target(target: Path) -> Path:
    """Return the file that is written for ``target``: where a link leads, also one that leads to nothing yet."""
    return Path(os.path.realpath(target))


def refuse_taken(target: Path) -> None:
    """Raise RequestError where ``target`` is there already, or another conversion is about to write it."""
    if os.path.lexists(target):
        raise RequestError(_("The target exists already"), str(target), _("Name another one with -o, or add --force."))
    if is_being_made(target):
        raise RequestError(
            _("Another conversion is writing this file"),
            str(target),
            _("Name another one with -o, or wait for it: `paddock jobs list` shows what runs."),
        )


def require_space(target: Path, size_bytes: int) -> None:
    """Raise AppError where the folder of ``target`` cannot be written to or has no room for ``size_bytes``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = free_bytes(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    if free < size_bytes + SPARE_BYTES:
        raise _no_room(target, size_bytes, free)


def refuse_narrow(target: Path, size_bytes: int) -> None:
    """Raise RequestError where ``require_space`` will raise for a conversion that has not begun; makes no folder."""
    free = free_bytes(target.parent)
    if free < size_bytes + SPARE_BYTES:
        error = _no_room(target, size_bytes, free)
        raise RequestError(error.title, error.detail, error.hint)


def _no_room(target: Path, size_bytes: int, free: int) -> AppError:
    """Return what to say where ``size_bytes`` are written at ``target``, and ``free`` of them are there."""
    return AppError(
        _("There is not enough space for {path}", path=str(shown(target))),
        _(
            "It takes {needed} while it is made, {available} are free: {lacking} too little.",
            needed=size(size_bytes + SPARE_BYTES),
            available=size(free),
            lacking=size(size_bytes + SPARE_BYTES - free),
        ),
        _("Free some space, or choose a folder on another disk with -o."),
    )


def settle(temporary: Path, target: Path, *, replace: bool) -> None:
    """Put a whole file that another program wrote on the disk, and give it its name as ``publish`` does."""
    try:
        handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise cannot_write(target, error) from error
    publish(temporary, target, replace=replace)


def publish(temporary: Path, target: Path, *, replace: bool) -> None:
    """Give a whole file its name, for good; AppError where a folder has it, or the file system refuses.

    Without ``replace``, also where another file has got that name meanwhile.
    """
    try:
        if replace:
            temporary.replace(target)
        else:
            _name(temporary, target)
    except FileExistsError as error:
        raise AppError(
            _("Something else has made {path} meanwhile", path=str(target)),
            _("That file was left as it is, and this conversion kept nothing."),
            _("Convert again under another name with -o, or add --force to replace that file."),
        ) from error
    except OSError as error:
        raise cannot_write(target, error) from error
    sync_folder(target.parent)


def _name(temporary: Path, target: Path) -> None:
    """Rename a file; FileExistsError where its new name is taken, without a moment in which it could be."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken by an empty file first, which only one can make
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        try:
            temporary.replace(target)
        except OSError:
            target.unlink()
            raise
    else:
        temporary.unlink()
