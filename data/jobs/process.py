"""Who is alive here: identities of machine and process, and the processes that carry a job's mark. Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

JOB_VARIABLE: Final = "PADDOCK_JOB"


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot; empty where there is none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


@cache
def pid_namespace() -> str:
    """Return the name of our pid namespace, e.g. pid:[4026531836]; empty where there is none."""
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


@cache
def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()


class ProcessStat(NamedTuple):
    """What /proc/PID/stat tells of a process."""

    pid: int
    ppid: int
    state: str
    start_ticks: int
    """Clock ticks after boot: with the pid and the boot id, the identity of a process"""


def read_stat(pid: int) -> ProcessStat | None:
    """Return the stat of ``pid``; None where there is no such process."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything, parentheses and newlines too: fields count from the last ")".
    fields = raw[raw.rfind(b")") + 2 :].split()
    return ProcessStat(pid, int(fields[1]), fields[0].decode(), int(fields[19]))


def is_alive(pid: int, start_ticks: int) -> bool:
    """Say whether that very process lives (not another with its pid, not a zombie)."""
    stat = read_stat(pid)
    return stat is not None and stat.start_ticks == start_ticks and stat.state not in ("Z", "X")


def read_environ(pid: int) -> dict[bytes, bytes]:
    """Return the environment that ``pid`` was started with; empty where it may not be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(entry.split(b"=", 1) for entry in raw.split(b"\0") if b"=" in entry)


def pids() -> Iterator[int]:
    """Return the pids that are visible here."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, thousands of them
        if name.isdigit():
            yield int(name)


def marked_processes(job_id: str) -> list[int]:
    """Return the living processes that carry the mark of ``job_id`` in their environment, zombies excluded."""
    wanted = f"{JOB_VARIABLE}={job_id}".encode()
    found: list[int] = []
    for pid in pids():
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if wanted in raw and wanted in raw.split(b"\0"):
            stat = read_stat(pid)
            if stat is not None and stat.state not in ("Z", "X"):
                found.append(pid)
    return found


def identity() -> dict[str, object]:
    """Return ``{pid, start_ticks, boot_id, pid_ns, host}`` of this process, as events record it."""
    stat = read_stat(os.getpid())
    return {
        "pid": os.getpid(),
        "start_ticks": stat.start_ticks if stat else 0,
        "boot_id": boot_id(),
        "pid_ns": pid_namespace(),
        "host": host(),
    }
