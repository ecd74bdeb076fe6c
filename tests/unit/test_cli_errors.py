"""Bad input everywhere: one message of what failed, why and what to do; the right status; nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.lf import yamlform
from data.errors import AppError, system_failure
from data.jobs.report import run_work
from data.paths import HOME_VARIABLE
from tests.unit.model_folder import write_model
from tui.commands.root import run

ENTRY = [sys.executable, "-P", "-m", "tui.cli"]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Paddock's own, and an empty workspace to stand in; no program of the machine is found."""
    made, workspace = tmp_path / "home", tmp_path / "work"
    made.mkdir()
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    os.environ |= {HOME_VARIABLE: str(made), "PATH": "/usr/bin:/bin", "OLLAMA_HOST": "127.0.0.1:9"}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        os.environ.pop(name, None)
    return made


def call(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``paddock`` in a process of its own; no byte code is written, or a small limit would cut it off."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return subprocess.run(
        [*ENTRY, *words], env=environ, text=True, check=False, timeout=60, stderr=subprocess.PIPE, **options
    )


# -- what is read -----------------------------------------------------------------------------------------------------

ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
FILES: list[tuple[str, bytes]] = [
    ("malformed.yaml", b"a: [1, 2\nb: }"),
    ("binary.yaml", bytes(range(256)) * 8),
    ("utf16.yaml", "a: b".encode("utf-16")),
    ("nul.yaml", b"a: b\0\n"),
    ("deep.yaml", b"[" * 1_500),
    ("deep.json", b"[" * 100_000),
    ("half.json", b'{"a": '),
    ("twice.yaml", b"a: 1\na: 2\n"),
    ("object.yaml", b"a: !!python/object/apply:os.system ['id']\n"),
    ("unfolds.yaml", ALIASES.encode()),
    ("list.yaml", b"- 1\n"),
    ("scalar.yaml", b"hello\n"),
]


