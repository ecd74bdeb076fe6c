"""The weights on their way: read, cast and handed on in order, a few chunks in flight, whatever the model's size.

Read with ``pread``, not mapped: a source that is cut short while it is read is an error, not a SIGBUS, and the memory
that is used is the memory that is counted. Nor are tensors that stay as they are handed from file to file inside the
kernel: every number is looked at for NaN and Inf, and every byte goes into the digests.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from backend.convert.cast import RAW_TYPES, NotFiniteError, Raw, cast
from backend.convert.digest import SourceDigests, changed, unreadable
from backend.convert.plan import BF16, F32, Part, Tensor
from backend.convert.planning import Plan
from backend.convert.weights import ITEM_BYTES
from data.errors import AppError
from data.gguf.layout import TENSOR_TYPES
from data.i18n import Message, _

_CHUNK_BYTES: Final = 2 * 1024 * 1024  # of the source
_MAX_THREADS: Final = 8


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked
    """The conversion ended because somebody asked for it; nothing was left behind."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a tensor: ``first`` and ``count`` are numbers of the source tensor of ``part``."""

    tensor: Tensor
    part: Part
    first: int
    count: int

    @property
    def made(self) -> int:
        """How many numbers of the GGUF come of it."""
        return self.count // 2 if self.part.keeps_half else self.count


class Sources:
    """The open files of the source; closed with the block."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def open(self, path: Path) -> int:
        """Return the descriptor of ``path``, opened once."""
        if path not in self._handles:
            try:
                self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise unreadable(path, error) from error
            os.posix_fadvise(self._handles[path], 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return self._handles[path]

    def read(self, part: Part, first: int, count: int) -> Raw:
        """Return ``count`` numbers of a source tensor, in the raw type; AppError where the file fails."""
        weight = part.weight
        size = ITEM_BYTES[weight.dtype]
        raw: Raw = np.empty(count, dtype=RAW_TYPES[weight.dtype])
        view, at = raw.view(np.uint8).data, weight.offset + first * size
        while view:
            try:
                done = os.preadv(self._handles[weight.path], [view], at)
            except OSError as error:
                raise unreadable(weight.path, error) from error
            if not done:
                raise changed(weight.path)
            view, at = view[done:], at + done
        return raw


def chunks(tensors: Iterable[Tensor]) -> Iterator[Chunk]:
    """Yield the work in the order of the file; whole rows each, and whole blocks where rows are reordered."""
    for tensor in tensors:
        for part in tensor.parts:
            columns = tensor.shape[-1] if tensor.shape else 1
            step = part.block_rows * columns
            step *= max(1, _CHUNK_BYTES // ITEM_BYTES[part.weight.dtype] // step)
            total = part.weight.count
            for first in range(0, total, step):
                yield Chunk(tensor, part, first, min(step, total - first))


def convert_chunk(sources: Sources, chunk: Chunk, outtype: str) -> Raw:
    """Return the bytes of one chunk as they stand in the GGUF; AppError for NaN, Inf or numbers that do not fit."""
    return _converted(sources.read(chunk.part, chunk.first, chunk.count), chunk, outtype)


def _converted(raw: Raw, chunk: Chunk, outtype: str) -> Raw:
    part, tensor = chunk.part, chunk.tensor
    if part.reorder is not None:
        raw = part.reorder(raw.reshape(-1, *part.weight.shape[1:])).reshape(-1)
    type_id = tensor.type_id(outtype)
    try:
        return cast(raw, part.weight.dtype, type_id, shift=part.shift)
    except NotFiniteError as error:
        name = part.weight.name
        if error.in_source:
            raise AppError(
                _("The weight {name} holds NaN or Inf", name=name),
                _("A model with such numbers answers with nonsense; the training has probably diverged."),
                _("Convert an earlier checkpoint, or train again with a lower learning rate."),
            ) from error
        raise AppError(
            _("The weight {name} does not fit the type {type}", name=name, type=TENSOR_TYPES[type_id].name),
            _("It holds numbers beyond the range of that type."),
            _remedy(raw, part),
        ) from error


def _remedy(raw: Raw, part: Part) -> Message:
    """Return the advice for numbers beyond a type: the types that hold them, where there are any."""
    if _fits(raw, part, BF16):
        return _("Convert with --outtype bf16 or f32.")
    if _fits(raw, part, F32):
        return _("Convert with --outtype f32.")
    return _("No type of a GGUF holds such numbers: convert an earlier checkpoint, or train again.")


def _fits(raw: Raw, part: Part, type_id: int) -> bool:
    try:
        cast(raw, part.weight.dtype, type_id, shift=part.shift)
    except NotFiniteError:
        return False
    return True


def stream(sources: Sources, plan: Plan, stop_requested: Callable[[], bool], digests: SourceDigests) -> Iterator[Raw]:
    """Yield the bytes of chunks in order while a few threads work ahead; raises Stopped as soon as a stop is asked for.

    What is read passes by ``digests`` in the same order.
    """
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    waiting: deque[tuple[Chunk, Future[tuple[Raw, Raw]]]] = deque()

    def work(chunk: Chunk) -> tuple[Raw, Raw]:
        raw = sources.read(chunk.part, chunk.first, chunk.count)
        return raw, _converted(raw, chunk, plan.outtype)

    def first_done() -> Raw:
        if stop_requested():
            raise Stopped
        chunk, future = waiting.popleft()
        raw, converted = future.result()
        weight = chunk.part.weight
        digests.pass_by(weight.path, weight.offset + chunk.first * ITEM_BYTES[weight.dtype], raw.view(np.uint8).data)
        return converted

    with ThreadPoolExecutor(threads, thread_name_prefix="cast") as pool:
        try:
            for chunk in chunks(plan.tensors):
                sources.open(chunk.part.weight.path)
                waiting.append((chunk, pool.submit(work, chunk)))
                if len(waiting) > threads + 1:
                    yield first_done()
            while waiting:
                yield first_done()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
