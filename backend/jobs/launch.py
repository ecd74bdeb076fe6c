"""Starting, stopping, resuming, adopting and removing jobs: what the app and the command line call."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from backend.jobs import environment
from backend.jobs.executors.local import start_supervisor
from backend.jobs.stop import stopped_without_work
from data.errors import AppError, RequestError
from data.files import is_locked, open_lock, try_lock
from data.i18n import Message, _
from data.jobs import process
from data.jobs.folder import JobFolder, Manner, parse_event
from data.jobs.library import Job, Library
from data.jobs.spec import JobSpec
from data.jobs.status import STATUS_WORDS, Fold, Status

_LEAVING_S: Final = 5.0
_BEGINNING_S: Final = 10.0


def launch(
    jobs: Path, specs: Sequence[JobSpec], *, keep: str = "", environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Lay down ``specs`` (parents first) and start a supervisor for each; return their ids.

    All folders exist before the first supervisor starts, so that a chain is whole even when we die in between:
    a folder whose supervisor never came shows as lost and can be resumed. Raises AppError; then nothing was started
    of what comes after the failure.
    """
    made: list[tuple[JobFolder, int]] = []
    try:
        for spec in specs:
            made.append(JobFolder.create(jobs, spec))  # noqa: PERF401 - those already made must be known when one fails
    except AppError:
        for folder, lock in made:
            os.close(lock)
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    published = [(folder.publish(), lock) for folder, lock in made]
    for index, (folder, lock) in enumerate(published):
        try:
            start_supervisor(folder, lock, _environment(specs[index], keep, environ))
        except AppError:
            for _folder, unused in published[index + 1 :]:
                os.close(unused)
            raise
    return [spec.id for spec in specs]


def _environment(spec: JobSpec, keep: str, environ: Mapping[str, str]) -> dict[str, str]:
    return dict(environment.child_environment(environ, keep, spec.needs_env).kept)


def request_stop(job: Job, manner: Manner) -> None:
    """Ask the job to stop; where nobody supervises it and nothing of it lives, write its ending here.

    Raises RequestError when it has already ended.
    """
    if job.status in (Status.SUCCEEDED, Status.FAILED, Status.STOPPED):
        raise RequestError(
            _("This job has already ended"), _("{job} is {status}.", job=job.id, status=STATUS_WORDS[job.status]), ""
        )
    job.folder.ask_stop(manner)
    if job.status is not Status.LOST:
        return
    lock = open_lock(job.folder.lock)
    try:
        if try_lock(lock):
            job.folder.append(stopped_without_work())
    finally:
        os.close(lock)


def resume(library: Library, job_id: str, *, keep: str = "", environ: Mapping[str, str] = os.environ) -> list[str]:
    """Run an ended or lost job again in its own folder, and with it the jobs that failed only because it did.

    Returns the ids that were started. Raises RequestError when it cannot be resumed, and says why.
    """
    job = library.get(job_id)
    _check_resumable(job, environ)
    again = [job]
    broken = {job.id}
    for child in library.dependents(job.id):
        if child.status is Status.FAILED and child.state.cause == "after" and broken.intersection(child.spec.after):
            broken.add(child.id)
            again.append(child)
    for each in again:
        _restart(each, keep, environ)
    return [each.id for each in again]


def _check_resumable(job: Job, environ: Mapping[str, str]) -> None:
    if job.status is Status.SUCCEEDED:
        raise RequestError(
            _("This job has succeeded"), job.id, _("There is nothing to resume; start it anew to run it once more.")
        )
    if job.status.is_live:
        raise RequestError(
            _("This job is still alive"),
            _("{job} is {status}.", job=job.id, status=STATUS_WORDS[job.status]),
            _("Stop it first: two writers in one output folder would spoil it."),
        )
    alive = _still_alive(job)
    if alive:
        raise RequestError(
            _("Processes of this job still live"),
            ", ".join(map(str, alive)),
            _("`paddock jobs stop {job} --now` ends them.", job=job.id),
        )
    missing = environment.missing(environ, job.spec.needs_env)
    if missing:
        raise RequestError(
            _("The environment lacks what this job needs"),
            ", ".join(missing),
            _("Set it in this shell, then resume again."),
        )


