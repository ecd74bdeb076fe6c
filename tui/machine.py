"""The load of this machine as views show it: values of one moment, None for what is not available."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from backend.telemetry.gpus import GpuReader
    from backend.telemetry.host import HostReader


class Gpu(NamedTuple):
    """One GPU at one moment; None is "not available"."""

    number: int
    name: str
    load: float | None = None
    """0 to 1"""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    users: tuple[str, ...] = ()
    """Who has processes on it"""


class Machine(NamedTuple):
    """Load of this machine at one moment; None is "not available"."""

    gpus: tuple[Gpu, ...] = ()
    cpu: float | None = None
    """0 to 1 over all cores"""
    cores: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None


class MachineReader:
    """Reads GPUs and host again and again; used from one thread at a time."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._readers: tuple[GpuReader, HostReader] | None = None

    def read(self) -> Machine:
        """Return the load now."""
        from backend.telemetry import gpus, host  # noqa: PLC0415 - not needed for the first frame

        if self._readers is None:
            self._readers = gpus.GpuReader(), host.HostReader(self._disk)
            self._readers[1].read()  # the processor's load is that between two readings
        cards, values = self._readers[0].read(), self._readers[1].read()
        known = gpus.known

        def ratio(percent: float | None) -> float | None:
            return None if percent is None else percent / 100

        return Machine(
            gpus=tuple(
                Gpu(
                    card.index,
                    card.name,
                    ratio(known(card.utilization_percent)),
                    known(card.memory_used_bytes),
                    known(card.memory_total_bytes),
                    known(card.temperature_c),
                    known(card.power_w),
                    tuple(dict.fromkeys(str(process.user) for process in card.processes)),
                )
                for card in cards.gpus
            ),
            cpu=ratio(known(values.cpu_percent)),
            cores=values.cpu_count,
            memory_used_bytes=known(values.memory_used_bytes),
            memory_total_bytes=known(values.memory_total_bytes),
            disk_free_bytes=known(values.disk_free_bytes),
            disk_total_bytes=known(values.disk_total_bytes),
        )
