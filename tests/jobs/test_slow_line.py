"""Over SSH: what the app sends while it only watches, counted at the terminal's other end."""

from __future__ import annotations

import base64
import re
import time

import pytest

from data.jobs.status import Status
from tests.support import Yard, program, wait_until
from tests.terminal import Terminal, terminal

pytestmark = pytest.mark.slow
SSH = {"SSH_CONNECTION": "192.0.2.7 50022 192.0.2.1 22"}
WINDOW_S = 10.0
IDLE_LIMIT = 2048
"""Bytes a second at most (see the rules of every screen)"""


def rate(opened: Terminal, window_s: float = WINDOW_S) -> float:
    """Return the bytes a second that the app sends in a while of nobody pressing anything."""
    settle = time.monotonic() + 2.5  # the answer to the last key, and one look after it
    wait_until(lambda: time.monotonic() > settle)
    begin, sent = time.monotonic(), len(opened.drawn)
    wait_until(lambda: time.monotonic() > begin + window_s, timeout_s=2 * window_s)
    return (len(opened.drawn) - sent) / (time.monotonic() - begin)


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 140)])
def test_a_watching_app_is_frugal(yard: Yard, rows: int, columns: int) -> None:
    ended = [yard.run(program("counter.py", 3, 0.01), name=f"ended-{n}") for n in range(4)]
    for job_id in ended:
        yard.until(job_id, Status.SUCCEEDED)
    with terminal(yard, rows=rows, columns=columns, environ=SSH) as opened:
        opened.until_drawn("ended-3")
        opened.until_drawn("slow line")
        idle = rate(opened)
        job_id = yard.run(program("counter.py", 100_000, 0.5), name="penguin")
        opened.until_drawn("penguin")
        home = rate(opened)
        opened.press("g\r")
        opened.until_drawn("following")
        run = rate(opened)
        assert yard.job(job_id).status is Status.RUNNING
    print(f"\n{columns}x{rows}: idle {idle:.0f} B/s, Home {home:.0f} B/s, Run {run:.0f} B/s")
    assert 0 < idle < IDLE_LIMIT
    assert 0 < home < IDLE_LIMIT
    assert 0 < run < 6 * IDLE_LIMIT  # two log lines and two points of the curve a second, at most over the whole screen


@pytest.mark.parametrize("in_tmux", [False, True], ids=["ssh", "tmux"])
def test_a_copy_goes_to_the_terminal_and_into_a_file(yard: Yard, in_tmux: bool) -> None:
    yard.until(yard.run(program("counter.py", 3, 0.01), name="企鹅 penguin"), Status.SUCCEEDED)
    environ = {**SSH, "TMUX": "/run/tmux-0/default,1,0"} if in_tmux else SSH
    with terminal(yard, environ=environ) as opened:
        opened.until_drawn("penguin")
        opened.until_drawn("Remove")  # the job is under the cursor, and its keys work
        opened.press("y")
        opened.until_drawn("\x1bPtmux;\x1b\x1b]52;c;" if in_tmux else "\x1b]52;c;")
        opened.until_drawn("Copied")
        drawn = bytes(opened.drawn)
    (copied,) = (yard.root / "cache" / "copied").glob("*.txt")
    text = copied.read_bytes()
    assert "企鹅 penguin".encode() in text
    plain = re.findall(rb"(?<!\x1b)\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", drawn)
    passed = re.findall(rb"\x1bPtmux;\x1b\x1b\]52;c;([A-Za-z0-9+/=]*)\x07\x1b\\", drawn)
    assert [base64.b64decode(one) for one in plain] == [text]
    assert [base64.b64decode(one) for one in passed] == ([text] if in_tmux else [])
