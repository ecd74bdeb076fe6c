"""Terminals that can do little, and none at all: one message with the remedy, or the app that is drawn all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from data.jobs.status import Status
from tests.support import Yard, program, wait_until
from tests.terminal import Terminal, terminal
from tests.unit.model_folder import write_model

pytestmark = pytest.mark.slow

SIXTEEN = re.compile(rb"\x1b\[[0-9;]*m")
MORE_COLOURS = re.compile(rb"\x1b\[(?:\d+;)*[34]8;[25];")


def ended(opened: Terminal) -> int:
    return opened.app.wait(30)


@pytest.mark.parametrize(
    ("kind", "why"), [("dumb", "TERM is dumb"), ("unknown", "TERM is unknown"), ("", "TERM is not set")]
)
def test_a_terminal_that_cannot_be_drawn_on_is_told_so_and_how_to_go_on(yard: Yard, kind: str, why: str) -> None:
    with terminal(yard, environ={"TERM": kind}, words=[]) as opened:
        assert ended(opened) == 2
        wait_until(lambda: "jobs list" in opened.said, what="the remedy")
        assert why in opened.said
        assert "export TERM=xterm-256color" in opened.said
        assert opened.said.count("paddock: ") == 1
        assert "\x1b" not in opened.said


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_without_a_terminal_on_either_side_it_says_which_command_needs_none(yard: Yard, closed: str) -> None:
    master, slave = os.openpty()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tui.cli"],
        stdin=subprocess.DEVNULL if closed == "stdin" else slave,
        stdout=subprocess.PIPE if closed == "stdout" else slave,
        stderr=subprocess.PIPE,
        env={**yard.environ, "TERM": "xterm", "LANG": "C.UTF-8"},
        check=False,
        timeout=60,
    )
    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert b"The app needs a terminal" in done.stderr
    assert b"paddock jobs list" in done.stderr


def test_it_is_drawn_on_the_terminal_where_errors_go_to_a_file(yard: Yard, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with terminal(yard, words=[], errors=errors) as opened:
        opened.until_drawn("Nothing has been run here yet")
        opened.press("q")
        assert ended(opened) == 0
    assert errors.read_bytes() == b""


def test_what_a_library_prints_past_python_is_not_drawn_over_the_screen(yard: Yard, tmp_path: Path) -> None:
    start = {"SpecialToken": {"id": "x", "type_id": 0}}  # which the library panics of: it is in no list
    template = {"type": "TemplateProcessing", "single": [start], "pair": [start], "special_tokens": {}}
    write_model(tmp_path / "model", tokenizer={"post_processor": template})
    with terminal(yard, words=[]) as opened:
        opened.until_drawn("Nothing has been run here yet")
        opened.press("4")
        opened.until_drawn("No training has left weights here yet")
        opened.press("o")
        opened.until_drawn("Export from elsewhere")
        opened.press(f"{tmp_path / 'model'}\r")
        opened.until_drawn("tokenizer.json of the model cannot be read")
    assert "panicked" not in opened.said


@pytest.mark.parametrize("kind", ["xterm", "screen", "linux"])
def test_where_there_are_sixteen_colours_no_others_are_sent_and_the_cursor_is_the_inverse(
    yard: Yard, kind: str
) -> None:
    job = yard.run(program("counter.py", 1, 0.01), name="penguin")
    yard.until(job, Status.SUCCEEDED)
    environ = {"TERM": kind, "COLORTERM": "", "TEXTUAL_COLOR_SYSTEM": ""}
    with terminal(yard, rows=24, columns=80, environ=environ) as opened:
        opened.until_drawn("penguin")
        assert SIXTEEN.search(opened.drawn)
        assert not MORE_COLOURS.search(opened.drawn)
        assert "╔" in opened.said, "the pane that has the keys differs in its shape"
        assert re.search("\x1b\\[[0-9;]*30;107m", opened.said), "black on white: the row under the cursor"


@pytest.mark.parametrize(
    "words", [["jobs", "watch", "JOB", "--plain"], ["gpus", "--watch"], ["jobs", "log", "JOB", "-f"]]
)
def test_an_interruption_ends_the_line_that_the_terminal_wrote_the_key_on(yard: Yard, words: list[str]) -> None:
    job = yard.run(program("counter.py", 100_000, 0.05), name="penguin")
    with terminal(yard, words=[job if word == "JOB" else word for word in words]) as opened:
        wait_until(lambda: opened.drawn, what="that it works")
        opened.press("\x03")
        ended(opened)
        wait_until(lambda: "^C" in opened.said, what="the key")
        assert opened.said.split("^C", 1)[1].startswith("\r\n")
        assert "paddock: " not in opened.said.splitlines()[0]


BEGIN, END = "\x1b[200~", "\x1b[201~"


def test_nothing_in_a_paste_is_a_key(yard: Yard) -> None:
    job = yard.run(program("counter.py", 100_000, 0.05), name="penguin")
    with terminal(yard, rows=24, columns=80) as opened:
        opened.until_drawn("penguin")
        drawn = len(opened.drawn)
        letters = "\x1b[A" + "q" * 40 + "\x1b" + "x" * 60 + "\x1b[31m\r\nsn\x03"
        opened.press(f"{BEGIN}{letters}{END}{BEGIN}{END}?")
        opened.until_drawn("Everywhere", after=drawn)  # what was pressed behind it is the next thing that happens
        assert "Stop penguin?" not in opened.said
        assert yard.job(job).status is Status.RUNNING
        opened.press("qq")
        assert ended(opened) == 0


def test_bytes_that_are_no_text_do_not_make_the_app_deaf(yard: Yard) -> None:
    with terminal(yard, rows=24, columns=80, words=[]) as opened:
        opened.until_drawn("Nothing has been run here yet")
        os.write(opened.master, "训练".encode("gbk") + b"\xff\xfe\x80")
        drawn = len(opened.drawn)
        opened.press("?")
        opened.until_drawn("Everywhere", after=drawn)
        opened.press("qq")
        assert ended(opened) == 0


def test_what_a_model_says_is_shown_on_a_terminal_and_given_as_it_is_to_a_program(yard: Yard, tmp_path: Path) -> None:
    place = tmp_path / "port"
    with subprocess.Popen(program("ollama_stub.py", place, "hostile"), stderr=subprocess.DEVNULL) as server:
        try:
            host = f"http://127.0.0.1:{wait_until(lambda: place.exists() and place.read_text().strip())}"
            asked = urllib.request.Request(f"{host}/api/create", b'{"model": "tiny", "files": {}}')  # noqa: S310 - loopback
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - as above
                answer.read()
            words = ["chat", "tiny", "-p", "hi", "--host", host]
            with terminal(yard, words=words) as opened:
                assert ended(opened) == 0
                wait_until(lambda: "bye" in opened.said, what="the reply")
                assert "␛]0;title␇␛[2Jbye" in opened.said
            done = subprocess.run(
                [sys.executable, "-P", "-m", "tui.cli", *words],
                capture_output=True,
                env={**yard.environ, "LANG": "C.UTF-8"},
                check=True,
                timeout=60,
            )
            assert b"\x1b]0;title\x07\x1b[2Jbye" in done.stdout
        finally:
            server.kill()
