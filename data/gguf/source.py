"""Reading a file piece by piece, every length checked against the file before anything is read or allocated.

Not a memory map: a file that another program cuts short while it is mapped kills the reader with SIGBUS.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from data.errors import AppError
from data.gguf import layout
from data.i18n import Message, _

_WINDOW_BYTES: Final = 256 * 1024
_LENGTH: Final = struct.Struct("<Q")


def malformed(path: Path, reason: Message, remedy: Message | None = None) -> AppError:
    """Return the error of a file that is not a whole, well-formed GGUF."""
    return AppError(
        _("{path} is not a usable GGUF file", path=str(path)),
        reason,
        remedy or _("It may be cut off or damaged: download or convert it again."),
    )


class Source:
    """A cursor over an open file; ``position`` moves with each reading."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.size_bytes = os.fstat(handle).st_size
        self.position = 0
        self._end = min(self.size_bytes, layout.MAX_HEADER_BYTES)
        self._handle = handle
        self._window = b""
        self._start = 0

    def error(self, reason: Message) -> AppError:
        """Return the error for this file, with the byte where it was found."""
        return malformed(self.path, _("{reason} (at byte {position})", reason=reason, position=self.position))

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; AppError where the file ends before."""
        self._require(count)
        begin = self.position - self._start
        if begin < 0 or begin + count > len(self._window):
            self._window = os.pread(self._handle, max(count, _WINDOW_BYTES), self.position)
            self._start, begin = self.position, 0
            if len(self._window) < count:  # cut short since it was opened
                raise self.error(_("the file ends in the middle of its header"))
        self.position += count
        return self._window[begin : begin + count]

    def number(self, form: struct.Struct) -> int | float | bool:
        """Return the next value of a ``struct`` form of one field."""
        return form.unpack(self.take(form.size))[0]

    def count(self, form: struct.Struct, limit: int, what: Message) -> int:
        """Return the next whole number; AppError where it is above ``limit``, with ``what`` it counts."""
        value = int(self.number(form))
        if value > limit:
            raise self.error(_("{what}: {value} is more than {limit}", what=what, value=value, limit=limit))
        return value

    def string(self, limit: int, what: Message) -> bytes:
        """Return the next string: 8 bytes of length, then its bytes."""
        return self.take(self.count(_LENGTH, limit, what))

    def strings(self, count: int) -> Iterator[list[bytes]]:
        """Yield ``count`` strings, as many at a time as one piece of the file holds, moving on behind them."""
        remaining, unpack = count, _LENGTH.unpack_from
        while remaining:
            window = os.pread(self._handle, _WINDOW_BYTES, self.position)
            found: list[bytes] = []
            at, begin, end = 0, 8, len(window)
            for _number in range(remaining):
                if begin > end or (behind := begin + unpack(window, at)[0]) > end:
                    break
                found.append(window[begin:behind])
                at, begin = behind, behind + 8
            self.position += at
            if not found:  # one that is longer than a window, or a file that has been cut short
                found.append(self.string(layout.MAX_STRING_BYTES, _("length of a string")))
            remaining -= len(found)
            yield found

    def skip(self, count: int) -> None:
        """Move ``count`` bytes on; AppError where the file ends before."""
        self._require(count)
        self.position += count

    def _require(self, count: int) -> None:
        if count <= self._end - self.position:
            return
        if self._end < self.size_bytes:
            raise self.error(_("its header is longer than {limit} bytes", limit=layout.MAX_HEADER_BYTES))
        raise self.error(_("the file ends in the middle of its header"))

    def skip_strings(self, count: int) -> None:
        """Move behind ``count`` strings, looking at their lengths only."""
        remaining = count
        unpack, limit = _LENGTH.unpack_from, layout.MAX_STRING_BYTES
        while remaining:
            window = os.pread(self._handle, _WINDOW_BYTES, self.position)
            last, at = len(window) - _LENGTH.size, 0
            if last < 0:
                raise self.error(_("the file ends in the middle of its header"))
            while remaining and at <= last:
                length = unpack(window, at)[0]
                if length > limit:
                    self.position += at
                    raise self.error(
                        _(
                            "{what}: {value} is more than {limit}",
                            what=_("length of a string"),
                            value=length,
                            limit=limit,
                        )
                    )
                at += _LENGTH.size + length
                remaining -= 1
            self.skip(at)
