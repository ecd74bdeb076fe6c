"""Start jobs for a command, and follow them where that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from data.i18n import _
from data.jobs.spec import JobSpec
from tui.commands.console import Console
from tui.commands.following import first_ending, follow
from tui.services import Services


def start(services: Services, specs: Sequence[JobSpec]) -> list[str]:
    """Lay down ``specs`` (parents first) as jobs and start them; return their ids. Raises AppError."""
    from backend.jobs.launch import launch  # noqa: PLC0415 - help needs none of it

    return launch(services.paths.jobs, specs, keep=services.settings.environment_keep, environ=services.environ)


def run_jobs(console: Console, services: Services, specs: Sequence[JobSpec], *, wait: bool) -> int:
    """Start ``specs``; with ``wait`` follow them to their end. Return the exit status.

    The JSON object is ``{ok, jobs: [...]}`` with the jobs as in ``jobs list``; with ``error`` when one failed.
    """
    ids = start(services, specs)
    if not wait:
        console.emit({"ok": True, "jobs": [services.job(job_id).as_json() for job_id in ids]})
        console.say(_("Started: {jobs}", jobs=", ".join(ids)))
        console.say(_("`paddock jobs watch {job}` follows it; `paddock jobs stop {job}` stops it.", job=ids[-1]))
        return 0
    jobs = follow(console, services, ids, comes_back=f"paddock jobs watch {ids[-1]}")
    failure = first_ending(jobs)
    if failure is None:
        console.emit({"ok": True, "jobs": [job.as_json() for job in jobs]})
        return 0
    if console.as_json:
        console.emit({"ok": False, "jobs": [job.as_json() for job in jobs], "error": failure.as_json()})
        return failure.exit_status
    return console.fail(failure)
