"""Look at the GPUs that a job asks for before it starts: what this machine can never give."""

from __future__ import annotations

from backend.lf.checks import Check
from backend.telemetry.gpus import Gpu, GpuReading, known
from data.i18n import Message, _
from data.jobs.spec import GpuRequest


def gpu_checks(request: GpuRequest | None, reading: GpuReading) -> list[Check]:
    """Return an error where ``request`` asks for GPUs, or for memory of them, that are not there; else nothing."""
    if request is None:
        return []
    if not reading.gpus:
        return [
            Check(
                "gpus.absent",
                "error",
                _("GPUs are asked for, and this machine has none: {why}", why=reading.reason),
                _("Leave out --gpus and --gpus-free to use the CPU, or start it on a machine with GPUs."),
            )
        ]
    present = {gpu.index: gpu for gpu in reading.gpus}
    absent = [str(index) for index in request.ids if index not in present]
    if absent or request.number > len(present):
        asked = ", ".join(absent) or str(request.number)
        message = (
            _("GPUs that are asked for are not in this machine: {names}", names=asked)
            if absent
            else _("{count} GPUs are asked for, and this machine has {present}", count=asked, present=len(present))
        )
        return [Check("gpus.absent", "error", message, _there(reading))]
    candidates = [present[index] for index in request.ids] or list(reading.gpus)
    large = [
        gpu for gpu in candidates if (total := known(gpu.memory_total_bytes)) is None or total >= request.free_bytes
    ]
    if len(large) < (len(request.ids) or request.number):
        return [
            Check(
                "gpus.memory",
                "error",
                _(
                    "{memory} GB are asked for on each GPU, and these are smaller",
                    memory=f"{request.free_bytes / 1e9:g}",
                ),
                _there(reading),
            )
        ]
    return []


def _there(reading: GpuReading) -> Message:
    return _("There are: {gpus}. `paddock gpus` shows them.", gpus=", ".join(map(_words, reading.gpus)))


def _words(gpu: Gpu) -> str:
    total = known(gpu.memory_total_bytes)
    return f"{gpu.index} ({gpu.name}{'' if total is None else f', {total / 1e9:.0f} GB'})"
