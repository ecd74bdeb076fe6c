"""When the supervisor dies the work goes on; it is adopted, or lost and resumed, and never run twice at once."""

from __future__ import annotations

import os
import signal

import pytest

from backend.jobs.launch import adopt, remove, request_stop, resume
from data.errors import RequestError
from data.jobs.status import Status
from tests.support import Yard, program, wait_until

pytestmark = pytest.mark.slow


def kill_supervisor(yard: Yard, job_id: str) -> None:
    pid = yard.supervisor(job_id)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not yard.job(job_id).folder.is_owned(), what="the lock to be free")


def test_the_work_goes_on_and_is_adopted_with_its_true_ending(yard: Yard) -> None:
    job_id = yard.run(program("counter.py", 40, 0.05, 7))
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 3)
    kill_supervisor(yard, job_id)
    assert yard.job(job_id).status is Status.UNSUPERVISED
    with pytest.raises(RequestError):
        resume(yard.library, job_id)
    assert adopt(yard.library, environ=yard.environ) == [job_id]
    assert adopt(yard.library, environ=yard.environ) == []
    yard.until(job_id, Status.RUNNING)
    job = yard.until(job_id)
    assert (job.status, job.state.exit_code) == (Status.FAILED, 7)
    steps = [event["step"] for event in job.folder.events().events if event["kind"] == "metric"]
    assert steps == list(range(1, 41))  # nothing lost, nothing twice


def test_a_work_that_ended_meanwhile_gets_its_ending_from_the_shim(yard: Yard) -> None:
    job_id = yard.run(program("counter.py", 3, 0.2))
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 1)
    kill_supervisor(yard, job_id)
    wait_until(yard.job(job_id).folder.exit_file.exists)
    adopt(yard.library, environ=yard.environ)
    job = yard.until(job_id, Status.SUCCEEDED)
    assert job.state.metrics["step"] == 3


def test_an_adopted_job_can_be_stopped(yard: Yard) -> None:
    pids = yard.root / "pids"
    job_id = yard.run(program("stubborn.py", pids, 0), polite_s=0.2)
    wait_until(pids.exists)
    kill_supervisor(yard, job_id)
    adopt(yard.library, environ=yard.environ)
    yard.until(job_id, Status.RUNNING)
    request_stop(yard.job(job_id), "graceful")
    assert yard.until(job_id).status is Status.STOPPED
    wait_until(lambda: not yard.alive(job_id))


def test_when_nothing_is_left_it_is_lost_and_a_resume_works(yard: Yard) -> None:
    job_id = yard.run(program("counter.py", 60, 0.05))
    child = yard.spec(["/bin/true"], after=(job_id,))
    yard.launch(child)
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 1)
    yard.kill(job_id)
    wait_until(lambda: yard.job(job_id).status is Status.LOST)
    assert wait_until(lambda: "lost" in str(yard.job(child.id).state.waiting_for))
    assert yard.job(child.id).status is Status.WAITING
    assert resume(yard.library, job_id, environ=yard.environ) == [job_id]
    job = yard.until(job_id)
    assert (job.status, job.state.attempt) == (Status.SUCCEEDED, 2)
    assert yard.until(child.id).status is Status.SUCCEEDED
    outcomes = [event["outcome"] for event in job.folder.events().events if event["kind"] == "finished"]
    assert outcomes == ["lost", "succeeded"]


def test_resuming_a_failed_parent_runs_its_children_too(yard: Yard) -> None:
    flag = yard.root / "flag"
    parent = yard.spec(["/bin/sh", "-c", f"test -e {flag}"])
    child = yard.spec(["/bin/true"], after=(parent.id,))
    grandchild = yard.spec(["/bin/true"], after=(child.id,))
    ids = yard.launch(parent, child, grandchild)
    assert yard.until(ids[2]).status is Status.FAILED
    flag.touch()
    assert resume(yard.library, parent.id, environ=yard.environ) == ids
    assert [yard.until(job_id, Status.SUCCEEDED).state.attempt for job_id in ids] == [2, 2, 2]


def test_a_lost_job_can_be_stopped_for_good_and_removed(yard: Yard) -> None:
    job_id = yard.run(["/bin/sleep", "600"])
    yard.until(job_id, Status.RUNNING)
    with pytest.raises(RequestError):
        remove([yard.job(job_id)], with_artifacts=False)
    yard.kill(job_id)
    wait_until(lambda: yard.job(job_id).status is Status.LOST)
    request_stop(yard.job(job_id), "graceful")
    assert yard.job(job_id).status is Status.STOPPED
    assert remove([yard.job(job_id)], with_artifacts=False) > 0
    assert yard.library.list() == []
    with pytest.raises(RequestError):
        yard.job(job_id)


def test_a_sigterm_to_the_supervisor_is_a_graceful_stop(yard: Yard) -> None:
    job_id = yard.run(program("counter.py", 1000, 0.05))
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 1)
    os.kill(yard.supervisor(job_id), signal.SIGTERM)
    job = yard.until(job_id)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 0
