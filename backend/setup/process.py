"""Run one of the programs that a set-up needs: its output goes to our log line by line, and it never outlives us."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LineTaker = Callable[[str], bool]
"""Takes a line of output and says whether it was only progress, which the log is better without."""

_TICK_S: Final = 0.5
_END_WAIT_S: Final = 5.0
_KEPT_LINES: Final = 200
_LINE_END: Final = re.compile(r"[\r\n]+")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status (negative: the signal) and the last lines that it wrote."""

    status: int
    lines: tuple[str, ...]

    def last(self, count: int = 5) -> str:
        """Return the last ``count`` lines that say something."""
        return "\n".join([line for line in self.lines if line.strip()][-count:])


def say(line: str) -> None:
    """Write a line into the log of the work: its stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    take_line: LineTaker | None = None,
    tick: Callable[[], None] | None = None,
) -> Ended:
    """Run ``argv`` to its end; stdout and stderr together go to our stdout and through ``take_line``.

    ``tick`` is called about twice a second. Whatever ends this call early (SIGTERM turned into SystemExit,
    ctrl-c, a surprise) ends the program's whole process group first. Raises OSError when it cannot be started.
    """
    say(f"+ {shlex.join(argv)}")
    with subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    ) as process:
        try:
            lines = _drain(process, take_line, tick)
            return Ended(process.wait(), tuple(lines))
        finally:
            _end_group(process)


def answer_of(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 20) -> str | None:
    """Return what a short-lived program prints (stdout and stderr), or None where it cannot run or fails."""
    try:
        done = subprocess.run(
            list(argv),
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _drain(
    process: subprocess.Popen[bytes], take_line: LineTaker | None, tick: Callable[[], None] | None
) -> deque[str]:
    """Read until the program closes its output; a grandchild that keeps the pipe does not hold us up."""
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for above
    handle = process.stdout.fileno()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    rest = ""
    poller = select.poll()
    poller.register(handle, select.POLLIN | select.POLLHUP)
    while True:
        ready = poller.poll(_TICK_S * 1000)
        if tick is not None:
            tick()
        if not ready:
            if process.poll() is not None:
                break
            continue
        data = os.read(handle, 1 << 16)
        *whole, rest = _LINE_END.split(rest + decoder.decode(data, final=not data))
        for line in whole:
            _take(line, kept, take_line)
        if not data:
            break
    if rest:
        _take(rest, kept, take_line)
    return kept


def _take(line: str, kept: deque[str], take_line: LineTaker | None) -> None:
    if take_line is not None and take_line(line):
        return
    kept.append(line)
    say(line)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program's process group: gently, then by force."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_WAIT_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
