"""The processes of a job: finding all of them, wherever they fled to, and ending them; one loop reaps."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.jobs.work import Command
from data.jobs import process
from data.jobs.process import JOB_VARIABLE

_PR_SET_CHILD_SUBREAPER: Final = 36

# The parent of the work. It must outlive a supervisor that is killed and then still record the exit status, so it
# is the smallest thing that can do so: a POSIX shell with a fixed script, the command as its arguments (nothing is
# ever interpolated). Traps, not ignored signals: the work must get the default dispositions back.
_SHIM: Final = (
    "trap : HUP INT QUIT TERM ABRT USR1 USR2; ulimit -c 0 2>/dev/null; "
    'f=$1; shift; "$@"; s=$?; printf "%s\\n" "$s" > "$f.part" && mv -f "$f.part" "$f"; exit "$s"'
)


def shim_argv(exit_file: Path, argv: tuple[str, ...]) -> list[str]:
    """Return the argv that runs ``argv`` and writes its exit status to ``exit_file``."""
    return ["/bin/sh", "-c", _SHIM, "paddock-work", str(exit_file), *argv]


def become_subreaper() -> bool:
    """Make orphans among our descendants our children; False where the system cannot (they still carry the mark)."""
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return False


def start(command: Command, exit_file: Path, log: Path, environ: Mapping[str, str], pass_fds: tuple[int, ...]) -> int:
    """Start the shim with the work under it and return the shim's pid; stdout and stderr are appended to ``log``.

    Raises OSError. The caller reaps (``Reaper``).
    """
    with log.open("ab", buffering=0) as output:
        child = subprocess.Popen(
            shim_argv(exit_file, command.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=command.cwd,
            env=dict(environ),
            pass_fds=pass_fds,
            start_new_session=True,
        )
    pid = child.pid
    child.returncode = 0  # ours to reap: after a foreign wait, Popen.poll() would answer 0 for a child that exited 3
    return pid


class Reaper:
    """Owns every wait of this process: reaps whatever ended, remembers the statuses of those that matter."""

    def __init__(self) -> None:
        self._wanted: dict[int, int | None] = {}

    def watch(self, pid: int) -> None:
        """Remember the exit status of ``pid`` when it ends."""
        self._wanted.setdefault(pid, None)

    def reap(self) -> None:
        """Reap all that ended, without waiting."""
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            code = info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status
            if info.si_pid in self._wanted:
                self._wanted[info.si_pid] = code
            with contextlib.suppress(ChildProcessError):
                os.waitpid(info.si_pid, 0)

    def status(self, pid: int) -> int | None:
        """Return the exit status of a watched ``pid`` (128+N for signal N); None while it lives."""
        return self._wanted.get(pid)


def of_job(job_id: str) -> set[int]:
    """Return the living processes of the job, except this one.

    Those with its mark, and descendants of this process without any mark (a cleaned environment); a descendant with
    the mark of another job belongs to that job, with all below it (a deployment may start the server's job).
    """
    own = os.getpid()
    children: dict[int, list[int]] = {}
    for pid in process.pids():
        stat = process.read_stat(pid)
        if stat is not None and stat.state not in ("Z", "X"):
            children.setdefault(stat.ppid, []).append(pid)
    found = set(process.marked_processes(job_id))
    queue = list(children.get(own, ()))
    while queue:
        pid = queue.pop()
        mark = process.read_environ(pid).get(JOB_VARIABLE.encode())
        if mark is not None and mark != job_id.encode():
            continue
        found.add(pid)
        queue += children.get(pid, ())
    found.discard(own)
    return found


def ranks(pids: set[int]) -> set[int]:
    """Return those that are ranks of a distributed run: RANK and LOCAL_RANK in their environment."""
    return {pid for pid in pids if {b"RANK", b"LOCAL_RANK"} <= process.read_environ(pid).keys()}


def roots(shim: int, pids: set[int]) -> set[int]:
    """Return the work itself: the children of its shim."""
    return {pid for pid in pids if (stat := process.read_stat(pid)) is not None and stat.ppid == shim}


def send(pids: set[int], number: int) -> None:
    """Send a signal; who has gone meanwhile does not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def resident_bytes(pids: set[int]) -> int:
    """Return the resident memory of ``pids`` together, in bytes (shared pages counted for each)."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            total += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * page
    return total


def sweep(job_id: str, reaper: Reaper, *, polite_s: float = 5.0, force_s: float = 20.0) -> set[int]:
    """End what the work left behind: SIGTERM, then SIGKILL again and again; return what would not die."""
    begin = time.monotonic()
    asked = False
    while True:
        reaper.reap()
        # Twice: who has no mark and loses his parent while /proc is read is found below neither, and is ours by then.
        left = of_job(job_id) or of_job(job_id)
        if not left:
            reaper.reap()  # those that ended since; nobody else would at once
            return set()
        waited = time.monotonic() - begin
        if waited > polite_s + force_s:
            return left
        if waited > polite_s:
            send(left, signal.SIGKILL)
        elif not asked:
            send(left, signal.SIGTERM)
            asked = True
        time.sleep(0.05)


def below(pid: int) -> set[int]:
    """Return the descendants of ``pid`` by the kernel's own lists: cheap, for samples; orphans are missing."""
    found: set[int] = set()
    queue = [pid]
    while queue:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{queue.pop()}/task").iterdir():
                children = [int(word) for word in (task / "children").read_bytes().split()]
                found.update(children)
                queue += children
    return found
