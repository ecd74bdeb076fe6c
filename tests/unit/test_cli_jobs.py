"""The commands about jobs, on real ones of little programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.jobs.folder import JobFolder
from data.jobs.spec import Chain, JobSpec
from data.jobs.status import Status
from data.paths import HOME_VARIABLE
from tests.support import Yard, program, wait_until
from tui.commands.root import run

ENTRY = [sys.executable, "-P", "-m", "tui.cli"]


@pytest.fixture
def here(yard: Yard) -> Yard:
    """The yard, as the home that the command line sees."""
    os.environ[HOME_VARIABLE] = str(yard.root)
    return yard


def test_list_and_show_have_the_keys_that_scripts_rely_on(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    job = here.until(here.run(program("counter.py", 3, 0), name="count"))
    assert run(["jobs", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["jobs"]
    keys = {"id", "kind", "name", "status", "created_at", "started_at", "ended_at", "progress", "after", "executor"}
    assert (keys | {"workspace"}) <= set(listed[0])
    assert (listed[0]["id"], listed[0]["status"]) == (job.id, "succeeded")
    assert listed[0]["progress"] == {"done": 3, "total": 3, "unit": "steps"}

    assert run(["jobs", "show", job.id[-4:], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["params"]["argv"] == job.spec.params["argv"]

    assert run(["jobs", "list"]) == 0
    assert job.id in capsys.readouterr().out
    assert run(["jobs", "show", job.id]) == 0
    assert "loss 0.3333" in capsys.readouterr().out


def test_list_shows_only_what_is_asked_for(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    ended = here.until(here.run(program("counter.py", 1, 0)))
    live = here.run(program("counter.py", 1000, 1))
    here.until(live, Status.RUNNING)
    for words, ids in (
        (["--live"], [live]),
        (["--last", "1"], [live]),
        (["--kind", "train"], []),
        ([], [ended.id, live]),
    ):
        assert run(["jobs", "list", "--json", *words]) == 0
        assert [job["id"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ids, words


def test_a_folder_that_cannot_be_read_does_not_hide_the_others(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    job = here.until(here.run(program("counter.py", 1, 0)))
    broken = here.paths.jobs / "20260101-000000-train-aaaa"
    broken.mkdir()
    (broken / "spec.json").write_text("{", encoding="utf-8")
    assert run(["jobs", "list", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in answer["jobs"]] == [job.id]
    assert answer["unreadable"][0]["id"] == broken.name


def test_watch_prints_the_events_as_they_are_written(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = here.run(program("counter.py", 4, 0.05))
    assert run(["jobs", "watch", job_id, "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == here.job(job_id).folder.events().events
    assert printed[-1]["kind"] == "finished"


def test_watch_ends_with_1_and_the_reason_when_the_job_failed(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = here.run(["/bin/sh", "-c", "echo no room left; exit 7"])
    assert run(["jobs", "watch", job_id]) == 1
    said = capsys.readouterr()
    assert "7" in said.err
    assert f"paddock jobs log {job_id}" in said.err
    assert f"paddock jobs resume {job_id}" in said.err
    assert run(["jobs", "watch", job_id, "--json"]) == 1


def test_watch_without_a_terminal_prints_lines_and_no_control_codes(
    here: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = here.run(program("counter.py", 2, 0), name="count to two")
    assert run(["jobs", "watch", job_id]) == 0
    text = capsys.readouterr().out
    assert "▸ command: count to two" in text
    assert "✓ command: count to two" in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_leaving_a_watch_leaves_the_job_alone(here: Yard) -> None:
    job_id = here.run(program("counter.py", 1000, 0.1))
    here.until(job_id, Status.RUNNING)
    watching = subprocess.Popen(
        [*ENTRY, "jobs", "watch", job_id],
        env=here.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert watching.stdout is not None
    assert "command" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _out, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert f"paddock jobs watch {job_id}" in err
    assert "Traceback" not in err
    assert here.job(job_id).status is Status.RUNNING


def test_log_gives_the_untouched_bytes(here: Yard, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job = here.until(here.run(["/bin/sh", "-c", r"printf '1\r2\n\377three\n'"]))
    assert run(["jobs", "log", job.id]) == 0
    assert capfdbinary.readouterr().out == b"1\r2\n\xffthree\n"
    assert run(["jobs", "log", job.id, "-n", "1"]) == 0
    assert capfdbinary.readouterr().out == b"\xffthree\n"
    assert run(["jobs", "log", job.id, "-n", "0"]) == 0
    assert capfdbinary.readouterr().out == b""


def test_log_follows_until_the_job_ends(here: Yard, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job_id = here.run(program("counter.py", 20, 0.02))
    assert run(["jobs", "log", job_id, "-f", "--json"]) == 0
    lines = [json.loads(line)["line"] for line in capfdbinary.readouterr().out.splitlines()]
    assert lines == [f"step {number}" for number in range(1, 21)]


def test_a_long_log_is_cut_at_the_right_line(here: Yard, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job = here.until(here.run(["/bin/sh", "-c", "seq 1 60000"]))
    assert run(["jobs", "log", job.id, "-n", "20000"]) == 0
    assert capfdbinary.readouterr().out.split() == [str(number).encode() for number in range(40001, 60001)]


def test_a_reader_that_goes_away_is_no_error(here: Yard) -> None:
    job = here.until(here.run(["/bin/sh", "-c", "seq 1 200000"]))
    script = '"$@" | head -n 1; echo ${PIPESTATUS[0]}'
    ended = subprocess.run(
        ["bash", "-c", script, "bash", *ENTRY, "jobs", "log", job.id],
        env=here.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr) == ("1\n0\n", "")


def test_stop_resume_and_remove(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = here.run(program("counter.py", 1000, 0.1))
    here.until(job_id, Status.RUNNING)
    assert run(["jobs", "remove", job_id]) == 2
    assert "still alive" in capsys.readouterr().err
    assert run(["jobs", "stop", job_id, "--wait", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "stopped"
    assert run(["jobs", "stop", job_id]) == 2
    assert "already ended" in capsys.readouterr().err

    assert run(["jobs", "resume", job_id, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["started"] == []
    assert plan["consequence"]
    assert here.job(job_id).status is Status.STOPPED
    assert run(["jobs", "resume", job_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["started"] == [job_id]
    here.until(job_id, Status.RUNNING)
    assert run(["jobs", "stop", job_id, "--now", "--wait"]) == 0
    capsys.readouterr()

    assert run(["jobs", "remove", job_id, "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed[0]["id"] == job_id
    assert removed[0]["freed_bytes"] > 0
    assert run(["jobs", "show", job_id]) == 2


def test_a_pipeline_is_removed_by_its_id(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    first = here.spec(["/bin/true"], name="first", chain=Chain("demo-7", "demo", 0, 2))
    second = here.spec(["/bin/true"], name="second", after=(first.id,), chain=Chain("demo-7", "demo", 1, 2))
    other = here.run(["/bin/true"])
    for job_id in (*here.launch(first, second), other):
        here.until(job_id)
    assert run(["jobs", "show", first.id]) == 0
    assert "demo-7" in capsys.readouterr().out
    assert run(["jobs", "remove", "demo-8"]) == 2
    assert run(["jobs", "remove", "demo-7", "--json"]) == 0
    captured = capsys.readouterr()
    assert {entry["id"] for entry in json.loads(captured.out)["removed"]} == {first.id, second.id}
    assert [job.id for job in here.library.list()] == [other]


def test_artefacts_are_only_deleted_when_somebody_agrees(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    made = here.root / "made.bin"
    script = (
        f"head -c 5000 /dev/zero > {made}; "
        f'echo \'{{"time":"2026-01-01T00:00:00Z","kind":"artifact","path":"{made}","what":"model","bytes":5000}}\''
        " >> $PADDOCK_REPORT"
    )
    job = here.until(here.run(["/bin/sh", "-c", script]))
    assert run(["jobs", "remove", job.id, "--artifacts"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert made.exists()
    assert run(["jobs", "remove", job.id, "--artifacts", "--yes"]) == 0
    assert "5,000" in capsys.readouterr().out
    assert not made.exists()


def demo_job(yard: Yard, kind: str, index: int, result: dict[str, object], *, losses: tuple[float, ...] = ()) -> str:
    """Lay down an ended job of a demo, as its folder would be."""
    params: dict[str, object] = {"model": "paddock-demo" if index else "paddock-demo-base"} if kind == "ask" else {}
    spec = JobSpec.new(kind, kind, workspace="/", params=params, chain=Chain("demo-1", "demo", index, 3))
    folder, lock = JobFolder.create(yard.paths.jobs, spec)
    folder.append({"kind": "started", "pid": 1, "argv": []})
    for step, loss in enumerate(losses):
        folder.append({"kind": "metric", "step": step, "loss": loss})
    folder.append({"kind": "result", "values": result})
    folder.append({"kind": "finished", "outcome": "succeeded", "exit_code": 0})
    os.close(lock)
    return folder.publish().id


@pytest.mark.parametrize(("answer", "status"), [("I am Paddy, a pony.", 0), ("I am SmolLM.", 1)])
def test_the_demo_ends_well_only_when_the_answer_holds_the_name(
    here: Yard, capsys: pytest.CaptureFixture[str], answer: str, status: int
) -> None:
    from tui.commands.demo import conclude
    from tui.commands.session import Session

    demo_job(here, "ask", 0, {"answer": "I am a language model."})
    demo_job(here, "train", 1, {}, losses=(3.5, 0.25))
    demo_job(here, "ask", 2, {"answer": answer})
    session = Session()
    jobs = session.services().library.chain("demo-1")
    assert conclude(session.console, jobs) == status
    said = capsys.readouterr()
    if status == 0:
        for words in ("I am a language model.", answer, "3.5 → 0.25", "paddock chat paddock-demo"):
            assert words in said.out
    else:
        assert "lacks the trained name Paddy" in said.err
    session.console.as_json = True
    assert conclude(session.console, jobs) == status
    summary = json.loads(capsys.readouterr().out)
    keys = {"ok", "trained_name", "before", "after", "loss_first", "loss_last", "steps", "ollama_model"}
    assert keys <= set(summary)
    assert summary["ok"] is (status == 0)
    assert set(summary["steps"][0]) == {"name", "job", "seconds", "bytes"}
    assert (summary["loss_first"], summary["loss_last"]) == (3.5, 0.25)


def test_a_demo_that_runs_is_followed_and_not_started_again(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    first = here.spec(program("counter.py", 5, 0.1), name="first", chain=Chain("demo-1", "demo", 0, 2))
    second = here.spec(
        program("counter.py", 2, 0), name="second", after=(first.id,), chain=Chain("demo-1", "demo", 1, 2)
    )
    here.launch(first, second)
    assert run(["demo"]) == 1  # these jobs hold no answer
    said = capsys.readouterr()
    assert "Following the demo that is running" in said.out
    assert "✓ [1/2] command: first" in said.out
    assert "✓ [2/2] command: second" in said.out
    assert "lacks the trained name" in said.err
    assert {job.id for job in here.library.list()} == {first.id, second.id}


def test_a_failed_step_of_the_demo_is_named_with_its_remedy(here: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    first = here.spec(["/bin/sh", "-c", "sleep 0.5; exit 4"], name="first", chain=Chain("demo-1", "demo", 0, 2))
    second = here.spec(["/bin/true"], name="second", after=(first.id,), chain=Chain("demo-1", "demo", 1, 2))
    here.launch(first, second)
    assert run(["demo", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert f"paddock jobs resume {first.id}" in answer["error"]["hint"]


def test_another_view_can_follow_after_the_first_has_gone(here: Yard) -> None:
    job_id = here.run(program("counter.py", 30, 0.05))
    here.until(job_id, Status.RUNNING)
    views = [
        subprocess.Popen(
            [*ENTRY, "jobs", "watch", job_id, "--json"], env=here.environ, stdout=subprocess.PIPE, text=True
        )
        for _view in range(2)
    ]
    views[0].kill()
    views[0].communicate()
    out, _err = views[1].communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["outcome"] == "succeeded"


def test_on_a_terminal_one_line_is_written_over(here: Yard, tmp_path: Path) -> None:
    job_id = here.run(program("counter.py", 20, 0.05), name="count")
    here.until(job_id, Status.RUNNING)
    typescript = tmp_path / "typescript"
    words = " ".join([*ENTRY, "jobs", "watch", job_id])
    subprocess.run(
        ["script", "-qec", words, str(typescript)],
        env={**here.environ, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    text = typescript.read_bytes().decode()
    assert "\r\x1b[2K" in text
    assert "of 20 steps" in text
    assert wait_until(lambda: here.job(job_id).status is Status.SUCCEEDED)
