"""Is there room? Asked before a download, for each file system once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.disk import GB, device, free_bytes
from data.errors import AppError
from data.i18n import _


def require(needed_bytes: Mapping[Path, int]) -> None:
    """Raise AppError when a file system lacks the sum of what is to be written to its folders."""
    sums: dict[int, tuple[Path, int]] = {}
    for path, size_bytes in needed_bytes.items():
        place, before = sums.get(device(path), (path, 0))
        sums[device(path)] = (place, before + size_bytes)
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
