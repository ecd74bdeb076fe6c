"""The app or a command on a pseudo-terminal: what it draws is collected, keys are pressed, it is left in any way."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import Yard, wait_until

_OF_THE_TESTER = frozenset({"COLUMNS", "LINES", "LC_ALL", "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX"})
"""What the terminal of whoever runs the tests says of itself"""


class Terminal:
    """The app on a pseudo-terminal of its own, as its session's leader; what it draws is collected.

    With ``words`` it is ``paddock WORDS``; with ``errors`` the error output goes into that file. A variable of
    ``environ`` that is empty is not set.
    """

    def __init__(
        self,
        yard: Yard,
        *,
        rows: int,
        columns: int,
        environ: Mapping[str, str],
        words: Sequence[str] | None = None,
        errors: Path | None = None,
    ) -> None:
        self.master, slave = pty.openpty()
        self.drawn = bytearray()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        ours = {name: value for name, value in yard.environ.items() if name not in _OF_THE_TESTER}
        wanted = {**ours, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ}
        program = ["tui.launch", str(yard.root)] if words is None else ["tui.cli", *words]
        error_output = slave if errors is None else os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600)
        # setsid makes the slave the controlling terminal and then becomes the app: its pid is the app's.
        self.app = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-P", "-m", *program],
            stdin=slave,
            stdout=slave,
            stderr=error_output,
            env={name: value for name, value in wanted.items() if value},
        )
        for handle in {slave, error_output}:
            os.close(handle)
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

    def resize(self, columns: int, rows: int) -> None:
        """Become larger or smaller, as a window does; the app is told by a signal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def said(self) -> str:
        """What has been drawn, as text."""
        return self.drawn.decode(errors="replace")

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
def terminal(
    yard: Yard,
    *,
    rows: int = 30,
    columns: int = 120,
    environ: Mapping[str, str] | None = None,
    words: Sequence[str] | None = None,
    errors: Path | None = None,
) -> Generator[Terminal]:
    """Open the app (or ``paddock WORDS``) in ``environ`` over the home's own, and see that it ends with the block."""
    opened = Terminal(yard, rows=rows, columns=columns, environ=environ or {}, words=words, errors=errors)
    try:
        yield opened
    finally:
        opened.close()
