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
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from data.jobs.report import size_bytes

LineTaker = Callable[[str], bool]
"""Takes a line of output and says whether it was only progress, which the log is better without."""

STALLED: Final = "Nothing has happened for too long: i/o timeout"
_TICK_S: Final = 0.5
_LOOK_S: Final = 5.0
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
    idle: Idle | None = None,
) -> Ended:
    """Run ``argv`` to its end; stdout and stderr together go to our stdout and through ``take_line``.

    One that ``idle`` finds asleep is ended, and the last line says so. ``tick`` is called about twice a second.
    Whatever ends this call early (SIGTERM turned into SystemExit, ctrl-c, a surprise) ends the program's whole
    process group first. Raises OSError when it cannot be started.
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
            lines = _drain(process, take_line, tick, idle)
            if lines and lines[-1] == STALLED:
                _end_group(process)
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


class Idle:
    """Notices a program that waits for an answer without an end, as Go does of a mirror that stalls.

    Asleep is one that for ``limit_s`` wrote no line, used next to no processor time, and let nothing grow below
    ``downloads``.
    """

    def __init__(self, limit_s: float, downloads: Path) -> None:
        self._limit_s = limit_s
        self._downloads = downloads
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = self._moved_at = 0.0

    def asleep(self, pid: int, lines: int, moment_s: float) -> bool:
        """Say whether ``pid``, which wrote ``lines`` until ``moment_s`` (monotonic), has been asleep for too long."""
        if self._seen is not None and moment_s - self._looked_at < min(_LOOK_S, self._limit_s / 4):
            return False
        self._looked_at = moment_s
        seen = (lines, _processor_s(pid), _size_bytes(self._downloads))
        if seen != self._seen:
            self._seen, self._moved_at = seen, moment_s
        return moment_s - self._moved_at > self._limit_s


def _size_bytes(folder: Path) -> int:
    """Return the bytes below ``folder``; 0 where a file went away in the meantime, which is a change as well."""
    try:
        return size_bytes(folder)
    except FileNotFoundError:
        return 0


def _processor_s(pid: int) -> int:
    """Return the whole seconds of processor time that ``pid`` and its descendants have used."""
    used = 0.0
    with contextlib.suppress(psutil.Error):
        program = psutil.Process(pid)
        for process in (program, *program.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                used += sum(process.cpu_times())
    return int(used)


def _drain(
    process: subprocess.Popen[bytes],
    take_line: LineTaker | None,
    tick: Callable[[], None] | None,
    idle: Idle | None,
) -> deque[str]:
    """Read until the program closes its output; a grandchild that keeps the pipe does not hold us up."""
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for above
    handle = process.stdout.fileno()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    rest = ""
    poller = select.poll()
    poller.register(handle, select.POLLIN | select.POLLHUP)
    count = 0
    while True:
        ready = poller.poll(_TICK_S * 1000)
        if tick is not None:
            tick()
        if not ready:
            if process.poll() is not None:
                break
            if idle is not None and idle.asleep(process.pid, count, time.monotonic()):
                _take(STALLED, kept, None)
                return kept
            continue
        data = os.read(handle, 1 << 16)
        *whole, rest = _LINE_END.split(rest + decoder.decode(data, final=not data))
        count += len(whole)
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
