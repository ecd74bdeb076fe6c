"""The supervisor's entry point: binds every kind of job to its command, its follower and its stop ladder.

    python -P -m backend.runner JOB_FOLDER LOCK_DESCRIPTOR

Imports stay small here: this process lives as long as the job (goal: 30 MB without a GPU driver).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.jobs.leases import GpuSlot
from backend.jobs.processes import resident_bytes
from backend.jobs.supervise import Sampler, Supervisor, Surroundings
from backend.jobs.work import (
    FORCE,
    POLITE,
    Command,
    Follower,
    ReportFollower,
    SilentFollower,
    StopStep,
    Work,
)
from backend.telemetry.gpus import GpuReader, known, read_gpus
from backend.telemetry.host import HostReader
from backend.telemetry.sample import SampleWriter, take_sample
from data.errors import AppError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.paths import Paths
from data.settings import load_settings


@dataclass(frozen=True, slots=True)
class OwnWork:
    """A program of Paddock's own: a module that takes the job's folder and reports through report.jsonl."""

    module: str
    polite_s: float = 10.0

    def prepare(self, folder: JobFolder, spec: JobSpec) -> Command:
        """Return ``python -P -m MODULE FOLDER``."""
        workspace = spec.workspace if Path(spec.workspace).is_dir() else "/"
        return Command((sys.executable, "-P", "-m", self.module, str(folder.path)), workspace)

    def follower(self, folder: JobFolder, spec: JobSpec) -> Follower:
        """Follow the report."""
        return ReportFollower(folder.report)

    def ladder(self, folder: JobFolder, spec: JobSpec) -> tuple[StopStep, ...]:
        """Ask, then force."""
        return (StopStep(POLITE.signal, "tree", self.polite_s, progress_extends=False, label=POLITE.label), FORCE)


@dataclass(frozen=True, slots=True)
class AnyCommand:
    """A program that somebody named: ``params`` hold ``argv`` and ``cwd``."""

    def prepare(self, folder: JobFolder, spec: JobSpec) -> Command:
        """Return the command as it was given."""
        argv = spec.params.get("argv")
        words = tuple(str(word) for word in cast("list[object]", argv)) if isinstance(argv, list) else ()
        if not words:
            raise AppError(_("This job names no program"), "", _("Its spec needs `argv`, a list of words."))
        return Command(words, str(spec.params.get("cwd") or spec.workspace))

    def follower(self, folder: JobFolder, spec: JobSpec) -> Follower:
        """Follow a report when the program writes one."""
        return ReportFollower(folder.report) if spec.params.get("report", True) else SilentFollower()

    def ladder(self, folder: JobFolder, spec: JobSpec) -> tuple[StopStep, ...]:
        """Ask, then force."""
        polite_s = spec.params.get("polite_s", POLITE.wait_s)
        wait_s = float(polite_s) if isinstance(polite_s, (int, float)) else POLITE.wait_s
        return (StopStep(POLITE.signal, "tree", wait_s, progress_extends=False, label=POLITE.label), FORCE)


OWN_MODULES: Final[Mapping[str, str]] = {
    "convert": "backend.convert.work",
    "deploy": "backend.export.deploy",
    "ask": "backend.demo.ask",
    "base": "backend.demo.base",
    "check": "backend.export.check",
    "prove": "backend.export.prove",
    "push": "backend.export.push",
    "serve": "backend.ollama.serve",
    "setup": "backend.setup.work",
}


def work_of(kind: str) -> Work | None:
    """Return the binding of ``kind``; imports only what that kind needs."""
    if kind in OWN_MODULES:
        return OwnWork(OWN_MODULES[kind])
    if kind == "command":
        return AnyCommand()
    if kind in ("train", "export"):
        from backend.train.work import ExportWork, TrainWork  # noqa: PLC0415 - only those jobs carry it

        return TrainWork() if kind == "train" else ExportWork()
    return None


class JobSampler(Sampler):
    """Writes telemetry.jsonl: GPUs, host, and the resident memory of the job's processes."""

    def __init__(self, folder: JobFolder, *, interval_s: float) -> None:
        self._gpus = GpuReader()
        self._host = HostReader(folder.path)
        self._writer = SampleWriter(folder.telemetry, interval_s=interval_s)
        self.interval_s = self._writer.interval_s

    def sample(self, pids: set[int]) -> None:
        """Write one sample; a full disk loses samples, never the job."""
        sample = take_sample(self._gpus, self._host)
        sample["job"] = {"processes": len(pids), "resident_bytes": resident_bytes(pids)}
        with contextlib.suppress(OSError):
            self._writer.write(sample)
        self.interval_s = self._writer.interval_s


def read_slots() -> list[GpuSlot]:
    """Return the GPUs of this machine as the queue sees them; one whose memory cannot be read counts as full."""
    return [GpuSlot(gpu.index, gpu.uuid, known(gpu.memory_free_bytes) or 0) for gpu in read_gpus(processes=False).gpus]


def main(argv: Sequence[str] | None = None) -> int:
    """Supervise the job in the folder of ``argv``."""
    words = list(argv if argv is not None else sys.argv[1:])
    folder, lock = JobFolder(Path(words[0])), int(words[1])
    paths = Paths.default()
    try:
        settings = load_settings(paths.settings).values
    except AppError as error:  # a settings file broken meanwhile must not stop a job
        from data.settings import Settings  # noqa: PLC0415 - the rare road

        sys.stderr.write(f"{error}\n")
        settings = Settings()
    work = work_of(folder.read_spec().kind)
    around = Surroundings(
        works={folder.read_spec().kind: work} if work else {},
        leases=paths.leases,
        read_gpus=read_slots,
        sampler=lambda job: JobSampler(job, interval_s=float(max(1, settings.telemetry_interval_s))),
        grace_s=float(settings.stop_grace_s),
    )
    Supervisor(folder, lock, around).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
