from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.telemetry.gpus import GpuReader
from backend.telemetry.host import HostReader
from backend.telemetry.sample import SampleWriter, read_samples, take_sample
from data.jobs.spec import rfc3339

START = datetime(2026, 1, 1, tzinfo=UTC)


def write(writer: SampleWriter, count: int, from_s: float = 0.0) -> float:
    """Write ``count`` samples at the writer's own pace and return the time after the last."""
    time_s = from_s
    for _number in range(count):
        writer.write({"time": rfc3339(START + timedelta(seconds=time_s)), "gpus": []})
        time_s += writer.interval_s
    return time_s


def times_s(path: Path) -> list[float]:
    return [(datetime.fromisoformat(str(s["time"])) - START).total_seconds() for s in read_samples(path)]


def test_a_long_run_keeps_a_bounded_number_of_evenly_spread_samples(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    writer = SampleWriter(path, interval_s=2, limit_lines=100)
    end_s = write(writer, 1000)
    kept = times_s(path)
    gaps = {later - earlier for earlier, later in itertools.pairwise(kept)}
    assert 50 <= len(kept) <= 100
    assert kept[0] == 0
    assert end_s - kept[-1] <= 2 * writer.interval_s
    assert gaps == {writer.interval_s}


def test_a_new_writer_goes_on_at_the_pace_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    first = SampleWriter(path, interval_s=2, limit_lines=100)
    write(first, 500)
    second = SampleWriter(path, interval_s=2, limit_lines=100)
    assert second.interval_s == first.interval_s > 2
    assert SampleWriter(tmp_path / "none", interval_s=2).interval_s == 2


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    write(SampleWriter(path, interval_s=2), 3)
    with path.open("a") as stream:
        stream.write('[1]\nnull\n{"time": 5}\n{"time":"2026-01-01T0')
    assert len(times_s(path)) == 3
    write(SampleWriter(path, interval_s=2), 1, from_s=6)
    assert times_s(path) == [0, 2, 4, 6]


def test_a_sample_of_this_machine_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    sample = take_sample(GpuReader(), HostReader(tmp_path), START)
    SampleWriter(path, interval_s=2).write(sample)
    assert list(read_samples(path)) == [sample]
    assert sample["time"] == "2026-01-01T00:00:00.000Z"
