"""Files on their way to a server: their SHA-256 and their bytes, read beside the event loop, with progress."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from data.errors import AppError
from data.i18n import _

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""
_CHUNK_BYTES: Final = 4 << 20


def no_progress(done_bytes: int, total_bytes: int) -> None:
    """Take progress and do nothing."""


def size_bytes(path: Path) -> int:
    """Return the size of ``path``; raises AppError."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


async def chunks(path: Path, on_bytes: OnBytes = no_progress) -> AsyncIterator[bytes]:
    """Yield the content of ``path`` piece by piece; raises AppError when it cannot be read or changes its size."""
    total = size_bytes(path)
    done = 0
    try:
        with path.open("rb", buffering=0) as stream:
            while piece := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
                done += len(piece)
                yield piece
                on_bytes(done, total)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    if done != total:
        raise unreadable(path, f"{done} != {total}")


async def digest(path: Path, on_bytes: OnBytes = no_progress) -> str:
    """Return ``sha256:…`` of the file, the name of a blob."""
    state = hashlib.sha256()
    async for piece in chunks(path, on_bytes):
        await asyncio.to_thread(state.update, piece)
    return f"sha256:{state.hexdigest()}"


def unreadable(path: Path, why: str) -> AppError:
    """Return the error for a file that cannot be read, or that somebody writes to."""
    return AppError(
        _("{path} cannot be read", path=str(path)),
        why,
        _("Check the path and its permissions, and that nothing is still writing to it."),
    )
