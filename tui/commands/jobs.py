"""``paddock jobs``: list, show, watch, log, stop, resume, remove."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

import click
from rich.cells import cell_len

from data.errors import AppError, RequestError
from data.i18n import Message, _
from data.jobs.library import Job
from data.jobs.spec import now
from data.jobs.status import STATUS_WORDS, Status
from data.size import size
from data.text import inert
from tui.commands.console import Console, columns
from tui.commands.following import POLL_S, StillRunning, ending, follow
from tui.commands.form import Group, argument, command, common_options, flag, option, plain_option
from tui.commands.session import Session
from tui.proving import result_words
from tui.services import Services
from tui.wording import (
    STATUS_GLYPHS,
    age,
    amount,
    clip,
    duration,
    fit,
    home_relative,
    job_name,
    job_title,
    job_warnings,
    number,
    work_word,
)

_CHUNK_BYTES: Final = 1 << 16


@command(
    "list",
    _("List the jobs, oldest first."),
    flag("--live", about=_("Only those that wait or run.")),
    option("--kind", metavar="KIND", about=_("Only jobs of this kind: train, export, convert, deploy …")),
    option("--last", "-n", type=click.IntRange(min=1), metavar="N", about=_("Only the last N.")),
)
def list_jobs(session: Session, live: bool, kind: str | None, last: int | None) -> int:
    """Print all jobs, or those that were asked for."""
    console, services = session.console, session.services(adopt=True)
    chosen = [
        job for job in services.jobs() if (not live or job.status.is_live) and (kind is None or job.spec.kind == kind)
    ]
    chosen = chosen[-last:] if last else chosen
    unreadable = [{"id": name, "error": error.as_json()} for name, error in services.library.unreadable.items()]
    console.emit({"jobs": [job.as_json() for job in chosen], "unreadable": unreadable})
    for line in _table(console, chosen):
        console.say(line)
    for name, error in services.library.unreadable.items():
        console.say(f"? {name}: {error.title}")
    if not chosen:
        console.say(_("No jobs. `paddock demo` shows the whole road; `paddock train CONFIG.yaml` starts a training."))
    return 0


def _table(console: Console, jobs: Sequence[Job]) -> list[str]:
    if not jobs:
        return []
    moment = now()
    rows = [
        (
            f"{STATUS_GLYPHS[job.status]} {STATUS_WORDS[job.status]}",
            job.id,
            work_word(job.spec),
            clip(job_name(job.spec), 28),
            _span(job),
            str(_("{time} ago", time=age(job.spec.created_at, moment))),
            _now(job),
        )
        for job in jobs
    ]
    lines = columns(rows, right=frozenset({4, 5}))
    return [clip(line, console.width()) for line in lines] if console.is_live else lines


def _span(job: Job) -> str:
    seconds = job.state.seconds(now())
    return "" if seconds is None else duration(seconds)


def _now(job: Job) -> str:
    """Return what the job does, waits for or died of, in some words."""
    state = job.state
    if job.status is Status.WAITING:
        return str(state.waiting_for)
    if job.status.is_live and state.progress:
        return amount(state.progress.done, state.progress.total, state.progress.unit)
    return str(state.title) if job.status is Status.FAILED else ""


@command("show", _("Show all that is known of one job."), argument("job"))
def show(session: Session, job: str) -> int:
    """Print one job."""
    console, services = session.console, session.services(adopt=True)
    found = services.job(job)
    console.emit({**found.as_json(), "params": dict(found.spec.params), "needs_env": list(found.spec.needs_env)})
    home = services.environ.get("HOME", "")
    for label, text in _facts(found, home):
        console.say(f"{label}  {text}")
    return 0


def _facts(job: Job, home: str) -> list[tuple[str, str]]:
    state, spec = job.state, job.spec
    facts: list[tuple[object, object]] = [
        (_("Job"), job.id),
        (_("What"), job_title(spec)),
        (_("State"), f"{STATUS_GLYPHS[job.status]} {STATUS_WORDS[job.status]}"),
        (_("Waits for"), state.waiting_for if job.status is Status.WAITING else ""),
        (_("Does"), state.stage_label if job.status.is_live else ""),
        (_("Progress"), amount(p.done, p.total, p.unit) if (p := state.progress) else ""),
        (_("Numbers"), ", ".join(f"{name} {number(value)}" for name, value in state.metrics.items())),
        (_("Took"), _span(job)),
        (_("Attempt"), state.attempt if state.attempt > 1 else ""),
        (_("Pipeline"), spec.chain.id if spec.chain else ""),
        (_("After"), ", ".join((*spec.after, *spec.after_any))),
        (_("Error"), state.title),
        (_("Why"), state.detail),
        (_("Remedy"), state.hint),
        (
            _("Made"),
            "\n".join(f"{home_relative(a.path, home)}  {size(a.size_bytes)}" for a in state.artifacts.values()),
        ),
        (_("Result"), "\n".join(f"{name}: {value}" for name, value in result_words(state.result))),
        (_("Warnings"), "\n".join(job_warnings(state.result))),
        (_("Workspace"), home_relative(spec.workspace, home)),
        (_("Folder"), home_relative(str(job.folder.path), home)),
    ]
    kept = [(str(label), inert(str(text))) for label, text in facts if str(text)]
    width = max(cell_len(label) for label, _text in kept)
    return [(fit(label, width), text.replace("\n", "\n" + " " * (width + 2))) for label, text in kept]


@command(
    "watch",
    _("Follow a job until it ends; with --json, its events, one a line.\n\nThe status is 0 when it succeeded, else 1."),
    argument("job"),
    plain_option(),
)
def watch(session: Session, job: str) -> int:
    """Follow one job."""
    console, services = session.console, session.services(adopt=True)
    found = services.job(job)
    back = f"paddock jobs watch {found.id}"
    if not console.as_json:
        failure = ending(follow(console, services, [found.id], comes_back=back)[0])
        return 0 if failure is None else console.fail(failure)
    try:
        asyncio.run(_stream(console, found))
    except KeyboardInterrupt:
        console.leave_echo()
        return StillRunning.exit_status
    return 0 if services.job(found.id).status is Status.SUCCEEDED else 1


async def _stream(console: Console, job: Job) -> None:
    from backend.jobs.follow import follow as events_of  # noqa: PLC0415 - late, as everything heavy

    async for event in events_of(job.folder):
        console.emit_line(event)


@command(
    "log",
    _("Print what a job's program wrote, untouched."),
    argument("job"),
    flag("--follow", "-f", about=_("Go on until the job ends.")),
    option("--lines", "-n", type=click.IntRange(min=0), metavar="N", about=_("Only the last N lines.")),
)
def log(session: Session, job: str, follow: bool, lines: int | None) -> int:
    """Copy output.log to stdout; with JSON, ``{"line": …}`` a line."""
    console, services = session.console, session.services()
    found = services.job(job)
    try:
        offset = _begin(found, lines)
        while True:
            ended = services.job(found.id).status.is_ended  # before the last read, or its last lines could be missed
            offset = _copy(console, found, offset, whole=ended or not follow)
            if ended or not follow:
                return 0
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        console.leave_echo()
        return StillRunning.exit_status


def _begin(job: Job, lines: int | None) -> int:
    """Return the byte at which the last ``lines`` lines of the log begin; 0 for all of it."""
    if lines is None or not job.folder.log.exists():
        return 0
    with job.folder.log.open("rb") as stream:
        end = position = stream.seek(0, 2)
        tail = b""
        while position > 0 and tail.rstrip(b"\n").count(b"\n") < lines:
            step = min(_CHUNK_BYTES, position)
            position -= step
            stream.seek(position)
            tail = stream.read(step) + tail
    kept = tail.splitlines(keepends=True)[-lines:] if lines else []
    return end - sum(map(len, kept))


def _copy(console: Console, job: Job, offset: int, *, whole: bool) -> int:
    """Print the log from ``offset``; return where it ends. As JSON only whole lines, unless it is ``whole``."""
    try:
        stream = job.folder.log.open("rb")
    except FileNotFoundError:
        return offset
    with stream:
        stream.seek(offset)
        while chunk := stream.read(_CHUNK_BYTES):
            if console.as_json:
                chunk += stream.readline()
                if not chunk.endswith(b"\n") and not whole:
                    chunk = chunk[: chunk.rfind(b"\n") + 1]
                    if not chunk:
                        break
                for line in chunk.splitlines():
                    console.emit_line({"line": line.decode("utf-8", "replace")})
            else:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            offset += len(chunk)
            stream.seek(offset)
    return offset


@command(
    "stop",
    _(
        "Ask a job to stop.\n\nA training saves a checkpoint first where it can; a job that does not move on is ended "
        "after the grace period of the settings. With --now it is ended at once."
    ),
    argument("job"),
    flag("--now", about=_("End it at once, without a checkpoint.")),
    flag("--wait", about=_("Follow it until it has ended.")),
    plain_option(),
)
def stop(session: Session, job: str, now: bool, wait: bool) -> int:
    """Ask one job to stop."""
    console, services = session.console, session.services(adopt=True)
    found = services.job(job)
    means = services.stop_consequences(found)
    services.stop(found, "now" if now else "graceful")
    console.tell(means.standing)
    console.tell(means.now if now else means.graceful)
    if wait:
        found = follow(console, services, [found.id], comes_back=f"paddock jobs watch {found.id}")[0]
    console.emit(services.job(found.id).as_json())
    console.say(_("`paddock jobs resume {job}` goes on later.", job=found.id))
    return 0


@command(
    "resume",
    _("Run an ended or lost job again in its own folder, and the jobs that failed only because it did."),
    argument("job"),
    flag("--dry-run", about=_("Only say where it would go on.")),
    flag("--wait", about=_("Follow it until it has ended.")),
    plain_option(),
)
def resume(session: Session, job: str, dry_run: bool, wait: bool) -> int:
    """Resume one job."""
    console, services = session.console, session.services(adopt=True)
    found = services.job(job)
    consequence = services.resume_consequence(found)
    console.tell(consequence)
    if dry_run:
        console.emit({"consequence": consequence.english(), "started": []})
        return 0
    ids = services.resume(found)
    failure: AppError | None = None
    if wait:
        ended = follow(console, services, ids, comes_back=f"paddock jobs watch {ids[-1]}")
        failure = next((error for each in ended if (error := ending(each)) is not None), None)
    if failure is not None:
        return console.fail(failure)
    console.emit({"consequence": consequence.english(), "started": ids})
    if not wait:
        console.say(_("Started: {jobs}. `paddock jobs watch {job}` follows.", jobs=", ".join(ids), job=ids[0]))
    return 0


@command(
    "remove",
    _(
        "Remove ended jobs: their folders with log and events; a pipeline's id stands for all of its jobs.\n\n"
        "What they made (adapters, models) is kept, unless "
        "--artifacts is given. On a terminal it asks first."
    ),
    argument("jobs", many=True, label="JOB…"),
    flag("--artifacts", about=_("Delete what the jobs made, too.")),
    flag("--yes", "-y", about=_("Do not ask.")),
)
def remove(session: Session, jobs: tuple[str, ...], artifacts: bool, yes: bool) -> int:
    """Remove jobs, after saying in bytes what that deletes."""
    console, services = session.console, session.services(adopt=True)
    found, unreadable = _to_remove(services, jobs)
    live = [job.id for job in found if job.status.is_live]
    if live:
        raise RequestError(
            _("This job is still alive"), ", ".join(live), _("`paddock jobs stop {job}` ends it.", job=live[0])
        )
    for job in found:
        console.tell(f"{job.id}: {services.removal_consequence([job], with_artifacts=artifacts)}")
    for name, why in unreadable.items():
        console.tell(_("{job}: {why}. Deletes its folder; what it made is not known, and stays.", job=name, why=why))
    if not yes and not _agreed(console, artifacts=artifacts):
        return 1
    removed = [{"id": job.id, "freed_bytes": services.remove([job], with_artifacts=artifacts)} for job in found]
    removed += [
        {"id": name, "freed_bytes": services.remove_unreadable(services.job_folder(name))} for name in unreadable
    ]
    console.emit({"removed": removed})
    freed = sum(int(str(entry["freed_bytes"])) for entry in removed)
    console.say(_("Removed {count}; {bytes} are free again.", count=len(removed), bytes=size(freed)))
    return 0


def _to_remove(services: Services, words: Sequence[str]) -> tuple[list[Job], dict[str, Message]]:
    """Return the jobs that ``words`` name, each once, and why the others cannot be read, by id."""
    found: dict[str, Job] = {}
    unreadable: dict[str, Message] = {}
    for word in words:
        try:
            name = services.job_folder(word).id
        except RequestError:
            pipeline = services.pipeline(word)
            if not pipeline:
                raise
            # The last first, so that no job is left that waits for one that is gone.
            found |= {job.id: job for job in reversed(pipeline)}
            continue
        try:
            found[name] = services.job(name)
        except AppError as error:
            unreadable[name] = error.title
    return list(found.values()), unreadable


def _agreed(console: Console, *, artifacts: bool) -> bool:
    """Ask on a terminal; without one, removing logs needs no word, removing models does."""
    if sys.stdin.isatty() and not console.as_json:
        return click.confirm(str(_("Remove?")), default=False)
    if artifacts:
        raise RequestError(
            _("What the jobs made is only deleted when somebody agrees"),
            _("There is no terminal to ask on."),
            _("Add --yes, or leave --artifacts out to keep what they made."),
        )
    return True


jobs: Final = Group(
    "jobs",
    {
        "list": ("tui.commands.jobs:list_jobs", _("List the jobs, oldest first.")),
        "show": ("tui.commands.jobs:show", _("Show all that is known of one job.")),
        "watch": ("tui.commands.jobs:watch", _("Follow a job until it ends.")),
        "log": ("tui.commands.jobs:log", _("Print what a job's program wrote.")),
        "stop": ("tui.commands.jobs:stop", _("Ask a job to stop.")),
        "resume": ("tui.commands.jobs:resume", _("Run an ended or lost job again.")),
        "remove": ("tui.commands.jobs:remove", _("Remove ended jobs.")),
    },
    about=_(
        "Jobs: everything that takes longer than a second. JOB is an id, its beginning, or its last letters.\n\n"
        "A job goes on when the terminal is gone; these commands only read and ask."
    ),
    params=common_options(),
)
