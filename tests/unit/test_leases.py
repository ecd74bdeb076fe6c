"""GPUs in the queue: taken whole or not at all, and held as long as anything of the job lives."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backend.jobs.leases import GpuSlot, Lease, take
from data.errors import AppError
from data.i18n import Message
from data.jobs.spec import GpuRequest

GIB = 2**30
GPUS = [GpuSlot(0, "GPU-a", 10 * GIB), GpuSlot(1, "GPU-b", 40 * GIB), GpuSlot(2, "GPU-c", 20 * GIB)]


def held(answer: Lease | Message) -> Lease:
    assert isinstance(answer, Lease)
    return answer


def test_the_freest_gpus_are_taken_first(tmp_path: Path) -> None:
    lease = held(take(tmp_path, GpuRequest(number=2), GPUS))
    assert lease.indices == (1, 2)
    lease.release()


def test_all_or_nothing(tmp_path: Path) -> None:
    first = held(take(tmp_path, GpuRequest(ids=(1,)), GPUS))
    assert isinstance(take(tmp_path, GpuRequest(ids=(0, 1)), GPUS), Message)
    other = held(take(tmp_path, GpuRequest(ids=(0,)), GPUS))  # what the failed try had touched is free again
    first.release()
    other.release()


def test_memory_that_is_not_free_is_waited_for(tmp_path: Path) -> None:
    answer = take(tmp_path, GpuRequest(number=2, free_bytes=30 * GIB), GPUS)
    assert isinstance(answer, Message)
    assert "30.0" in str(answer)


def test_gpus_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    for request in (GpuRequest(ids=(3,)), GpuRequest(number=4)):
        with pytest.raises(AppError) as caught:
            take(tmp_path, request, GPUS)
        assert caught.value.hint


def test_a_lease_outlives_its_taker_while_the_work_lives(tmp_path: Path) -> None:
    lease = held(take(tmp_path, GpuRequest(ids=(0,)), GPUS))
    work = subprocess.Popen(["/bin/sleep", "600"], pass_fds=lease.handles)
    lease.release()
    assert isinstance(take(tmp_path, GpuRequest(ids=(0,)), GPUS), Message)
    work.kill()
    work.wait()
    held(take(tmp_path, GpuRequest(ids=(0,)), GPUS)).release()
    assert [path.name for path in tmp_path.iterdir()] == ["gpu-GPU-a.lock"]
