"""The real `paddock` in a real tmux at 80×24: its keys, and those that belong to the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.jobs.status import Status
from tests.support import Yard, program, wait_until
from tests.tmux import Tmux

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture
def tmux(tmp_path: Path, yard: Yard) -> Iterator[Tmux]:
    """Paddock in a tmux of the test's own."""
    yard.root.mkdir(parents=True, exist_ok=True)
    server = Tmux(tmp_path / "tmux", yard.environ, yard.root)
    yield server
    server.close()


def test_the_keys_of_a_person_at_80_by_24(yard: Yard, tmux: Tmux) -> None:
    tmux.shows("Nothing has been run here yet", "? Help")
    tmux.press("d")
    tmux.shows("The demo", "Not now")
    tmux.press("Escape")
    tmux.hides("Not now")
    tmux.press("?")
    tmux.shows("Everywhere", "Find an action")
    tmux.press("q")
    tmux.hides("Everywhere")

    ids = [yard.run(program("counter.py", 100000, 0.05), name=f"count-{n}") for n in "abc"]
    tmux.shows("count-a", "count-b", "count-c", "3 running")
    tmux.press("g", "j", "k", "G")
    tmux.press("Enter")
    tmux.shows("› count-a", "following")
    tmux.press("f")
    tmux.shows("standing still")
    tmux.press("f")
    tmux.shows("· following")
    tmux.press("/")
    tmux.shows("search, then enter")
    tmux.type("1")
    tmux.press("Enter")
    tmux.hides("search, then enter")
    tmux.shows("standing still")

    tmux.press("C-s", "C-q")  # flow control: nothing must happen, and nothing may hang
    tmux.press("G")
    tmux.shows("· following")
    tmux.press("C-p")
    tmux.shows("What do you want to do?")
    tmux.type("dark")
    tmux.shows("Light or dark")
    tmux.press("Escape")
    tmux.hides("Light or dark")

    tmux.press("s")
    tmux.shows("Stop count-a?", "Stop now")
    tmux.press("n")
    yard.until(ids[0], Status.STOPPED)
    tmux.shows("stopped")
    tmux.press("y")
    tmux.shows("written to")
    assert list((yard.root / "cache" / "copied").glob("*.txt"))
    tmux.press("q")
    tmux.shows("2 running")
    tmux.press("q")
    wait_until(lambda: not tmux.is_running(), what="the app's end")
    for job_id in ids[1:]:
        assert yard.job(job_id).status is Status.RUNNING
