"""New lines of a growing file, by byte offset: cheap to ask four times a second, never more than a bounded read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 256 << 10
_CHUNKS_A_POLL: Final = 8
_LINE_BYTES: Final = 64 << 10  # a longer line is cut: nothing that is looked for is that long


class Tail:
    """Reads lines that end in a newline, or also in a carriage return (progress bars), from ``offset`` on.

    A file that shrank, or is another one than before, is read from its start; a missing one has no lines.
    """

    def __init__(self, path: Path, offset: int = 0, *, returns: bool = False) -> None:
        self.path = path
        self._read_to = offset
        self._inode = 0
        self._rest = b""
        self._returns = returns

    @property
    def offset(self) -> int:
        """Where the first line that was not given yet begins."""
        return max(0, self._read_to - len(self._rest))

    @offset.setter
    def offset(self, value: int) -> None:
        self._read_to = value
        self._rest = b""

    def lines(self) -> list[bytes]:
        """Return the complete lines that are new, without their ends; at most 2 MiB of them."""
        try:
            stream = self.path.open("rb", buffering=0)
        except OSError:
            return []
        found: list[bytes] = []
        with stream:
            self._notice_new_file(stream.fileno())
            stream.seek(self._read_to)
            for _chunk in range(_CHUNKS_A_POLL):
                chunk = stream.read(_CHUNK_BYTES)
                if not chunk:
                    break
                self._read_to += len(chunk)
                self._take(chunk, found)
        return found

    def drain(self) -> list[bytes]:
        """Return all lines up to the end, the last one even without its newline."""
        found: list[bytes] = []
        while more := self.lines():
            found += more
        if self._rest:
            found.append(self._rest)
            self._rest = b""
        return found

    def _notice_new_file(self, handle: int) -> None:
        stat = os.fstat(handle)
        if stat.st_size < self._read_to or (self._inode and stat.st_ino != self._inode):
            self.offset = 0
        self._inode = stat.st_ino

    def _take(self, chunk: bytes, found: list[bytes]) -> None:
        if self._returns:
            chunk = chunk.replace(b"\r", b"\n")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()[-_LINE_BYTES:]
        found += [line for line in lines if line]
