"""Is there room? Asked before a download, for each file system once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from data.errors import AppError
from data.i18n import _

GB = 1_000_000_000


def existing_parent(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_bytes(path: Path) -> int:
    """Return the bytes that we may still write where ``path`` is or will be."""
    return shutil.disk_usage(existing_parent(path)).free


def require(needed_bytes: Mapping[Path, int]) -> None:
    """Raise AppError when a file system lacks the sum of what is to be written to its folders."""
    sums: dict[int, tuple[Path, int]] = {}
    for path, size_bytes in needed_bytes.items():
        device = existing_parent(path).stat().st_dev
        place, before = sums.get(device, (path, 0))
        sums[device] = (place, before + size_bytes)
    for place, size_bytes in sums.values():
        free = free_bytes(place)
        if free < size_bytes:
            raise AppError(
                _("Not enough disk space for the set-up"),
                _(
                    "{path}: {needed:.1f} GB are needed, {free:.1f} GB are free.",
                    path=str(place),
                    needed=size_bytes / GB,
                    free=free / GB,
                ),
                _("Free some space, or set PADDOCK_HOME to a folder on a larger disk."),
            )
