"""A stop ends everything of a job, says so, and is obeyed at every moment of its life."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backend.jobs.launch import request_stop
from data.errors import RequestError
from data.jobs.status import Status
from tests.support import Yard, program, wait_until


def test_a_graceful_stop_lets_the_work_end_by_itself(yard: Yard) -> None:
    job_id = yard.run(program("counter.py", 1000, 0.05))
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 2)
    request_stop(yard.job(job_id), "graceful")
    job = yard.until(job_id)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 0  # it obeyed; a stop that was asked for is a stop all the same
    assert job.state.metrics["step"] < 1000
    kinds = [event["kind"] for event in job.folder.events().events]
    assert kinds.count("stopping") == 1


def test_a_stubborn_tree_in_sessions_of_its_own_is_ended_whole(yard: Yard) -> None:
    pids = yard.root / "pids"
    job_id = yard.run(program("stubborn.py", pids, 2), polite_s=0.3)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 7)
    request_stop(yard.job(job_id), "graceful")
    job = yard.until(job_id)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 137
    wait_until(lambda: not yard.alive(job_id), what="the supervisor's own end")
    assert not [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]
    signals = [event["signal"] for event in job.folder.events().events if event["kind"] == "stopping"]
    assert signals == [15, 9]


def test_stop_now_does_not_wait_for_the_polite_rung(yard: Yard) -> None:
    pids = yard.root / "pids"
    job_id = yard.run(program("stubborn.py", pids, 0), polite_s=600)
    wait_until(pids.exists)
    request_stop(yard.job(job_id), "graceful")
    yard.until(job_id, Status.STOPPING)
    request_stop(yard.job(job_id), "now")
    assert yard.until(job_id).status is Status.STOPPED


def test_a_waiting_job_stops_within_a_second(yard: Yard) -> None:
    parent = yard.spec(["/bin/sleep", "600"])
    child = yard.spec(["/bin/true"], after=(parent.id,))
    _parent_id, child_id = yard.launch(parent, child)
    wait_until(lambda: yard.job(child_id).state.waiting_for)
    begin = time.monotonic()
    request_stop(yard.job(child_id), "graceful")
    job = yard.until(child_id)
    assert time.monotonic() - begin < 1.0
    assert job.status is Status.STOPPED
    assert job.state.started_at is None


def test_a_stop_asked_for_before_the_supervisor_looks_is_obeyed(yard: Yard) -> None:
    job_id = yard.run(["/bin/sleep", "600"])
    yard.job(job_id).folder.ask_stop("graceful")
    assert yard.until(job_id).status is Status.STOPPED


def test_a_stop_in_the_last_moment_is_never_reported_as_success(yard: Yard) -> None:
    for _round in range(5):
        job_id = yard.run(["/bin/true"])
        wait_until(lambda job_id=job_id: yard.job(job_id).state.started_at)
        try:
            request_stop(yard.job(job_id), "graceful")
        except RequestError:
            assert yard.job(job_id).status is Status.SUCCEEDED  # too late, and said so
            continue
        stopped_in_time = yard.until(job_id).status
        assert stopped_in_time in (Status.STOPPED, Status.SUCCEEDED)


def test_an_ended_job_cannot_be_stopped_and_says_why(yard: Yard) -> None:
    job = yard.until(yard.run(["/bin/true"]))
    with pytest.raises(RequestError) as caught:
        request_stop(job, "graceful")
    assert job.id in str(caught.value)
