"""A program on a pseudo-terminal of its own: when it has drawn something, and how much memory it has then."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_ROWS_COLUMNS = (40, 140)
_TIMEOUT_S = 60.0


class Terminal:
    """Starts ``argv`` on a terminal of 140×40 and reads what it draws."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *_ROWS_COLUMNS, 0, 0))
        self._drawn = bytearray()
        self._began = time.perf_counter()
        self.process = subprocess.Popen(
            argv, env=environ, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)

    def seconds_until(self, text: str) -> float:
        """Return how long after the start ``text`` was drawn."""
        wanted = text.encode()
        while wanted not in self._drawn:
            self._read(self._began + _TIMEOUT_S - time.perf_counter(), text)
        return time.perf_counter() - self._began

    def settle(self, quiet_s: float = 1.0) -> None:
        """Read until the program has drawn nothing new for ``quiet_s``, at most a few seconds."""
        end = time.perf_counter() + 5 * quiet_s
        while time.perf_counter() < end and select.select([self._master], [], [], quiet_s)[0]:
            self._drawn += os.read(self._master, 65536)

    def _read(self, left_s: float, text: str) -> None:
        ready = select.select([self._master], [], [], max(0.0, left_s))[0]
        try:
            chunk = os.read(self._master, 65536) if ready else b""
        except OSError:  # the other side has closed
            chunk = b""
        if not chunk:
            message = f"{text!r} was not drawn; the end of what was: {bytes(self._drawn[-800:])!r}"
            raise RuntimeError(message)
        self._drawn += chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


def memory_mb(pid: int) -> tuple[float, float]:
    """Return the resident memory of a process, and its proportional part of what is shared, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kib = {name: int(rest.split()[0]) for name, _colon, rest in (line.partition(":") for line in lines)}
    return kib["Rss"] * 1024 / 1e6, kib["Pss"] * 1024 / 1e6


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process has had so far, in MB (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    message = f"process {pid} has ended"
    raise RuntimeError(message)
