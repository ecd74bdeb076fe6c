"""telemetry.jsonl: one line a sample of GPUs and host while a job runs, bounded however long it runs.

When the file has ``limit_lines`` lines, every second one is dropped and the interval doubles: a run of a week has
as many points as its chart can show, evenly spread, at a few hundred kilobytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from backend.telemetry.gpus import GpuReader, known
from backend.telemetry.host import HostReader
from data.files import append_line, replacing
from data.jobs.spec import now, parse_time, rfc3339
from data.jsontext import json_line, parse_json

LIMIT_LINES: Final = 4_000


def take_sample(gpus: GpuReader, host: HostReader, moment: datetime | None = None) -> dict[str, object]:
    """Return the object of one line: ``{time, cpu_percent, memory_*_bytes, disk_free_bytes, gpus: [{index, …}]}``."""
    values = host.read()
    return {
        "time": rfc3339(moment or now()),
        "cpu_percent": known(values.cpu_percent),
        "memory_used_bytes": known(values.memory_used_bytes),
        "memory_total_bytes": known(values.memory_total_bytes),
        "disk_free_bytes": known(values.disk_free_bytes),
        "gpus": [
            {
                "index": gpu.index,
                "memory_used_bytes": known(gpu.memory_used_bytes),
                "memory_total_bytes": known(gpu.memory_total_bytes),
                "utilization_percent": known(gpu.utilization_percent),
                "temperature_c": known(gpu.temperature_c),
                "power_w": known(gpu.power_w),
            }
            for gpu in gpus.read(processes=False).gpus
        ],
    }


class SampleWriter:
    """Appends samples to a file and keeps it bounded; a new writer on an old file goes on at its pace."""

    def __init__(self, path: Path, *, interval_s: float, limit_lines: int = LIMIT_LINES) -> None:
        self._path = path
        self._limit = limit_lines // 2 * 2  # so that thinning keeps the newest, and the gaps even
        times = [parse_time(cast("str", sample["time"])).timestamp() for sample in read_samples(path)]
        self._lines = len(times)
        self._interval_s = interval_s
        if len(times) > 1:
            pace_s = min(later - earlier for earlier, later in itertools.pairwise(times))
            while self._interval_s * 1.5 < pace_s:  # pauses between attempts only make gaps longer
                self._interval_s *= 2

    @property
    def interval_s(self) -> float:
        """Seconds between two samples at present; doubles whenever the file was thinned."""
        return self._interval_s

    def write(self, sample: Mapping[str, object]) -> None:
        """Append ``sample``; a full disk loses samples, never the job: the caller may ignore OSError."""
        append_line(self._path, sample, durable=False)
        self._lines += 1
        if self._lines > self._limit:
            self._thin()

    def _thin(self) -> None:
        self._lines = 0
        with replacing(self._path) as stream:  # line by line: all samples at once would take the supervisor megabytes
            for sample in itertools.islice(read_samples(self._path), None, None, 2):
                stream.write(json_line(sample).encode() + b"\n")
                self._lines += 1
        self._interval_s *= 2


def read_samples(path: Path) -> Iterator[dict[str, object]]:
    """Yield the samples of a file, oldest first; torn and foreign lines are skipped, a missing file is empty."""
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                sample = cast("dict[str, object]", parse_json(line))
                parse_time(cast("str", sample["time"]))
            except (ValueError, TypeError, KeyError):
                continue
            yield sample
