"""Write a GGUF: header, keys, tensor table, then the data; in a hidden folder until it is whole.

Source of the layout: ggml `docs/gguf.md`, version 3, alignment 32.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from backend.convert.digest import OutputDigest
from backend.convert.direct import DirectFile
from backend.convert.keys import Keys
from backend.convert.plan import Tensor
from backend.convert.scratch import cannot_write, scratch
from backend.convert.target import publish, require_space
from data.gguf.layout import DEFAULT_ALIGNMENT, MAGIC

VERSION: Final = 3


def padding(size: int) -> int:
    """Return the bytes from ``size`` to the next multiple of the alignment."""
    return -size % DEFAULT_ALIGNMENT


def header(keys: Keys, tensors: Sequence[Tensor], outtype: str) -> bytes:
    """Return everything before the data, padded to the alignment."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(keys)), keys.packed()]
    offset = 0
    for tensor in tensors:
        name = tensor.name.encode()
        shape = tensor.shape[::-1]
        parts.append(struct.pack("<Q", len(name)) + name)
        parts.append(struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, tensor.type_id(outtype), offset))
        offset += padded(tensor.size_bytes(outtype))
    raw = b"".join(parts)
    return raw + bytes(padding(len(raw)))


def padded(size: int) -> int:
    """Return ``size`` rounded up to the alignment."""
    return size + padding(size)


class Output:
    """A new file that gets its name only when it is whole."""

    def __init__(self, target: Path, temporary: Path, file: DirectFile, digest: OutputDigest) -> None:
        self.target = target
        self.temporary = temporary
        self.written = 0
        self._file = file
        self._digest = digest

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``, which nobody may change any more; AppError where the disk is full or fails."""
        view = memoryview(data).cast("B")
        self._digest.add(view)
        with self._told():
            self._file.write(view)
        self.written += len(view)

    def digest(self) -> str:
        """Return the BLAKE3 of everything that was written, in hexadecimal."""
        return self._digest.result()

    def pad(self) -> None:
        """Append zeros up to the alignment."""
        self.write(bytes(padding(self.written)))

    def end(self) -> None:
        """Let the disk finish behind the caller's back; AppError where it is full or fails."""
        with self._told():
            self._file.end()

    def wait(self) -> None:
        """Wait until everything is on the disk; AppError where it fails."""
        with self._told():
            self._file.wait()

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.target, error) from error


@contextlib.contextmanager
def writing(target: Path, size_bytes: int, *, replace: bool) -> Generator[Output]:
    """Yield the output that becomes ``target`` when the block ends well, and vanishes when it does not.

    Raises AppError where the folder of ``target`` cannot be written to or has not ``size_bytes`` free, and where
    another file has got that name and ``replace`` is not wished.
    """
    with scratch(target) as work:
        require_space(target, size_bytes)
        temporary = work.folder / "gguf"
        with _created(temporary, target) as file, OutputDigest() as digest:
            output = Output(target, temporary, file, digest)
            yield output
            output.wait()
        publish(temporary, target, replace=replace)


def _created(temporary: Path, target: Path) -> DirectFile:
    """Make the file that is to become ``target``; AppError where that is not possible."""
    try:
        return DirectFile(temporary)
    except OSError as error:
        raise cannot_write(target, error) from error
