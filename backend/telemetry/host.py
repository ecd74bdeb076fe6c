"""The host at one moment: processor, memory, disk; read from /proc and the control group, no library needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.telemetry.gpus import NA, NotAvailable, known

_CGROUP: Final = Path("/sys/fs/cgroup")
_IDLE_FIELDS: Final = (3, 4)  # idle and iowait of the "cpu" line, proc_stat(5)


@dataclass(frozen=True, slots=True)
class Host:
    """One snapshot. In a container, memory is what the container may use."""

    cpu_percent: float | NotAvailable
    """All cores together, 0 to 100, since the snapshot before; NA in the first"""
    cpu_count: int
    """Cores that this process may use"""
    load_1m: float | NotAvailable
    memory_total_bytes: int | NotAvailable
    memory_used_bytes: int | NotAvailable
    """What programs hold; caches that the kernel gives back do not count"""
    disk_free_bytes: int | NotAvailable
    disk_total_bytes: int | NotAvailable

    def as_json(self) -> dict[str, object]:
        """Return the object of ``paddock gpus --json`` under ``host``."""
        return {
            "cpu_percent": known(self.cpu_percent),
            "cpu_count": self.cpu_count,
            "load_1m": known(self.load_1m),
            "memory_total_bytes": known(self.memory_total_bytes),
            "memory_used_bytes": known(self.memory_used_bytes),
            "disk_free_bytes": known(self.disk_free_bytes),
            "disk_total_bytes": known(self.disk_total_bytes),
        }


class HostReader:
    """Reads the host again and again; the load of the processor is that between two readings.

    ``root`` stands for "/" in tests, ``disk`` is a folder on the file system to watch.
    """

    def __init__(self, disk: Path, root: Path = Path("/")) -> None:
        self._disk = disk
        self._root = root
        self._before: tuple[int, int] | None = None

    def read(self) -> Host:
        """Return the host now; well under a millisecond."""
        total, used = self._memory()
        free, size = _disk(self._disk)
        return Host(
            cpu_percent=self._cpu_percent(),
            cpu_count=len(os.sched_getaffinity(0)),
            load_1m=self._load(),
            memory_total_bytes=total,
            memory_used_bytes=used,
            disk_free_bytes=free,
            disk_total_bytes=size,
        )

    def _cpu_percent(self) -> float | NotAvailable:
        try:
            words = (self._root / "proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
            # guest time is counted in user time as well: only the first eight fields make the sum
            ticks = [int(word) for word in words[1:9]]
        except (OSError, ValueError):
            return NA
        idle, everything = sum(ticks[i] for i in _IDLE_FIELDS), sum(ticks)
        before, self._before = self._before, (idle, everything)
        if before is None or everything <= before[1]:
            return NA
        busy = 1 - (idle - before[0]) / (everything - before[1])
        return round(100 * min(1.0, max(0.0, busy)), 1)

    def _memory(self) -> tuple[int | NotAvailable, int | NotAvailable]:
        try:
            lines = (self._root / "proc/meminfo").read_text(encoding="ascii").splitlines()
            kilobytes = {name: int(rest.split()[0]) for name, _colon, rest in (line.partition(":") for line in lines)}
            total = kilobytes["MemTotal"] * 1024
            used = total - kilobytes["MemAvailable"] * 1024
        except (OSError, ValueError, KeyError, IndexError):
            return NA, NA
        limit, held = self._cgroup_memory()
        if limit is not None and held is not None and limit < total:
            return limit, held
        return total, used

    def _cgroup_memory(self) -> tuple[int | None, int | None]:
        """Return (limit, held) of the control group, version 2 or 1; None where it has no limit."""
        group = self._root / _CGROUP.relative_to("/")
        for limit_name, held_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                limit = int((group / limit_name).read_text(encoding="ascii"))  # "max" is no number
                held = int((group / held_name).read_text(encoding="ascii"))
                statistics = (group / held_name).with_name("memory.stat").read_text(encoding="ascii")
                cache = next(
                    (int(line.split()[1]) for line in statistics.splitlines() if line.startswith(cache_name)), 0
                )
            except (OSError, ValueError, IndexError):
                continue
            return limit, max(0, held - cache)
        return None, None

    def _load(self) -> float | NotAvailable:
        try:
            return float((self._root / "proc/loadavg").read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return NA


def _disk(folder: Path) -> tuple[int | NotAvailable, int | NotAvailable]:
    """Return (free for us, all) bytes of the file system of ``folder``, or of the nearest folder that exists."""
    for place in (folder, *folder.parents):
        try:
            answer = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            break
        return answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize
    return NA, NA
