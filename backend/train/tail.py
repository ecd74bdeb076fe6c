"""New lines of a growing file, by byte offset: cheap to ask four times a second, never more than a bounded read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 64 << 10
_LINE_BYTES: Final = 64 << 10  # a longer line is cut: nothing that is looked for is that long


class Tail:
    """Reads lines that end in a newline, or also in a carriage return (progress bars), from ``offset`` on.

    A file that shrank, or is another one than before, is read from its start; a missing one has no lines.
    """

    def __init__(
        self, path: Path, offset: int = 0, *, returns: bool = False, limit_bytes: int = 8 * _CHUNK_BYTES
    ) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
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
        """Return the complete lines that are new, without their ends; at most ``limit_bytes`` of them at a time."""
        try:
            stream = self.path.open("rb", buffering=0)
        except OSError:
            return []
        found: list[bytes] = []
        with stream:
            self._notice_new_file(stream.fileno())
            stream.seek(self._read_to)
            for _chunk in range(0, self._limit_bytes, _CHUNK_BYTES):
                chunk = stream.read(_CHUNK_BYTES)
                if not chunk:
                    break
                self._read_to += len(chunk)
                self._take(chunk, found)
        return found

    def drain(self) -> Iterator[bytes]:
        """Yield all lines up to the end, the last one even without its newline."""
        read_to = -1
        while self._read_to != read_to:
            read_to = self._read_to
            yield from self.lines()
        if self._rest:
            yield self._rest
            self._rest = b""

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
