"""What tests share: waiting for a predicate, and jobs of little programs in a home of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from backend.jobs.launch import launch
from data.jobs import process
from data.jobs.library import Job, Library
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.paths import HOME_VARIABLE, Paths

T = TypeVar("T")
PROGRAMS = Path(__file__).parent / "programs"


def wait_until(predicate: Callable[[], T | None], *, timeout_s: float = 90.0, what: str = "") -> T:
    """Return the first truthy answer of ``predicate``; fail loudly when it does not come in time."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            message = f"not within {timeout_s} s: {what or predicate}"
            raise AssertionError(message)
        pause.wait(0.02)


def program(name: str, *args: object) -> list[str]:
    """Return the argv of a stand-in program of tests/programs."""
    return [sys.executable, "-P", str(PROGRAMS / name), *map(str, args)]


class Yard:
    """A home with jobs; ``close`` ends whatever of it still lives."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.root = root
        self.library = Library(self.paths.jobs)
        self.ids: list[str] = []

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which this home is Paddock's."""
        return {**os.environ, HOME_VARIABLE: str(self.root)}

    def spec(self, argv: list[str], *, name: str = "work", polite_s: float | None = None, **options: Any) -> JobSpec:
        """Return the spec of a job that runs ``argv``; ``polite_s`` goes into its params."""
        params: dict[str, object] = {"argv": argv}
        if polite_s is not None:
            params["polite_s"] = polite_s
        return JobSpec.new("command", name, workspace=str(self.root), params=params, **options)

    def launch(self, *specs: JobSpec, environ: Mapping[str, str] | None = None) -> list[str]:
        """Start jobs here."""
        ids = launch(self.paths.jobs, specs, environ=environ or self.environ)
        self.ids += ids
        return ids

    def run(self, argv: list[str], **options: Any) -> str:
        """Start one job and return its id."""
        return self.launch(self.spec(argv, **options))[0]

    def job(self, job_id: str) -> Job:
        """Return the job as a reader sees it now."""
        return self.library.get(job_id)

    def until(self, job_id: str, *statuses: Status, timeout_s: float = 90.0) -> Job:
        """Wait for one of ``statuses`` (any ending when none is given)."""

        def reached() -> Job | None:
            job = self.job(job_id)
            return job if (job.status in statuses if statuses else job.status.is_ended) else None

        return wait_until(reached, timeout_s=timeout_s, what=f"{job_id} {statuses}, is {self.job(job_id).status}")

    def supervisor(self, job_id: str) -> int:
        """Return the pid of the job's supervisor."""
        return int(str(wait_until(lambda: self.job(job_id).state.supervisor.get("pid"), what="a supervisor")))

    def alive(self, job_id: str) -> list[int]:
        """Return the living processes that carry the job's mark, its supervisor too."""
        return process.marked_processes(job_id)

    def kill(self, job_id: str) -> None:
        """End all of the job with SIGKILL, whoever was started meanwhile, too; no one of it sees another end."""
        while pids := self.alive(job_id):
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)

    def close(self) -> None:
        """End what is left of every job, so that no test leaves a process behind."""
        for job_id in self.ids:
            self.kill(job_id)
