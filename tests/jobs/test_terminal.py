"""No job feels a closing terminal: the app that started it is killed, or its terminal hung up, at any moment."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from data.jobs.status import Status
from tests.support import Yard, program, wait_until

STEPS = 20
ROUNDS = 20


class Terminal:
    """The app on a pseudo-terminal of its own, as its session's leader; what it draws is collected."""

    def __init__(self, yard: Yard) -> None:
        self.master, slave = pty.openpty()
        self.drawn = bytearray()
        environ = {**yard.environ, "TERM": "xterm-256color", "LINES": "30", "COLUMNS": "120", "LANG": "C.UTF-8"}
        # setsid makes the slave the controlling terminal and then becomes the app: its pid is the app's.
        self.app = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-P", "-m", "tui.launch", str(yard.root)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self.master, 65536)
            except OSError:
                return
            if not chunk:
                return
            self.drawn += chunk

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until_drawn(self, text: str, *, after: int = 0) -> None:
        wait_until(lambda: text.encode() in self.drawn[after:], timeout_s=60, what=f"{text!r} on the screen")

    def kill(self) -> None:
        self.app.send_signal(signal.SIGKILL)
        self.app.wait(10)

    def hang_up(self) -> None:
        """Close the terminal as a dropped connection does: the kernel sends SIGHUP, reads and writes fail."""
        os.close(self.master)
        self.master = -1
        self.app.wait(30)

    def close(self) -> None:
        if self.app.poll() is None:
            self.kill()
        if self.master >= 0:
            os.close(self.master)
        self._reader.join(10)


@contextmanager
def terminal(yard: Yard) -> Generator[Terminal]:
    opened = Terminal(yard)
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "hang_up"])
def test_the_job_ends_well_and_a_new_app_shows_it(yard: Yard, end: str) -> None:
    moments = random.Random(f"paddock-{end}")
    job_id = yard.run(program("counter.py", STEPS, 0.04, 3), name="penguin")
    yard.until(job_id, Status.FAILED)
    for attempt in range(2, ROUNDS + 2):
        with terminal(yard) as opened:
            opened.until_drawn("penguin")
            opened.until_drawn("failed")  # the new app shows how the one before it ended
            drawn = len(opened.drawn)
            opened.press("r")
            opened.until_drawn(f"attempt {attempt}", after=drawn)
            opened.press("r")
            moment = moments.randint(0, STEPS + 2)  # from before the first step to after the end
            wait_until(
                lambda attempt=attempt, moment=moment: reached(yard, job_id, attempt, moment), what=f"step {moment}"
            )
            getattr(opened, end)()
        job = yard.until(job_id, Status.FAILED)
        assert (job.state.attempt, job.state.exit_code) == (attempt, 3)
        assert job.state.metrics["step"] == STEPS
        assert job.state.result == {"steps": STEPS}
    events = yard.job(job_id).folder.events()
    assert events.bad_lines == 0
    assert [event["kind"] for event in events.events].count("finished") == ROUNDS + 1


def reached(yard: Yard, job_id: str, attempt: int, moment: int) -> bool:
    state = yard.job(job_id).state
    if state.attempt < attempt:
        return False
    return state.ended_at is not None or moment == 0 or state.metrics.get("step", 0) >= moment
