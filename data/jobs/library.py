"""All jobs: found by their folders, read incrementally, cheap enough to ask every second."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.folder import JobFolder, parse_event
from data.jobs.spec import JobSpec, is_job_id, rfc3339
from data.jobs.status import Fold, JobState, Status, derive

_METRIC: Final = b'"kind":"metric"'
_PROGRESS: Final = b'"kind":"progress"'
_KEPT_SAMPLES: Final = 16
_HEAD_BYTES: Final = 64
_READ_BYTES: Final = 1 << 20


class Job(NamedTuple):
    """A job as a reader sees it."""

    spec: JobSpec
    state: JobState
    folder: JobFolder

    @property
    def id(self) -> str:
        """The job's id."""
        return self.spec.id

    @property
    def status(self) -> Status:
        """The derived status."""
        return self.state.status

    def as_json(self) -> dict[str, object]:
        """Return the object of ``jobs list``: keys that scripts rely on."""
        state = self.state
        return {
            "id": self.spec.id,
            "kind": self.spec.kind,
            "name": self.spec.name,
            "status": str(state.status),
            "created_at": rfc3339(self.spec.created_at),
            "started_at": _stamp(state.started_at),
            "ended_at": _stamp(state.ended_at),
            "progress": state.progress.as_json() if state.progress else None,
            "after": [*self.spec.after, *self.spec.after_any],
            "executor": self.spec.executor,
            "workspace": self.spec.workspace,
            "attempt": state.attempt,
            "stage": state.stage or None,
            "metrics": state.metrics,
            "waiting_for": state.waiting_for.english() or None,
            "exit_code": state.exit_code,
            "error": {
                "title": state.title.english(),
                "detail": state.detail.english(),
                "hint": state.hint.english(),
            }
            if state.title or state.detail
            else None,
            "artifacts": [{"path": a.path, "what": a.what, "bytes": a.size_bytes} for a in state.artifacts.values()],
            "result": state.result,
            "chain": self.spec.chain.as_json() if self.spec.chain else None,
            "responding": state.responding,
            "folder": str(self.folder.path),
        }


def _age(job: Job) -> tuple[datetime, int, str]:
    return job.spec.created_at, job.spec.chain.position if job.spec.chain else 0, job.id


def _stamp(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


class _Entry:
    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.fold = Fold()
        self.offset = 0
        self.size = -1


class Library:
    """Reads the jobs below ``jobs``; keeps what it has folded, so that asking again reads only what is new.

    Not for several threads at once.
    """

    def __init__(self, jobs: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._jobs = jobs
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self.unreadable: dict[str, AppError] = {}
        """Folders with a job's name whose spec cannot be read, by name"""

    def list(self) -> list[Job]:
        """Return all jobs, oldest first; folders that cannot be read are in ``unreadable``.

        Raises AppError where the folder of all jobs itself cannot be read.
        """
        names = self._names()
        for gone in self._entries.keys() - set(names):
            del self._entries[gone]
        self.unreadable.clear()
        jobs: list[Job] = []
        for name in names:
            try:
                jobs.append(self._read(name))
            except AppError as error:
                self.unreadable[name] = error
        return sorted(jobs, key=_age)

    def get(self, id_or_part: str) -> Job:
        """Return the job with that id, or the only one whose id starts or ends with it.

        Raises RequestError where there is none or several, AppError where it cannot be read.
        """
        return self._read(self.folder(id_or_part).id)

    def folder(self, id_or_part: str) -> JobFolder:
        """Return the folder of the job that ``get`` would return, without reading it; raises RequestError."""
        if is_job_id(id_or_part) and (self._jobs / id_or_part).is_dir():
            return JobFolder(self._jobs / id_or_part)
        wanted = id_or_part.strip()
        found = [name for name in self._names() if wanted and (name.startswith(wanted) or name.endswith(wanted))]
        if len(found) == 1:
            return JobFolder(self._jobs / found[0])
        if found:
            raise RequestError(
                _("Several jobs are meant by {text}", text=id_or_part),
                ", ".join(found[:8]),
                _("Write more of the id; its last four letters are usually enough."),
            )
        raise RequestError(
            _("There is no job {text}", text=id_or_part),
            _("Its folder is not in {folder}.", folder=str(self._jobs)),
            _("`paddock jobs list` names all jobs."),
        )

    def chain(self, chain_id: str) -> list[Job]:
        """Return the jobs of a chain in order."""
        jobs = [job for job in self.list() if job.spec.chain and job.spec.chain.id == chain_id]
        return sorted(jobs, key=lambda job: job.spec.chain.position if job.spec.chain else 0)

    def dependents(self, job_id: str) -> list[Job]:
        """Return the jobs that wait for ``job_id``, directly or through others, nearest first."""
        jobs = self.list()
        found: dict[str, Job] = {}
        grown = True
        while grown:  # jobs of one moment come in any order, so once through the list may not be enough
            grown = False
            for job in jobs:
                parents = (*job.spec.after, *job.spec.after_any)
                if job.id not in found and any(parent == job_id or parent in found for parent in parents):
                    found[job.id] = job
                    grown = True
        return list(found.values())

    def _names(self) -> list[str]:
        """Return the names of all job folders, oldest first."""
        try:
            return sorted(path.name for path in self._jobs.iterdir() if is_job_id(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AppError(
                _("The folder of the jobs cannot be read"),
                str(error),
                _("{folder} has to be a folder that you may read and write.", folder=str(self._jobs)),
            ) from error

    def _read(self, name: str) -> Job:
        folder = JobFolder(self._jobs / name)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(folder.read_spec())
        self._update(entry, folder)
        derive(entry.fold, folder, self._clock())
        return Job(entry.spec, copy.copy(entry.fold.state), folder)

    def _update(self, entry: _Entry, folder: JobFolder) -> None:
        try:
            size = folder.events_file.stat().st_size
        except OSError:  # there is none yet, or reading it tells why
            size = 0
        if size == entry.size:
            return
        if size < entry.offset:  # somebody mended the file by hand: read it anew
            entry.fold, entry.offset = Fold(), 0
        entry.size = size
        while True:  # in pieces: the first look at a long run reads tens of megabytes
            lines, end = folder.read_lines(entry.offset, _READ_BYTES)
            if end == entry.offset:
                return
            entry.offset = end
            for line in _without_old_samples(lines):
                event = parse_event(line)
                if event is None:
                    entry.fold.state.bad_lines += bool(line)
                else:
                    entry.fold.add(event)


def _without_old_samples(lines: list[bytes]) -> list[bytes]:
    """Drop metric and progress lines that later ones of the batch replace: a long run has tens of thousands."""
    if len(lines) <= 4 * _KEPT_SAMPLES:
        return lines
    kept: list[bytes] = []
    samples = 0
    for line in reversed(lines):
        head = line[:_HEAD_BYTES]
        if _METRIC in head or _PROGRESS in head:
            samples += 1
            if samples > _KEPT_SAMPLES:
                continue
        else:
            samples = 0  # a new stage or attempt forgets values: keep some of each side of it
        kept.append(line)
    kept.reverse()
    return kept