def _still_alive(job: Job) -> list[int]:
    """Return the processes of the job; its supervisor, once it has written the ending, is given a moment to go."""
    end = time.monotonic() + _LEAVING_S
    while True:
        alive = process.marked_processes(job.id)
        if not alive or set(alive) != {job.state.supervisor.get("pid")} or time.monotonic() > end:
            return alive
        time.sleep(0.02)


def _restart(job: Job, keep: str, environ: Mapping[str, str]) -> None:
    folder = job.folder
    lock = _take_lock(folder)
    try:
        folder.stop_file.unlink(missing_ok=True)
        folder.exit_file.unlink(missing_ok=True)
        folder.report.unlink(missing_ok=True)
        folder.mark_file.unlink(missing_ok=True)
        fold = Fold()
        fold.add_all(folder.every_event())
        if fold.status is not None and fold.status.is_live:  # it was lost: say so in the journal first
            folder.append({"kind": "finished", "outcome": "lost", "exit_code": None})
    except BaseException:
        os.close(lock)
        raise
    offset = folder.events_file.stat().st_size
    start_supervisor(folder, lock, _environment(job.spec, keep, environ))
    _await_attempt(folder, offset)


def _await_attempt(folder: JobFolder, offset: int) -> None:
    """Wait until the new supervisor has said, behind ``offset``, that the attempt begins.

    Until then the job looks as it ended. Whoever dies before has started it all the same, or not at all.
    """
    end = time.monotonic() + _BEGINNING_S
    while time.monotonic() < end:
        events = (parse_event(line) for line in folder.read_lines(offset)[0])
        if any(event is not None and event["kind"] == "waiting" for event in events):
            return
        if not is_locked(folder.lock):  # it died: how the job is, every reader sees for itself
            return
        time.sleep(0.02)


def _take_lock(folder: JobFolder) -> int:
    """Return the lock's descriptor. A supervisor that has written its ending may need a moment to go."""
    lock = open_lock(folder.lock)
    end = time.monotonic() + _LEAVING_S
    while not try_lock(lock):
        if time.monotonic() > end:
            os.close(lock)
            raise RequestError(
                _("Somebody else has just resumed this job"),
                folder.id,
                _("`paddock jobs show {job}` tells how it is.", job=folder.id),
            )
        time.sleep(0.02)
    return lock


def adopt(library: Library, *, keep: str = "", environ: Mapping[str, str] = os.environ) -> list[str]:
    """Give every job that works without a supervisor a new one; return their ids."""
    adopted: list[str] = []
    for job in library.list():
        if job.status is not Status.UNSUPERVISED:
            continue
        with contextlib.suppress(AppError, OSError):  # a disk that takes nothing now may do so later
            lock = open_lock(job.folder.lock)
            if not _locked(lock):  # another view was faster
                continue
            start_supervisor(job.folder, lock, _environment(job.spec, keep, environ))
            adopted.append(job.id)
    return adopted


def _locked(lock: int) -> bool:
    """Take ``lock``; where that fails, close it."""
    got = False
    try:
        got = try_lock(lock)
    finally:
        if not got:
            os.close(lock)
    return got


def clean_unpublished(jobs: Path) -> None:
    """Remove folders that were being made when their maker died: dot-names whose lock is free."""
    for path in jobs.glob(".new-*"):
        lock = open_lock(path / "lock") if path.is_dir() else -1
        if lock < 0:
            continue
        try:
            if try_lock(lock):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)


