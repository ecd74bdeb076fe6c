"""What a job waits for: its parents' endings, read from their folders."""

from __future__ import annotations

import time
from pathlib import Path

from data.errors import AppError
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.jobs.status import STATUS_WORDS, Fold, Status, derive


class ParentFailed(Exception):  # noqa: N818 - carries the AppError
    """A parent ended otherwise than ``after`` demands."""

    def __init__(self, error: AppError) -> None:
        super().__init__(error.title.english())
        self.error = error


class Parents:
    """Answers whether a job may start. ``after`` wants success; ``after_any`` wants any ending."""

    def __init__(self, jobs: Path, spec: JobSpec) -> None:
        self._jobs = jobs
        self._spec = spec
        self._waiting = [*((parent, True) for parent in spec.after), *((parent, False) for parent in spec.after_any)]
        self._seen: dict[str, tuple[int, Fold]] = {}

    def pending(self) -> Message | None:
        """Return what is still being waited for; None when the job may start. Raises ParentFailed.

        A lost parent is waited for: somebody may resume it.
        """
        while self._waiting:
            parent, must_succeed = self._waiting[0]
            folder = JobFolder(self._jobs / parent)
            if not folder.path.exists():
                if JobFolder(self._jobs / f".new-{parent}").path.exists():
                    return _("waits for {job}", job=parent)  # not yet published
                raise ParentFailed(self._gone(parent))
            status = self._status(folder)
            if not status.is_ended or status is Status.LOST:
                if status is Status.LOST:
                    return _("waits for {job}, which is lost: resume it or stop this one", job=parent)
                return _("waits for {job}", job=parent)
            if must_succeed and status is not Status.SUCCEEDED:
                raise ParentFailed(self._unsuccessful(folder, status))
            self._waiting.pop(0)
        return None

    def _status(self, folder: JobFolder) -> Status:
        offset, fold = self._seen.get(folder.id, (0, Fold()))
        batch = folder.events(offset)
        fold.add_all(batch.events)
        self._seen[folder.id] = (batch.offset, fold)
        return derive(fold, folder, time.time())

    def _unsuccessful(self, folder: JobFolder, status: Status) -> AppError:
        try:
            name = folder.read_spec().name
        except AppError:
            name = folder.id
        return AppError(
            _("{name}, which this job needs, did not succeed", name=name),
            _("{job} ended as {status}.", job=folder.id, status=STATUS_WORDS[status]),
            _("`paddock jobs resume {job}` runs it again, and then this job with it.", job=folder.id),
        )

    def _gone(self, parent: str) -> AppError:
        return AppError(
            _("A job that this one needs was removed"), parent, _("Start the work anew; its parent cannot be resumed.")
        )
