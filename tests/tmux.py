"""A real tmux with one window in which the real `paddock` runs: keys are pressed, and its screen is read."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support import wait_until

PADDOCK: Final = Path(__file__).parents[1] / ".venv" / "bin" / "paddock"


class Tmux:
    """A tmux server of its own at ``socket``; ``paddock`` runs in ``workspace`` at 80×24 unless told otherwise."""

    def __init__(
        self, socket: Path, environ: Mapping[str, str], workspace: Path, *, columns: int = 80, rows: int = 24
    ) -> None:
        self._base = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._environ = {**environ, "LANG": "C.UTF-8"}
        size = ("-x", str(columns), "-y", str(rows))
        self._call("new-session", "-d", *size, str(PADDOCK), str(workspace))

    def _call(self, *argv: str) -> str:
        done = subprocess.run(
            [*self._base, *argv], env=self._environ, check=True, capture_output=True, text=True, timeout=20
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._call("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type ``text`` letter by letter."""
        self._call("send-keys", "-l", text)

    def screen(self) -> str:
        """Return what is on the screen, a line a row."""
        return self._call("capture-pane", "-p")

    def shows(self, *texts: str, timeout_s: float = 90.0) -> None:
        """Wait until all of ``texts`` are on the screen."""
        try:
            wait_until(lambda: all(text in self.screen() for text in texts), timeout_s=timeout_s, what=str(texts))
        except AssertionError as error:
            error.add_note(self.screen())
            raise

    def hides(self, text: str) -> None:
        """Wait until ``text`` is not on the screen."""
        wait_until(lambda: text not in self.screen(), what=f"no {text}")

    def is_running(self) -> bool:
        """Say whether the window is still there: it closes with its program."""
        return subprocess.run([*self._base, "has-session"], capture_output=True, check=False).returncode == 0

    def close(self) -> None:
        """End the server with all that runs in it."""
        subprocess.run([*self._base, "kill-server"], capture_output=True, check=False)
