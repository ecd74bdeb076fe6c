"""The real `paddock` in a real tmux at 80×24: its keys, and those that belong to the terminal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.jobs.status import Status
from data.paths import HOME_VARIABLE
from tests.support import Yard, program, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
PADDOCK = Path(__file__).parents[2] / ".venv" / "bin" / "paddock"


class Tmux:
    """A tmux server of its own, with one window that runs ``paddock``."""

    def __init__(self, socket: Path, yard: Yard) -> None:
        self._base = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._call(
            "new-session", "-d", "-x", "80", "-y", "24", "-e", f"{HOME_VARIABLE}={yard.root}", "-e", "LANG=C.UTF-8",
            str(PADDOCK), str(yard.root),
        )  # fmt: skip

    def _call(self, *argv: str) -> str:
        return subprocess.run([*self._base, *argv], check=True, capture_output=True, text=True, timeout=20).stdout

    def press(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    def type(self, text: str) -> None:
        self._call("send-keys", "-l", text)

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def shows(self, *texts: str) -> None:
        """Wait until all of ``texts`` are on the screen."""
        try:
            wait_until(lambda: all(text in self.screen() for text in texts), what=str(texts))
        except AssertionError as error:
            error.add_note(self.screen())
            raise

    def hides(self, text: str) -> None:
        wait_until(lambda: text not in self.screen(), what=f"no {text}")

    def is_running(self) -> bool:
        return subprocess.run([*self._base, "has-session"], capture_output=True, check=False).returncode == 0

    def close(self) -> None:
        subprocess.run([*self._base, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def tmux(tmp_path: Path, yard: Yard) -> Iterator[Tmux]:
    """Paddock in a tmux of the test's own."""
    yard.root.mkdir(parents=True, exist_ok=True)
    server = Tmux(tmp_path / "tmux", yard)
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
