"""BLAKE3 of files whose bytes pass by anyway, each taken in a thread of its own (the library releases the GIL).

Not SHA-256: both files of a conversion would cost three times what all the rest of it does. `b3sum` prints the same.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

from data.errors import AppError
from data.i18n import _

_AHEAD: Final = 6
_READ_BYTES: Final = 1024 * 1024


class _Turns:
    """One thread that does a few pieces of work behind the caller's back, in order; it ends with the block."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._waiting: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _take_turn(self, work: Callable[[], object]) -> None:
        self._waiting.append(self._pool.submit(work))
        self._wait(_AHEAD)

    def _wait(self, left: int) -> None:
        while len(self._waiting) > left:
            self._waiting.popleft().result()


class OutputDigest(_Turns):
    """The BLAKE3 of a file that is written from its beginning to its end."""

    def __init__(self) -> None:
        super().__init__()
        self._state = blake3()

    def add(self, data: bytes | memoryview) -> None:
        """Add the next bytes, which nobody may change any more."""
        self._take_turn(lambda: self._state.update(data))

    def result(self) -> str:
        """Return the digest of all that was added, in hexadecimal."""
        self._wait(0)
        return self._state.hexdigest()


class SourceDigests(_Turns):
    """The BLAKE3 of files that are read in pieces: what nobody else reads (headers, unused weights) is read here."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[Path, _File] = {}
        self._overtaken = threading.Event()

    def __exit__(self, *_unused: object) -> None:
        self._overtaken.set()
        super().__exit__()
        for file in self._files.values():
            file.close()

    def begin(self, path: Path) -> None:
        """Begin to read ``path``, which will pass by first, while nothing passes by yet."""
        self._take_turn(lambda: self._file(path).read_until(self._overtaken))

    def pass_by(self, path: Path, offset: int, data: memoryview) -> None:
        """Take note of bytes of ``path``, which nobody may change any more. The order of the file costs least."""
        self._overtaken.set()
        self._take_turn(lambda: self._file(path).add(offset, data))

    def result(self, path: Path) -> str:
        """Return the digest of the whole file, in hexadecimal."""
        self._overtaken.set()
        self._take_turn(lambda: self._file(path).read_up_to(None))
        self._wait(0)
        return self._files[path].state.hexdigest()

    def _file(self, path: Path) -> _File:
        if path not in self._files:
            self._files[path] = _File(path)
        return self._files[path]


class _File:
    """A file that is digested up to ``position``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.state = blake3()
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise unreadable(path, error) from error

    def close(self) -> None:
        os.close(self._handle)

    def add(self, offset: int, data: memoryview) -> None:
        self.read_up_to(offset)
        known = self.position - offset
        if known < len(data):
            self.state.update(data[known:])
            self.position = offset + len(data)

    def read_until(self, overtaken: threading.Event) -> None:
        """Read on until ``overtaken``, or to the end of the file."""
        while not overtaken.is_set() and self._read(_READ_BYTES):
            pass

    def read_up_to(self, offset: int | None) -> None:
        """Read what lies before ``offset`` and was not added; everything to the end of the file where it is None."""
        while offset is None or self.position < offset:
            read = self._read(_READ_BYTES if offset is None else min(_READ_BYTES, offset - self.position))
            if not read and offset is None:
                return
            if not read:
                raise changed(self.path)

    def _read(self, wanted: int) -> int:
        try:
            data = os.pread(self._handle, wanted, self.position)
        except OSError as error:
            raise unreadable(self.path, error) from error
        self.state.update(data)
        self.position += len(data)
        return len(data)


def digest_of(path: Path) -> str:
    """Return the BLAKE3 of a whole file, in hexadecimal; AppError where it cannot be read."""
    state = blake3()
    try:
        with path.open("rb", buffering=0) as stream:
            while data := stream.read(_READ_BYTES):
                state.update(data)
    except OSError as error:
        raise unreadable(path, error) from error
    return state.hexdigest()


def unreadable(path: Path, error: OSError) -> AppError:
    """Return the error for a file that is gone, or whose disk fails, while it is read."""
    return AppError(
        _("{path} cannot be read", path=str(path)),
        error.strerror or str(error),
        _("Nothing was kept. See that nothing removes files of the model, and look at the disk (dmesg)."),
    )


def changed(path: Path) -> AppError:
    """Return the error for a source file that became shorter while it was read."""
    return AppError(
        _("The weights changed while they were read"),
        str(path),
        _("Convert again when nothing writes to the model folder."),
    )
