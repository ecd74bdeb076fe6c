"""Run a program of llama.cpp to its end: what it says goes into the log, its last lines are kept for an error."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.convert.scratch import shown
from backend.convert.stream import Stopped
from backend.convert.target import SPARE_BYTES
from data.disk import free_bytes
from data.errors import AppError
from data.i18n import _

NOT_STARTED: Final = 127
_TICK_S: Final = 0.2
_END_WAIT_S: Final = 5.0
_KEPT_LINES: Final = 6
_MAX_LINE_BYTES: Final = 65_536
_FULL: Final = ("No space left on device", "Disk quota exceeded")
_UNWRITABLE: Final = ("iostream error", "Read-only file system", "Input/output error", "File too large")
"""The first is all that llama-quantize says of a write that failed"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    status: int
    """Negative for a signal, ``NOT_STARTED`` as a shell has it"""
    last: tuple[str, ...]
    """Its last lines that are not about progress"""

    @property
    def said(self) -> str:
        """The last lines, or the status of a program that said nothing."""
        return "\n".join(self.last) or f"{self.status}"


def run(
    argv: Sequence[str],
    take_line: Callable[[str], bool],
    stop_requested: Callable[[], bool],
    *,
    lock: int,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``argv`` and return how it ended; ``take_line`` says of each line whether it is about progress.

    The program holds ``lock`` as well: it may outlive us, and what it writes is not to be taken for left meanwhile.
    Raises Stopped, when the program has ended, soon after a stop was asked for.
    """
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
        )
    except OSError as error:
        return Ended(NOT_STARTED, (error.strerror or str(error),))
    try:
        for line, is_final in _lines(process, stop_requested):
            if is_final:
                sys.stdout.write(line + "\n")
            if not take_line(line) and line.strip():
                last.append(line.strip())
        status = process.wait()
    finally:
        end(process)
    if stop_requested():
        raise Stopped
    return Ended(status, tuple(last))


def _lines(process: subprocess.Popen[bytes], stop_requested: Callable[[], bool]) -> Iterator[tuple[str, bool]]:
    """Yield what the program says until it ends: lines, and whether each stays or is written over by the next."""
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    handle, rest = process.stdout.fileno(), b""
    while True:
        if stop_requested():
            raise Stopped
        if not select.select([handle], [], [], _TICK_S)[0]:
            continue
        data = os.read(handle, _MAX_LINE_BYTES)
        *whole, rest = (rest + data).replace(b"\r\n", b"\n").splitlines(keepends=True) or [b""]
        if rest.endswith(b"\n"):
            whole, rest = [*whole, rest], b""
        yield from ((line.decode(errors="replace").rstrip("\r\n"), line.endswith(b"\n")) for line in whole)
        if not data:
            yield rest.decode(errors="replace"), True
            return
        rest = rest[-_MAX_LINE_BYTES:]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs: it is asked first, then killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def unwritable(target: Path, said: Sequence[str]) -> AppError | None:
    """Return why a program that failed could not write beside ``target``; None where it failed of something else.

    To be asked while its half file still lies there: programs tell the cause badly, the disk does not.
    """
    text, last = "\n".join(said), said[-1] if said else ""
    if any(sign in text for sign in _FULL) or free_bytes(target.parent) < SPARE_BYTES:
        return AppError(
            _("There is not enough space for {path}", path=str(shown(target))),
            last,
            _("Nothing was kept. Free some space, or choose a folder on another disk with -o."),
        )
    if any(sign in text for sign in _UNWRITABLE):
        return AppError(
            _("{path} cannot be written", path=str(shown(target))),
            last,
            _("Nothing was kept. Check the folder's permissions, its quota and the disk (dmesg)."),
        )
    return None
