"""GPUs that jobs hold: one lock file a GPU, inherited by the work, so that a lease ends with its last holder."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import AppError
from data.i18n import Message, _
from data.jobs.spec import GpuRequest


@dataclass(frozen=True, slots=True)
class GpuSlot:
    """What the queue needs to know of a GPU."""

    index: int
    """In PCI bus order, as CUDA_VISIBLE_DEVICES counts with CUDA_DEVICE_ORDER=PCI_BUS_ID"""
    uuid: str
    free_bytes: int


ReadGpus = Callable[[], Sequence[GpuSlot]]


@dataclass(frozen=True, slots=True)
class Lease:
    """GPUs held by this process through open descriptors."""

    indices: tuple[int, ...]
    handles: tuple[int, ...]

    def release(self) -> None:
        """Close the descriptors; the lease goes on while a work that inherited them lives."""
        for handle in self.handles:
            os.close(handle)


def take(folder: Path, request: GpuRequest, gpus: Sequence[GpuSlot]) -> Lease | Message:
    """Take what is asked or nothing; the message says what is being waited for.

    Raises AppError when this machine can never give it.
    """
    wanted = len(request.ids) or request.number
    known = {gpu.index: gpu for gpu in gpus}
    absent = [str(index) for index in request.ids if index not in known]
    if absent or wanted > len(gpus):
        raise AppError(
            _("The GPUs that were asked for are not in this machine"),
            _("Asked for: {wanted}. Present: {present}.", wanted=_wanted_text(request), present=len(gpus)),
            _("`paddock gpus` lists what is there; start again with fewer or other GPUs."),
        )
    candidates = [known[i] for i in request.ids] or sorted(gpus, key=lambda gpu: -gpu.free_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    held: list[tuple[int, int]] = []
    for gpu in candidates:
        if len(held) == wanted:
            break
        if gpu.free_bytes < request.free_bytes:
            continue
        handle = _try(folder, gpu)
        if handle is not None:
            held.append((gpu.index, handle))
    if len(held) == wanted:
        held.sort()
        return Lease(tuple(index for index, _handle in held), tuple(handle for _index, handle in held))
    for _index, handle in held:
        os.close(handle)
    return _(
        "waits for {wanted}: {free} of {total} GPUs are free",
        wanted=_wanted_text(request),
        free=len(held),
        total=len(gpus),
    )


def _try(folder: Path, gpu: GpuSlot) -> int | None:
    name = re.sub(r"[^A-Za-z0-9-]", "_", gpu.uuid) or str(gpu.index)
    handle = os.open(folder / f"gpu-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _wanted_text(request: GpuRequest) -> Message:
    if request.ids:
        return _("GPU {ids}", ids=", ".join(map(str, request.ids)))
    if request.free_bytes:
        return _("{count} GPUs with {gib} GiB free", count=request.number, gib=f"{request.free_bytes / 2**30:.1f}")
    return _("{count} GPUs", count=request.number)
