"""Read a log of any size from its end, backwards and forwards, a bounded piece at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.text import fold_bars, fold_returns, inert, without_bar

PIECE_BYTES: Final = 256 << 10
_LONGEST: Final = 4000
"""Characters of a line that are kept: a program may print a megabyte without a newline"""


@dataclass(slots=True)
class LogReader:
    """The lines of ``path`` between two offsets that grow apart; missing and truncated files are fine.

    ``older`` and ``newer`` return finished lines; ``live`` is the last line while it has no newline yet, as a
    terminal would show it.
    """

    path: Path
    start: int = -1
    """Offset of the first line that was read; -1 before the first read"""
    end: int = 0
    live: str = ""

    @property
    def is_at_start(self) -> bool:
        """There is nothing older."""
        return self.start <= 0

    def size(self) -> int:
        """Return the bytes of the file; 0 when there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def newer(self, limit_bytes: int = PIECE_BYTES) -> list[str]:
        """Return lines that came since the last call; the first call starts near the end of the file."""
        size = self.size()
        if size < self.end:  # truncated or replaced: begin again
            self.start, self.end, self.live = -1, 0, ""
        if self.start < 0:
            self.end = self.start = self._line_start(max(0, size - limit_bytes))
        if size <= self.end:
            return []
        chunk = self._read(self.end, min(size, self.end + limit_bytes))
        cut = chunk.rfind(b"\n") + 1
        if cut == 0 and len(chunk) == limit_bytes:  # one endless line (a bar without newlines): keep its end only
            cut = len(chunk) - len(chunk) // 4
            self.end += cut
            return []
        self.end += cut
        self.live = _clean(chunk[cut:])
        return _lines(chunk[:cut])

    def older(self, limit_bytes: int = PIECE_BYTES) -> list[str]:
        """Return the lines before the first one that was read; empty when there are none."""
        if self.is_at_start:
            return []
        begin = max(0, self.start - limit_bytes)
        chunk = self._read(begin, self.start)
        if begin > 0:
            cut = chunk.find(b"\n") + 1
            if cut in (0, len(chunk)):
                cut = 0  # one line longer than the piece: show it in pieces
            chunk = chunk[cut:]
            begin += cut
        self.start = begin
        return _lines(chunk)

    def _line_start(self, offset: int) -> int:
        """Return the offset behind the first newline at or after ``offset``; ``offset`` where none is near."""
        if offset == 0:
            return 0
        cut = self._read(offset, offset + PIECE_BYTES).find(b"\n") + 1
        return offset + cut

    def _read(self, begin: int, end: int) -> bytes:
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.pread(handle, end - begin, begin)
        finally:
            os.close(handle)


def _clean(raw: bytes) -> str:
    text = without_bar(fold_returns(raw.decode("utf-8", "replace").rstrip("\r")))
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return inert(text)


def _lines(chunk: bytes) -> list[str]:
    if not chunk:
        return []
    raw = chunk[:-1] if chunk.endswith(b"\n") else chunk
    return fold_bars([_clean(line) for line in raw.split(b"\n")])[0]


def last_exception(lines: list[str], limit: int = 6) -> list[str]:
    """Return the message of the last Python exception in ``lines``: the traceback's end, without its frames.

    Empty when there is no traceback; at most ``limit`` lines.
    """
    starts = [index for index, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    if not starts:
        return []
    prefix = lines[starts[-1]].split("Traceback (most recent call last)")[0]  # "[rank0]: " of torchrun
    body = [line.removeprefix(prefix) for line in lines[starts[-1] + 1 :]]
    for index, line in enumerate(body):
        if line and not line[0].isspace():
            message = [line]
            for more in body[index + 1 : index + limit]:
                if not more.strip():
                    break
                message.append(more)
            return message
    return []


def log_end(path: Path, limit_bytes: int = 64 << 10) -> list[str]:
    """Return the last lines of a log, as a terminal would show them; empty when there is none."""
    reader = LogReader(path)
    lines = reader.newer(limit_bytes)
    return [*lines, reader.live] if reader.live else lines
