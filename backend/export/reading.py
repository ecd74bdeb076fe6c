"""How far this process has read a file that a library reads for us: all that can be told of an upload from outside.

Linux keeps the position of every open file in /proc (proc(5), "fdinfo"). An upload reads ahead of what it sends by a
few blocks only, so that this is its progress whatever the protocol; for git-lfs a file is read once before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TICK_S: Final = 0.5
_DESCRIPTORS: Final = Path("/proc/self/fd")


def position(file: Path) -> int | None:
    """Return up to which byte ``file``, an absolute path without links, has been read; None while it is not open."""
    for handle in _DESCRIPTORS.iterdir():
        try:
            if handle.readlink() == file:
                told = Path("/proc/self/fdinfo", handle.name).read_text(encoding="ascii")
                return int(told.partition("pos:")[2].split(maxsplit=1)[0])
        except OSError:  # closed meanwhile
            continue
    return None


@contextmanager
def watching(file: Path, tell: Callable[[int], None]) -> Generator[None]:
    """Call ``tell``, in a thread, with the position in ``file`` twice a second while the block runs."""
    real, ended = file.resolve(), threading.Event()

    def look() -> None:
        while not ended.wait(_TICK_S):
            at = position(real)
            if at is not None:
                tell(at)

    thread = threading.Thread(target=look, name="reading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
