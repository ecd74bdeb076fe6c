"""Disks that are full, read-only or broken: small file systems where root may mount them, else a preloaded library."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from tests.support import PROGRAMS


@contextmanager
def small_disk(place: Path, size: str) -> Generator[Path]:
    """Mount a file system of ``size`` at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "paddock-test", str(place)]
    mounted = subprocess.run(words, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def protect(disk: Path) -> None:
    """Let nothing more be written to a disk of ``small_disk``."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def fill(disk: Path, *, leave_bytes: int) -> None:
    """Put a file on ``disk`` that leaves only so many bytes free."""
    with (disk / "ballast").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(disk).free - leave_bytes)


def failing(
    folder: Path, below: Path, does: Literal["write", "read", "sync"], error: int, *, after_bytes: int = 0
) -> dict[str, str]:
    """Return the environment in which calls for files ``below`` a path fail with ``error``, in each process anew.

    ``folder`` gets the library that does it.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "failing_disk.so"
    if not library.exists():
        source = PROGRAMS / "failing_disk.c"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
    return {
        "LD_PRELOAD": str(library),
        "PADDOCK_TEST_DISK_BELOW": str(below),
        "PADDOCK_TEST_DISK_DOES": does,
        "PADDOCK_TEST_DISK_ERROR": str(error),
        "PADDOCK_TEST_DISK_AFTER": str(after_bytes),
    }


WORDS = {number: os.strerror(number) for number in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)}