@pytest.mark.parametrize("verb", ["train", pytest.param("export", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _content in FILES])
def test_a_configuration_that_cannot_be_read_is_refused(
    verb: str, name: str, content: bytes, home: Path, capsys: Said
) -> None:
    Path(name).write_bytes(content)
    assert run([verb, name]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("paddock: The configuration ")
    assert name in said.err
    assert len(said.err.splitlines()) == 3
    assert not home.joinpath("state").exists()


@pytest.mark.parametrize("place", [".", "/dev/zero", "/proc/self/mem", "/etc/passwd/x"])
def test_a_place_that_is_no_configuration_is_refused(place: str, home: Path, capsys: Said) -> None:
    assert run(["train", place]) == 2
    assert "The configuration cannot be read" in capsys.readouterr().err


def test_aliases_that_are_merely_used_are_no_offence() -> None:
    assert yamlform.load("a: &a [1, 2]\nb: *a\nc: [*a, *a]\n") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}
    with pytest.raises(yamlform.YamlError, match="100,000 values"):
        yamlform.load(ALIASES)


# -- job folders ------------------------------------------------------------------------------------------------------

GOOD = {
    "version": 1,
    "id": "20260101-000000-train-good",
    "kind": "train",
    "name": "n",
    "created_at": "2026-01-01T00:00:00.000Z",
    "workspace": "/w",
    "params": {},
}
BROKEN: list[tuple[str, bytes | None, str]] = [
    ("none", None, "spec.json cannot be read"),
    ("noth", b"", "spec.json cannot be read"),
    ("garb", b"\xff\xfe{", "spec.json cannot be read"),
    ("deep", b"[" * 100_000, "nests too deep"),
    ("list", b"[1]", "spec.json cannot be read"),
    ("type", json.dumps(GOOD | {"id": "20260101-000000-train-type", "name": 3}).encode(), "expected text, got 3"),
    ("late", json.dumps(GOOD | {"version": 2}).encode(), "a later version of Paddock"),
    ("path", json.dumps(GOOD | {"id": "../../elsewhere"}).encode(), "belongs to another job"),
]


@pytest.mark.parametrize(("tail", "content", "answer"), BROKEN, ids=[tail for tail, _content, _answer in BROKEN])
def test_a_broken_job_is_explained_hides_no_other_and_can_be_removed(
    tail: str, content: bytes | None, answer: str, home: Path, capsys: Said
) -> None:
    jobs = home / "state" / "jobs"
    broken, good = jobs / f"20260101-000000-train-{tail}", jobs / str(GOOD["id"])
    for folder in (broken, good):
        folder.mkdir(parents=True)
    (good / "spec.json").write_text(json.dumps(GOOD), encoding="utf-8")
    if content is not None:
        (broken / "spec.json").write_bytes(content)

    assert run(["jobs", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [job["id"] for job in listed["jobs"]] == [good.name]
    assert [job["id"] for job in listed["unreadable"]] == [broken.name]
    for words in (["show"], ["log"], ["watch"], ["stop"], ["resume"]):
        assert run(["jobs", *words, tail]) == 1
        said = capsys.readouterr().err
        assert answer in said
        assert "unexpected" not in said

    assert run(["jobs", "remove", tail, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"][0]["id"] == broken.name
    assert sorted(path.name for path in jobs.iterdir()) == [good.name]


def test_a_file_and_events_of_another_kind_in_a_jobs_place_are_told(home: Path, capsys: Said) -> None:
    jobs = home / "state" / "jobs"
    events, file = jobs / "20260101-000000-train-evnt", jobs / "20260101-000000-train-file"
    (events / "events.jsonl").mkdir(parents=True)
    (events / "spec.json").write_text(json.dumps(GOOD | {"id": events.name}), encoding="utf-8")
    file.write_text("x", encoding="utf-8")
    assert run(["jobs", "show", "evnt"]) == 1
    assert "This job's events cannot be read" in capsys.readouterr().err
    assert run(["jobs", "remove", "evnt", "file", "--yes"]) == 0
    assert list(jobs.iterdir()) == []


# -- places that cannot be written ------------------------------------------------------------------------------------

COMMANDS: list[tuple[list[str], int]] = [
    (["jobs", "list"], 1),
    (["jobs", "show", "x"], 1),
    (["jobs", "remove", "x"], 1),
    (["models", "list"], 1),
    (["chat", "m", "-p", "hello"], 1),
    (["convert", "model"], 2),
    (["doctor"], 1),
]


@pytest.mark.parametrize("place", [".", "state", "state/jobs"])
@pytest.mark.parametrize(("words", "status"), COMMANDS, ids=[" ".join(words) for words, _status in COMMANDS])
def test_a_file_in_the_place_of_our_folders_is_told(
    place: str, words: list[str], status: int, home: Path, capsys: Said
) -> None:
    write_model(Path("model"))
    stone = home / place
    stone.parent.mkdir(parents=True, exist_ok=True)
    if stone.exists():
        stone.rmdir()
    stone.write_text("a file where a folder should be", encoding="utf-8")
    assert run(words) == status
    said = capsys.readouterr()
    assert str(stone) in said.err + said.out
    assert "unexpected" not in said.err


@pytest.mark.slow
def test_a_job_that_finds_no_room_is_not_begun(home: Path) -> None:
    write_model(Path("model"))
    for limit_bytes in (0, 100):
        ended = call(
            ["convert", "model", "--json"],
            stdout=subprocess.PIPE,
            preexec_fn=lambda limit=limit_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        # The answer goes into a pipe, which the limit does not concern.
        assert ended.returncode == 2, ended.stderr
        assert json.loads(ended.stdout)["error"]["title"] == "The job's folder cannot be written"
        assert list((home / "state" / "jobs").iterdir()) == []


@pytest.mark.slow
def test_a_job_whose_supervisors_die_of_a_full_disk_is_not_adopted_for_ever(home: Path) -> None:
    write_model(Path("model"))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # noqa: E731 - as short as it is
    ended = call(["convert", "model", "--plain"], stdout=subprocess.PIPE, preexec_fn=limit)
    assert ended.returncode == 1
    assert "No supervisor stays with" in ended.stderr
    assert not list(Path("model").glob("*.gguf"))


@pytest.mark.parametrize(
    ("number", "title"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EACCES, "A file or folder may not be used"),
        (errno.EROFS, "A file or folder may not be used"),
        (errno.ENOTDIR, "Something else stands in the place of a file or folder"),
        (errno.EMFILE, "Too many files are open"),
    ],
)
def test_what_the_system_refuses_is_no_defect_of_a_work(
    number: int, title: str, home: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[AppError] = []
    monkeypatch.setattr("data.jobs.report.Reporter.failed", lambda _reporter, error: told.append(error))

    def work(_reporter: object) -> None:
        raise OSError(number, os.strerror(number), "/somewhere")

    assert run_work(work) == 1
    assert told[0].as_json()["title"] == title
    assert "/somewhere" in told[0].as_json()["detail"]
    assert told[0].hint


def test_other_surprises_stay_surprises() -> None:
    assert system_failure(OSError(errno.EPIPE, "x")) is None
    assert system_failure(OSError()) is None
    assert system_failure(ValueError()) is None


# -- settings, languages, streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "setting", "answer"),
    [
        (["setup", "--dry-run"], "ollama_binary", "The ollama program of the settings cannot be run"),
        (["models", "list"], "ollama_binary", "The ollama program of the settings cannot be run"),
        (["setup", "--dry-run"], "llamafactory_python", "The Python of LLaMA-Factory does not exist"),
        (["demo"], "llamafactory_python", "The Python of LLaMA-Factory does not exist"),
        (["demo"], "ollama_binary", "The ollama program of the settings cannot be run"),
        (["models", "list"], "ollama_host", "'/no where' is not the address of a server"),
    ],
)
def test_a_setting_that_names_nothing_is_a_wrong_request(
    words: list[str], setting: str, answer: str, home: Path, capsys: Said
) -> None:
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text(f"{setting} = '/no where'", encoding="utf-8")
    assert run(words) == 2
    assert answer in capsys.readouterr().err
    assert not (home / "state" / "jobs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "show", "none-such"],
        ["train", "nowhere.yaml"],
        ["convert", "nowhere"],
        ["deploy", "nowhere.gguf", "x"],
        ["models", "list"],
        ["chat", "m", "-p", ""],
        ["jobs", "lst"],
        ["setup", "everything"],
        [],
    ],
    ids=" ".join,
)
def test_errors_are_chinese_where_that_is_asked_for(words: list[str], home: Path, capsys: Said) -> None:
    assert run(["--lang", "zh", *words]) in (1, 2)
    said = capsys.readouterr()
    title = said.err.splitlines()[0]
    assert any("\u4e00" <= character <= "\u9fff" for character in title), said.err
    assert said.out == ""


def closed(*numbers: int) -> Callable[[], None]:
    """Return what closes standard streams in a child."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


@pytest.mark.slow
def test_closed_streams_hurt_nobody(home: Path) -> None:
    for words, status in ((["jobs", "list"], 0), (["--help"], 0), (["jobs", "show", "x"], 2)):
        for numbers in ((1,), (0, 1), (0, 1, 2)):
            ended = call(words, preexec_fn=closed(*numbers))
            assert ended.returncode == status, (words, numbers, ended.stderr)
            assert "unexpected" not in ended.stderr


def test_an_answer_that_cannot_be_written_is_a_failure(home: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = call(["jobs", "list"], stdout=full)
        assert (ended.returncode, ended.stderr.splitlines()[0]) == (1, "paddock: The disk is full")
        ended = subprocess.run([*ENTRY, "jobs", "list"], stdout=full, stderr=full, check=False, timeout=60)
        assert ended.returncode == 1


def test_a_terminal_that_knows_only_ascii_gets_what_it_can_show(home: Path) -> None:
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    ended = call(["doctor"], stdout=subprocess.PIPE, env=narrow)
    assert "? " in ended.stdout
    assert "unexpected" not in ended.stderr
    Path("名").mkdir()
    ended = call(["convert", "名", "--json"], stdout=subprocess.PIPE, env=narrow)
    assert ended.returncode == 2
    assert ended.stdout.isascii()
    detail: str = json.loads(ended.stdout)["error"]["detail"]
    assert "名" in os.fsencode(detail).decode()
