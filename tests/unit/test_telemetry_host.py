from __future__ import annotations

from pathlib import Path

import pytest

from backend.telemetry.gpus import NA
from backend.telemetry.host import HostReader

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:   12000000 kB\n"


def machine(root: Path, stat: str = "cpu  10 0 10 80 0 0 0 0 0 0\n") -> Path:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(stat)
    (root / "proc/meminfo").write_text(MEMINFO)
    (root / "proc/loadavg").write_text("1.50 1.00 0.50 2/300 4242\n")
    return root


def test_the_load_is_that_between_two_readings(tmp_path: Path) -> None:
    reader = HostReader(tmp_path, machine(tmp_path))
    assert reader.read().cpu_percent is NA
    machine(tmp_path, "cpu  40 0 20 140 10 0 0 0 0 0\n")  # 110 ticks later, 70 of them idle or waiting for a disk
    assert reader.read().cpu_percent == pytest.approx(36.4)


def test_memory_leaves_out_what_the_kernel_gives_back(tmp_path: Path) -> None:
    host = HostReader(tmp_path, machine(tmp_path)).read()
    assert (host.memory_total_bytes, host.memory_used_bytes) == (16_000_000 * 1024, 4_000_000 * 1024)
    assert host.load_1m == 1.5


@pytest.mark.parametrize(
    ("limit", "held", "cache"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_container_counts_by_its_own_limit(tmp_path: Path, limit: str, held: str, cache: str) -> None:
    group = machine(tmp_path) / "sys/fs/cgroup"
    (group / held).parent.mkdir(parents=True)
    (group / limit).write_text("4000000\n")
    (group / held).write_text("3000000\n")
    (group / held).with_name("memory.stat").write_text(f"anon 5\n{cache} 1000000\n")
    host = HostReader(tmp_path, tmp_path).read()
    assert (host.memory_total_bytes, host.memory_used_bytes) == (4_000_000, 2_000_000)


def test_a_group_without_a_limit_counts_by_the_machine(tmp_path: Path) -> None:
    group = machine(tmp_path) / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert HostReader(tmp_path, tmp_path).read().memory_total_bytes == 16_000_000 * 1024


def test_an_unreadable_machine_gives_na_not_errors(tmp_path: Path) -> None:
    host = HostReader(tmp_path / "not" / "there", tmp_path).read()
    assert (host.cpu_percent, host.memory_total_bytes, host.load_1m) == (NA, NA, NA)
    assert isinstance(host.disk_free_bytes, int)
    assert host.as_json()["cpu_percent"] is None


def test_this_machine_is_read(tmp_path: Path) -> None:
    host = HostReader(tmp_path).read()
    assert isinstance(host.memory_used_bytes, int)
    assert host.memory_used_bytes > 0
