"""A job runs to its end by itself, and its folder says truly what happened."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from backend.jobs.launch import launch
from data.errors import AppError
from data.jobs.report import VARIABLE
from data.jobs.status import Fold, Status
from tests.support import Yard, program, wait_until


def test_a_job_succeeds_with_its_output_progress_metrics_and_result(yard: Yard) -> None:
    job = yard.until(yard.run(program("counter.py", 5, 0.01)))
    assert job.status is Status.SUCCEEDED
    assert job.state.exit_code == 0
    assert job.state.progress is not None
    assert (job.state.progress.done, job.state.progress.total, job.state.progress.unit) == (5, 5, "steps")
    assert job.state.metrics["loss"] == 0.2
    assert job.state.result == {"steps": 5}
    assert job.folder.log.read_text().splitlines() == [f"step {n}" for n in range(1, 6)]


def test_a_job_that_exits_3_failed_with_3(yard: Yard) -> None:
    job = yard.until(yard.run(["/bin/sh", "-c", "exit 3"]))
    assert (job.status, job.state.exit_code) == (Status.FAILED, 3)
    assert "3" in str(job.state.detail)


def test_a_job_that_is_killed_says_by_which_signal(yard: Yard) -> None:
    job = yard.until(yard.run(["/bin/sh", "-c", "kill -SEGV $$"]))
    assert (job.status, job.state.exit_code) == (Status.FAILED, 128 + signal.SIGSEGV)
    assert str(job.state.detail) == "SIGSEGV"


def test_a_program_that_does_not_exist_is_an_explained_failure(yard: Yard) -> None:
    job = yard.until(yard.run(["/nowhere/at-all"]))
    assert (job.status, job.state.exit_code) == (Status.FAILED, 127)


def test_a_missing_working_folder_is_said_before_the_start(yard: Yard) -> None:
    spec = yard.spec([])._replace(params={"argv": ["/bin/true"], "cwd": "/nowhere"})
    job = yard.until(yard.launch(spec)[0])
    assert job.status is Status.FAILED
    assert job.state.started_at is None
    assert "/nowhere" in str(job.state.detail)


def test_children_wait_for_their_parent_and_see_its_success(yard: Yard) -> None:
    order = yard.root / "order"
    first = yard.spec(["/bin/sh", "-c", f"sleep 0.3; echo first >> {order}"], name="first")
    second = yard.spec(["/bin/sh", "-c", f"echo second >> {order}"], name="second", after=(first.id,))
    third = yard.spec(["/bin/sh", "-c", f"echo third >> {order}"], name="third", after=(second.id,))
    ids = yard.launch(first, second, third)
    assert [yard.until(job_id).status for job_id in ids] == [Status.SUCCEEDED] * 3
    assert order.read_text().split() == ["first", "second", "third"]


def test_a_child_of_a_failed_parent_fails_with_its_name_and_the_way_back(yard: Yard) -> None:
    parent = yard.spec(["/bin/sh", "-c", "exit 1"], name="the parent")
    child = yard.spec(["/bin/true"], after=(parent.id,))
    grandchild = yard.spec(["/bin/true"], after=(child.id,))
    anyway = yard.spec(["/bin/true"], after_any=(parent.id,))
    ids = yard.launch(parent, child, grandchild, anyway)
    assert [yard.until(job_id).status for job_id in ids] == [
        Status.FAILED,
        Status.FAILED,
        Status.FAILED,
        Status.SUCCEEDED,
    ]
    state = yard.job(ids[1]).state
    assert "the parent" in str(state.title)
    assert f"paddock jobs resume {parent.id}" in str(state.hint)
    assert state.started_at is None


def test_work_gets_the_allowed_environment_and_its_marks_only(yard: Yard) -> None:
    spec = yard.spec(["/usr/bin/env"], env={"EXTRA": "1"}, needs_env=("MY_TOKEN",))
    environ = {
        **yard.environ,
        "HF_ENDPOINT": "http://mirror",
        "AWS_SECRET": "s3cret",
        "MY_TOKEN": "t0ken",
        VARIABLE: "old",
    }
    job = yard.until(yard.launch(spec, environ=environ)[0])
    seen = dict(line.split("=", 1) for line in job.folder.log.read_text().splitlines() if "=" in line)
    assert seen["PADDOCK_JOB"] == job.id
    assert seen[VARIABLE] == str(job.folder.report)
    assert (seen["HF_ENDPOINT"], seen["EXTRA"], seen["MY_TOKEN"]) == ("http://mirror", "1", "t0ken")
    assert "AWS_SECRET" not in seen
    assert "t0ken" not in job.folder.spec_file.read_text() + job.folder.events_file.read_text()


def test_what_a_job_needs_of_the_environment_is_checked_before_the_start(yard: Yard) -> None:
    job = yard.until(yard.run(["/bin/true"], needs_env=("SURELY_NOT_SET",)))
    assert job.status is Status.FAILED
    assert "SURELY_NOT_SET" in str(job.state.detail)


def test_a_job_that_another_job_starts_is_not_ended_with_it(yard: Yard) -> None:
    nest = (
        "from pathlib import Path; import sys\n"
        "from backend.jobs.launch import launch\n"
        "from data.jobs.spec import JobSpec\n"
        "spec = JobSpec.new('command', 'inner', workspace='/', params={'argv': ['/bin/sleep', '600']})\n"
        "print(launch(Path(sys.argv[1]), [spec])[0])\n"
    )
    outer = yard.until(yard.run([sys.executable, "-P", "-c", nest, str(yard.paths.jobs)]))
    assert outer.status is Status.SUCCEEDED, outer.folder.log.read_text()
    inner = outer.folder.log.read_text().strip()
    yard.ids.append(inner)
    assert yard.until(inner, Status.RUNNING).state.work_pid
    wait_until(lambda: not yard.alive(outer.id), what="the supervisor's own end")


def test_daemons_that_the_work_leaves_behind_end_with_it(yard: Yard) -> None:
    pids = yard.root / "pids"
    script = (
        "import subprocess, os\n"
        f"subprocess.Popen({program('stubborn.py', pids, 1)!r}, start_new_session=True)\n"
        f"while not os.path.exists({str(pids)!r}) or len(open({str(pids)!r}).read().split()) < 3: pass\n"
    )
    job = yard.until(yard.run([sys.executable, "-c", script]), timeout_s=60)
    assert job.status is Status.SUCCEEDED
    wait_until(lambda: not yard.alive(job.id), what="the supervisor's own end")
    assert not [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]


def test_a_folder_cut_at_every_byte_of_its_last_event_still_reads(yard: Yard) -> None:
    job = yard.until(yard.run(program("counter.py", 2, 0)))
    wait_until(lambda: not job.folder.is_owned(), what="the supervisor's own end")
    whole = job.folder.events_file.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        job.folder.events_file.write_bytes(whole[:cut])
        seen = yard.job(job.id)
        # The work left its exit status: what the supervisor could not write, the next one will.
        assert seen.status is Status.UNSUPERVISED
        assert seen.state.bad_lines == 0
        job.folder.append({"kind": "finished", "outcome": "failed", "exit_code": 1})
        # Cut behind the last brace, the torn line was whole but for its newline, and counts.
        ending = Status.SUCCEEDED if cut == len(whole) - 1 else Status.FAILED
        assert yard.job(job.id).status is ending
        fold = Fold()
        fold.add_all(job.folder.events().events)
        assert fold.state.status is ending
    job.folder.events_file.write_bytes(whole)
    assert yard.job(job.id).status is Status.SUCCEEDED


def test_specs_are_all_laid_down_or_none(yard: Yard) -> None:
    yard.paths.jobs.mkdir(parents=True)
    good, bad = yard.spec(["/bin/true"]), yard.spec(["/bin/true"])
    (yard.paths.jobs / f".new-{bad.id}").mkdir()
    with pytest.raises(AppError):
        launch(yard.paths.jobs, [good, bad], environ=dict(os.environ))
    assert yard.library.list() == []
