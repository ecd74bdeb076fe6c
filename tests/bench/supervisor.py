"""The supervisor's memory while a job of each kind of follower runs; its goal holds without a GPU driver."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.jobs.status import Status
from tests.bench.result import Result
from tests.bench.terminal import memory_mb, peak_mb
from tests.support import Yard, program, wait_until

MOST_MB = 30.0


def measure() -> Iterator[Result]:
    """Look at the supervisor of a little program, once it has sampled the machine and copied events."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as folder:
        yard = Yard(Path(folder) / "home")
        try:
            job_id = yard.run(program("counter.py", 100_000, 0.01), name="counter")
            yard.until(job_id, Status.RUNNING)
            telemetry = yard.job(job_id).folder.telemetry
            wait_until(lambda: _lines(telemetry) >= 3, what="three samples of the machine")
            pid = yard.supervisor(job_id)
            resident_mb, proportional_mb = memory_mb(pid)
            yield Result("supervisor: resident memory (RSS)", resident_mb, "MB", most=MOST_MB)
            yield Result("supervisor: the most it ever had", peak_mb(pid), "MB", most=MOST_MB)
            yield Result("supervisor: proportional memory (PSS)", proportional_mb, "MB")
        finally:
            yard.close()


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
