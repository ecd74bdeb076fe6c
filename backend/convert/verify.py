"""Read a GGUF back after writing it: header, table, its agreement with itself, and samples of its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from backend.convert import stream
from backend.convert.planning import Plan
from data.errors import AppError
from data.gguf import Header, check, read_header
from data.gguf.layout import TENSOR_TYPES
from data.i18n import Message, _

_SAMPLES: Final = 16


def verify(path: Path, plan: Plan, sources: stream.Sources, size_bytes: int) -> None:
    """Raise AppError where ``path`` is not the whole GGUF that ``plan`` promised."""
    header = read_header(path)
    if header.size_bytes != size_bytes:
        raise _wrong(_("It has {found} bytes instead of {expected}.", found=header.size_bytes, expected=size_bytes))
    expected = [
        (tensor.name, tensor.shape[::-1], TENSOR_TYPES[tensor.type_id(plan.outtype)]) for tensor in plan.tensors
    ]
    if [(tensor.name, tensor.shape, tensor.type) for tensor in header.tensors] != expected:
        raise _wrong(_("Its table of tensors is not the one that was written."))
    problems = check(header)
    if problems:
        raise AppError(
            _("The model contradicts itself, so its GGUF would not run"),
            problems[0].message,
            _("Check config.json and the tokenizer files of the model folder against those of the base model."),
        )
    _compare_samples(path, header, plan, sources)


def _compare_samples(path: Path, header: Header, plan: Plan, sources: stream.Sources) -> None:
    """Convert some chunks again, spread over the whole file, and compare them with what lies there."""
    offsets = {tensor.name: header.data_offset + tensor.offset for tensor in header.tensors}
    work = list(stream.chunks(plan.tensors))
    chosen = set(work[:: max(1, len(work) // _SAMPLES)])
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for chunk in work:
            name = chunk.tensor.name
            packing = TENSOR_TYPES[chunk.tensor.type_id(plan.outtype)]
            length = chunk.made // packing.block_size * packing.block_bytes
            if chunk in chosen:
                raw = stream.convert_chunk(sources, chunk, plan.outtype)
                if os.pread(handle, length, offsets[name]) != raw.tobytes():
                    raise _wrong(_("The tensor {name} does not read back as it was written.", name=name))
            offsets[name] += length
    finally:
        os.close(handle)


def _wrong(reason: Message) -> AppError:
    return AppError(
        _("The written file is not what was meant to be written"),
        reason,
        _("Nothing was kept. Try again; if it happens twice, test the disk and its file system."),
    )
