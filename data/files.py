"""Writing that survives a crash, appending that survives a torn line, locks that survive nothing but their owner."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import tempfile
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from data.jsontext import json_line


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` under a temporary name in the same folder, fsync, rename; parents are made."""
    with replacing(path, mode=mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Generator[BinaryIO]:
    """Yield a stream whose content becomes ``path`` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in ``folder`` durable, where the file system can."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def append_line(path: Path, value: Mapping[str, object], *, durable: bool) -> None:
    """Append ``value`` as one line of JSON in a single write; ``durable`` waits for the disk."""
    append_lines(path, (value,), durable=durable)


def append_lines(path: Path, values: Iterable[Mapping[str, object]], *, durable: bool) -> None:
    """Append each of ``values`` as one line of JSON, all in a single write; ``durable`` waits for the disk.

    A torn last line (a writer died in the middle) is first ended with a newline, else the next one is lost with it.
    """
    lines = "".join(json_line(value) + "\n" for value in values).encode()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        view = memoryview(lines)
        while view:
            view = view[os.write(handle, view) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def is_program(path: Path) -> bool:
    """Say whether ``path`` is a file that may be run here."""
    return path.is_file() and os.access(path, os.X_OK)


def tail_bytes(path: Path, limit_bytes: int) -> bytes:
    """Return at most the last ``limit_bytes`` of ``path``; empty where there is no such file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - limit_bytes))
            return stream.read(limit_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return b""


# struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid (0 for open-file-description locks).
_FLOCK = "hhqqi4x"
F_OFD_GETLK = getattr(fcntl, "F_OFD_GETLK", 36)
F_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)


def open_lock(path: Path) -> int:
    """Open ``path`` (created when missing) for ``try_lock``; the caller closes the descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def try_lock(handle: int) -> bool:
    """Take an open-file-description write lock without waiting; children that inherit ``handle`` share it."""
    try:
        fcntl.fcntl(handle, F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: somebody holds it
        return False
    return True


def is_locked(path: Path) -> bool:
    """Say whether anybody holds the lock on ``path``, without taking it; False where the file does not exist.

    Raises OSError where the file system cannot answer (some NFS).
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.fcntl(handle, F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK
    finally:
        os.close(handle)
