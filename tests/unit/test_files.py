"""Writing survives a crash, appending survives a torn line, a lock survives nothing but its owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.files import (
    append_line,
    is_locked,
    open_lock,
    replacing,
    sync_folder,
    tail_bytes,
    try_lock,
    write_atomic,
)
from data.jobs.folder import JobFolder

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_a_write_makes_folders_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, "first")
    write_atomic(path, b"second", mode=0o600)
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def spoil() -> None:
        with replacing(path) as stream:
            stream.write(b"half of the new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        spoil()
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_writer_that_is_killed_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from data.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'new' * 100000); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", code, str(path)], check=False, timeout=60)
    assert ended.returncode == -9
    assert path.read_text(encoding="utf-8") == "old"


@given(
    values=st.lists(st.dictionaries(st.text(), json_values, max_size=4), min_size=1, max_size=6), durable=st.booleans()
)
def test_what_is_appended_reads_back_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]], durable: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "lines.jsonl"
    for value in values:
        append_line(path, value, durable=durable)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == values


@given(cut=st.integers(0, 200), text=st.text(max_size=40))
def test_a_torn_last_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int, text: str) -> None:
    path = tmp_path_factory.mktemp("torn") / "lines.jsonl"
    append_line(path, {"n": 1}, durable=False)
    append_line(path, {"n": 2, "text": text}, durable=False)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    end = min(len(whole), first + cut)
    path.write_bytes(whole[:end])  # the writer died after so many bytes of its line
    append_line(path, {"n": 3}, durable=False)
    found: list[int] = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line)["n"])
        except ValueError:
            continue
    assert found[0] == 1
    assert found[-1] == 3
    assert (2 in found) == (end >= len(whole) - 1)  # all of it but perhaps its newline


def test_several_writers_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    code = (
        "import sys; from pathlib import Path; from data.files import append_line\n"
        "for n in range(300):\n"
        "    append_line(Path(sys.argv[1]), {'who': sys.argv[2], 'n': n, 'pad': 'x' * 300}, durable=False)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-P", "-c", code, str(path), str(who)]) for who in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines() if line]
    assert len(lines) == 900
    for who in range(3):
        assert [line["n"] for line in lines if line["who"] == str(who)] == list(range(300))


@given(content=st.binary(max_size=300), limit=st.integers(0, 400))
def test_the_tail_is_the_end_and_no_more(tmp_path_factory: pytest.TempPathFactory, content: bytes, limit: int) -> None:
    path = tmp_path_factory.mktemp("tail") / "file"
    path.write_bytes(content)
    assert tail_bytes(path, limit) == content[max(0, len(content) - limit) :]


def test_the_tail_of_nothing_is_empty(tmp_path: Path) -> None:
    assert tail_bytes(tmp_path / "missing", 10) == b""


def test_a_lock_excludes_another_opening_and_is_seen_without_being_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert is_locked(path) is False
    first, second = open_lock(path), open_lock(path)
    assert try_lock(first)
    assert not try_lock(second)
    assert is_locked(path)
    assert is_locked(path)  # asking took nothing
    os.close(first)
    assert not is_locked(path)
    assert try_lock(second)
    os.close(second)


def test_a_lock_lives_as_long_as_a_child_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = open_lock(path)
    assert try_lock(handle)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[handle])
    os.close(handle)
    assert is_locked(path)
    assert child.stdin is not None
    child.stdin.close()
    child.wait(30)
    assert not is_locked(path)


def test_a_lock_that_may_only_be_read_can_still_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = open_lock(path)
    assert try_lock(handle)
    path.chmod(0o444)
    assert is_locked(path)
    os.close(handle)


def test_a_folder_can_be_synced(tmp_path: Path) -> None:
    sync_folder(tmp_path)


@given(garbage=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=5))
def test_bad_lines_are_counted_and_skipped(tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes]) -> None:
    folder = JobFolder(tmp_path_factory.mktemp("job"))
    folder.append({"kind": "waiting", "attempt": 1})
    with folder.events_file.open("ab") as stream:
        stream.writelines(line + b"\n" for line in garbage)
    folder.append({"kind": "finished", "outcome": "failed"})
    batch = folder.events()
    assert (batch.events[0]["kind"], batch.events[-1]["kind"]) == ("waiting", "finished")
    assert batch.bad_lines == sum(1 for line in garbage if line)
    assert batch.offset == folder.events_file.stat().st_size
