"""How much room there is where something is to be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

GB: Final = 1_000_000_000


def existing_parent(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists and that we may look at."""
    # os.path.exists, since Path.exists raises where a folder of somebody else is closed to us.
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))  # noqa: PTH110


def free_bytes(path: Path) -> int:
    """Return the bytes that we may still write where ``path`` is or will be."""
    return shutil.disk_usage(existing_parent(path)).free


def device(path: Path) -> int:
    """Return the number of the file system that ``path`` is or will be on."""
    return existing_parent(path).stat().st_dev