def removal_consequence(jobs: Sequence[Job], library: Library, *, with_artifacts: bool) -> Message:
    """Say what removing ``jobs`` together deletes, in bytes, and what stays."""
    from data.jobs.report import size_bytes  # noqa: PLC0415 - only asked before a removal

    folders = f"{sum(size_bytes(job.folder.path) for job in jobs):,}"
    paths = [path for path in _made_by(jobs) if Path(path).exists()]
    ids = {job.id for job in jobs}
    children = {child.id: child for job in jobs for child in library.dependents(job.id)}
    waiting = [child.spec.name for child in children.values() if child.status.is_live and child.id not in ids]
    parts = [
        _("Deletes the job's folder ({folder} bytes: log, events).", folder=folders)
        if len(jobs) == 1
        else _("Deletes the folders of {count} jobs ({folder} bytes: logs, events).", count=len(jobs), folder=folders)
    ]
    if paths:
        made = {"bytes": f"{sum(size_bytes(Path(path)) for path in paths):,}", "paths": ", ".join(paths)}
        match len(jobs) == 1, with_artifacts:
            case True, True:
                parts.append(_("Deletes what it made ({bytes} bytes): {paths}.", **made))
            case True, False:
                parts.append(_("Keeps what it made ({bytes} bytes): {paths}.", **made))
            case False, True:
                parts.append(_("Deletes what they made ({bytes} bytes): {paths}.", **made))
            case _:
                parts.append(_("Keeps what they made ({bytes} bytes): {paths}.", **made))
    if waiting:
        parts.append(_("Jobs that wait for it will fail: {waiting}.", waiting=", ".join(waiting)))
    names = [f"part{index}" for index in range(len(parts))]
    return Message(" ".join(f"{{{name}}}" for name in names), dict(zip(names, parts, strict=True)))


def _made_by(jobs: Sequence[Job]) -> list[str]:
    """Return the paths of what ``jobs`` made, each once, and none that lies in another of them."""
    paths = dict.fromkeys(artifact.path for job in jobs for artifact in job.state.artifacts.values())
    return [path for path in paths if not any(str(parent) in paths for parent in Path(path).parents)]


def remove(jobs: Sequence[Job], *, with_artifacts: bool) -> int:
    """Remove the folders of ended jobs, and on request what they made; return the bytes freed.

    Raises RequestError where one is live; then all stay. A folder first gets a dot-name, so that it is gone at once or
    not at all; the last job goes first, so that none is left that waits for one that is gone.
    """
    from data.jobs.report import size_bytes  # noqa: PLC0415 - only used here and above

    for job in jobs:
        if job.status.is_live:
            raise RequestError(
                _("This job is still alive"),
                _("{job} is {status}.", job=job.id, status=STATUS_WORDS[job.status]),
                _("Stop it first."),
            )
    freed = 0
    for path in map(Path, _made_by(jobs) if with_artifacts else ()):
        freed += size_bytes(path)
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except OSError as error:
            raise AppError(
                _("What the job made cannot be removed"), str(error), _("The job itself was kept.")
            ) from error
    for job in reversed(jobs):
        freed += size_bytes(job.folder.path)
        _dispose(job.folder)
    return freed


def remove_unreadable(folder: JobFolder) -> int:
    """Remove the folder of a job that cannot be read; return the bytes freed. What the job made is unknown and stays.

    Raises RequestError while anything of the job lives, AppError where the folder cannot be removed.
    """
    from data.jobs.report import size_bytes  # noqa: PLC0415 - only used here and above

    owned = False
    with contextlib.suppress(OSError):  # a file in the folder's place, or no locks here: the processes will tell
        owned = folder.is_owned()
    if owned or process.marked_processes(folder.id):
        raise RequestError(
            _("This job is still alive"), folder.id, _("It cannot be read, so end its processes by hand first.")
        )
    freed = size_bytes(folder.path)
    _dispose(folder)
    return freed


def _dispose(folder: JobFolder) -> None:
    """Take the folder's name away, then its content: it is gone at once or not at all."""
    doomed = folder.path.with_name(f".removed-{folder.id}")
    try:
        folder.path.rename(doomed)
    except OSError as error:
        raise AppError(
            _("The job's folder cannot be removed"),
            str(error),
            _("Check the permissions of {folder}.", folder=str(folder.path.parent)),
        ) from error
    if doomed.is_dir():
        shutil.rmtree(doomed, ignore_errors=True)
    else:
        doomed.unlink(missing_ok=True)
