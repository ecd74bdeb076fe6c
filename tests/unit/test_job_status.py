"""The status of a job: what a fold of any events gives, and what the lock and the processes make of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import AppError
from data.files import open_lock, try_lock
from data.jobs import process
from data.jobs.folder import JobFolder, parse_event
from data.jobs.library import Library
from data.jobs.spec import Chain, GpuRequest, JobSpec, is_job_id, now, parse_time, rfc3339
from data.jobs.status import Fold, Status, derive

TIME = "2026-11-23T23:15:12.000Z"
KINDS = (
    "waiting",
    "supervised",
    "started",
    "stage",
    "progress",
    "metric",
    "artifact",
    "result",
    "stopping",
    "finished",
    "new",
)
LEGAL = {
    None: {"waiting"},
    Status.WAITING: {"waiting", "started", "stopping", "finished"},
    Status.RUNNING: {"stopping", "finished"},
    Status.STOPPING: {"stopping", "finished"},
}
words = st.text(alphabet="ab{}%é\n", max_size=6)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), words, st.dictionaries(words, words, max_size=3)
)
events = st.builds(
    lambda kind, extra, outcome: {**extra, "time": TIME, "kind": kind, "outcome": outcome},
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(["attempt", "pid", "done", "total", "label", "why", "messages", "values", "path"]), values
    ),
    st.sampled_from(["succeeded", "failed", "stopped", "lost", "nonsense"]),
)


@given(st.lists(events))
def test_any_events_fold_to_a_status_and_only_by_legal_steps(given_events: list[dict[str, object]]) -> None:
    fold = Fold()
    for event in given_events:
        before = fold.status
        fold.add(event)
        if fold.status is not before:
            kind = event["kind"]
            assert kind in LEGAL.get(before, {"waiting"})
    assert fold.state.status in Status


@given(st.binary())
def test_any_bytes_are_an_event_or_none(line: bytes) -> None:
    event = parse_event(line)
    assert event is None or isinstance(event["kind"], str)


@given(st.lists(st.sampled_from(["waiting", "started", "progress", "finished"]), min_size=1), st.data())
def test_a_file_cut_anywhere_reads_like_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], data: st.DataObject
) -> None:
    folder = JobFolder(tmp_path_factory.mktemp("job"))
    for kind in kinds:
        folder.append({"kind": kind, "time": TIME, "done": 1, "outcome": "succeeded"})
    whole = folder.events_file.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    folder.events_file.write_bytes(whole[:cut])
    batch = folder.events()
    assert batch.bad_lines == 0
    assert [event["kind"] for event in batch.events] == kinds[: whole[:cut].count(b"\n")]
    folder.append({"kind": "stage", "time": TIME})  # the next writer ends the torn line first
    after = folder.events()
    assert after.events[-1]["kind"] == "stage"
    assert after.bad_lines <= 1


def test_a_long_file_reads_in_pieces_as_at_once(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    for text in ("short", "long " * 200_000, "torn before", *("middling " * 50 for _number in range(1000))):
        folder.append({"kind": "progress", "time": TIME, "unit": text})
        if text == "short":
            with folder.events_file.open("ab") as stream:
                stream.write(b'{"kind": "prog')
    assert list(folder.every_event()) == folder.events().events
    lines, end = folder.read_lines(0, 1)
    assert len(lines) == 1, "a line is never cut"
    assert folder.read_lines(end, 1)[0] == [b'{"kind": "prog']


def made(tmp_path: Path) -> tuple[JobFolder, int]:
    spec = JobSpec.new("command", "x", workspace="/", params={})
    folder, lock = JobFolder.create(tmp_path, spec)
    return folder.publish(), lock


def status_of(folder: JobFolder) -> Status:
    fold = Fold()
    fold.add_all(folder.events().events)
    return derive(fold, folder, now().timestamp())


def test_a_held_lock_means_what_the_events_say(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    assert status_of(folder) is Status.WAITING
    os.close(lock)
    assert status_of(folder) is Status.LOST


def test_another_machine_is_unreachable_and_another_boot_of_this_one_is_lost(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    os.close(lock)
    folder.append({"kind": "supervised", **process.identity(), "boot_id": "other", "host": "elsewhere"})
    assert status_of(folder) is Status.UNREACHABLE
    folder.append({"kind": "supervised", **process.identity(), "boot_id": "other"})
    assert status_of(folder) is Status.LOST
    folder.append({"kind": "supervised", **process.identity(), "pid_ns": "pid:[1]"})
    assert status_of(folder) is Status.UNREACHABLE


def test_an_exit_status_without_an_ending_needs_a_supervisor(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    os.close(lock)
    folder.exit_file.write_text("0\n")
    assert status_of(folder) is Status.UNSUPERVISED


def test_without_locks_the_supervisors_process_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lock = made(tmp_path)
    os.close(lock)

    def no_locks(_self: JobFolder) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(JobFolder, "is_owned", no_locks)
    assert status_of(folder) is Status.UNREACHABLE  # nobody said who supervises
    folder.append({"kind": "supervised", **process.identity()})
    assert status_of(folder) is Status.WAITING
    folder.append({"kind": "supervised", **process.identity(), "start_ticks": 1})  # the pid was taken by another
    assert status_of(folder) is Status.LOST


def test_a_late_heartbeat_is_not_responding(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    fold = Fold()
    fold.add_all(folder.events().events)
    derive(fold, folder, now().timestamp())
    assert fold.state.responding
    derive(fold, folder, now().timestamp() + 31)
    assert not fold.state.responding
    os.close(lock)


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    assert folder.is_owned()
    second = open_lock(folder.lock)
    assert not try_lock(second)
    os.close(lock)
    assert not folder.is_owned()
    assert try_lock(second)
    os.close(second)


def test_specs_come_back_as_they_were_written() -> None:
    spec = JobSpec.new(
        "train", "名字", workspace="/w", params={"a": [1, None]}, after=("x",), after_any=("y",),
        gpus=GpuRequest(ids=(0, 2)), env={"K": "V"}, needs_env=("HF_TOKEN",), chain=Chain("c", "demo", 1, 3),
        moment=parse_time(TIME),
    )  # fmt: skip
    assert JobSpec.from_json(spec.as_json()) == spec
    assert is_job_id(spec.id)
    assert rfc3339(spec.created_at) == TIME


@pytest.mark.parametrize("value", [None, [], {}, {"version": 2}, {"version": 1, "id": 3}, "text"])
def test_a_spec_of_a_wrong_form_is_explained(value: object) -> None:
    with pytest.raises(AppError) as caught:
        JobSpec.from_json(value)
    assert caught.value.hint


def test_unreadable_folders_do_not_hide_the_others(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    os.close(lock)
    broken = tmp_path / "20200101-000000-train-aaaa"
    broken.mkdir()
    library = Library(tmp_path)
    assert [job.id for job in library.list()] == [folder.id]
    assert list(library.unreadable) == [broken.name]


def test_a_long_run_keeps_its_last_values_when_read_for_the_first_time(tmp_path: Path) -> None:
    folder, lock = made(tmp_path)
    folder.append({"kind": "started", "pid": 1})
    for step in range(500):
        folder.append({"kind": "metric", "step": step, "loss": 1 / (step + 1)})
        folder.append({"kind": "progress", "done": step, "total": 500, "unit": "steps"})
    job = Library(tmp_path).get(folder.id[-4:])
    assert job.state.metrics == {"step": 499.0, "loss": 1 / 500}
    assert job.state.progress is not None
    assert job.state.progress.done == 499
    os.close(lock)
