"""A GGUF of another program with some keys changed: a new header, then the very same data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from backend.convert import writer
from backend.convert.digest import unreadable
from backend.convert.keys import Keys
from backend.convert.stream import Stopped
from data.gguf import Header, read_header
from data.gguf.layout import MAGIC

_COPY_BYTES: Final = 4 * 1024 * 1024
_COUNTS_AT: Final = len(MAGIC) + 4  # behind the version


def rekey(
    source: Path,
    target: Path,
    changes: Keys,
    progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
    *,
    replace: bool,
) -> str:
    """Write ``source`` with ``changes`` to ``target``, and return the BLAKE3 of the new file in hexadecimal.

    A key that is there keeps its place, a new one comes last. Raises AppError where one of the two cannot be read or
    written or ``target`` may not be replaced, and Stopped; ``target`` is left as it was then.
    """
    old = read_header(source)
    try:
        handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(source, error) from error
    try:
        head = _header(handle, old, changes)
        size = len(head) + old.size_bytes - old.data_offset
        with writer.writing(target, size, replace=replace) as output:
            output.write(head)
            _copy(handle, old, output, progress, stop_requested)
            return output.digest()
    except OSError as error:
        raise unreadable(source, error) from error
    finally:
        os.close(handle)


def _header(handle: int, old: Header, changes: Keys) -> bytes:
    changed = changes.each_packed()
    entries = {name: changed.pop(name, None) or _bytes(handle, span) for name, span in old.spans.items()} | changed
    counts = len(old.tensors).to_bytes(8, "little") + len(entries).to_bytes(8, "little")
    raw = os.pread(handle, _COUNTS_AT, 0) + counts + b"".join(entries.values()) + _bytes(handle, old.table)
    return raw + bytes(-len(raw) % old.alignment)


def _bytes(handle: int, span: tuple[int, int]) -> bytes:
    begin, end = span
    return os.pread(handle, end - begin, begin)


def _copy(
    handle: int,
    old: Header,
    output: writer.Output,
    progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
) -> None:
    at, total = old.data_offset, old.size_bytes - old.data_offset
    while data := os.pread(handle, _COPY_BYTES, at):
        if stop_requested():
            raise Stopped
        output.write(data)
        at += len(data)
        progress(at - old.data_offset, total)
