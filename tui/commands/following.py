"""Follow jobs in plain text: a line for what begins and ends, one updating line between them on a terminal.

Only reads their folders. Leaving (Ctrl-C) never touches a job; it says the command that comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from data.errors import AppError
from data.i18n import Message, _
from data.jobs.folder import Event
from data.jobs.library import Job
from data.jobs.pace import PaceMeter
from data.jobs.spec import now, parse_time
from data.jobs.status import STATUS_WORDS, Progress, Status
from data.log import last_exception, log_end
from data.size import size
from tui.commands.console import Console
from tui.services import Services
from tui.wording import STATUS_GLYPHS, amount, clip, clock_span, duration, job_title, job_warnings, number

POLL_S: Final = 0.2
PLAIN_EVERY_S: Final = 10.0
"""How far apart lines of progress are where no line can be written over"""
_MOST_ADOPTIONS: Final = 3
_STYLES: Final = {Status.SUCCEEDED: "good", Status.FAILED: "bad", Status.LOST: "bad", Status.STOPPED: "warn"}


class StillRunning(AppError):  # noqa: N818 - it is no error: somebody stopped looking
    """The person stopped following; the job did not notice."""

    exit_status = 130


def follow(
    console: Console,
    services: Services,
    ids: Sequence[str],
    *,
    comes_back: str,
    pause: Callable[[float], None] = time.sleep,
) -> list[Job]:
    """Show the jobs ``ids`` one after the other until the last has ended, and return them.

    ``comes_back`` is the command that is named when the person leaves; then StillRunning is raised.
    """
    try:
        return [_Line(console, services, job_id, (i + 1, len(ids))).until_end(pause) for i, job_id in enumerate(ids)]
    except KeyboardInterrupt:
        console.leave_echo()
        raise StillRunning(
            _("It goes on without this window"),
            _("Nothing of it was stopped."),
            _("`{command}` shows it again.", command=comes_back),
        ) from None
    finally:
        console.end_update()


class _Line:
    """One job while it is followed."""

    def __init__(self, console: Console, services: Services, job_id: str, place: tuple[int, int]) -> None:
        self._console = console
        self._services = services
        self._id = job_id
        self._offset = 0
        self._adoptions = 0
        self._meter = PaceMeter()
        self._told_at: datetime | None = None
        self._told_status: Status | None = None
        self._metrics: dict[str, float] = {}
        spec = services.job(job_id).spec
        number_text = f"[{place[0]}/{place[1]}] " if place[1] > 1 else ""
        self._title = f"{number_text}{job_title(spec)}"

    def until_end(self, pause: Callable[[float], None]) -> Job:
        """Show the job until it has ended."""
        while True:
            job = self._services.job(self._id)
            for event in self._new_events(job):
                self._tell(event)
            self._tell_status(job)
            if job.status.is_ended:
                self._tell_end(job)
                return job
            if job.status is Status.UNSUPERVISED:
                self._adopt(job)
            self._console.update(clip(self._live(job), self._console.width() - 1))
            pause(POLL_S)

    def _adopt(self, job: Job) -> None:
        """Take the job over; raises AppError where its supervisors die again and again (a full disk)."""
        if self._adoptions == _MOST_ADOPTIONS:
            lines = [line for line in log_end(job.folder.supervisor_log) if line.strip()]
            said = last_exception(lines) or lines[-1:]
            raise AppError(
                _("No supervisor stays with {job}", job=job.id),
                "\n".join(said),
                _("Mend that, then `paddock jobs watch {job}` takes it over again; nothing was stopped.", job=job.id),
            )
        self._adoptions += self._services.adopt().count(job.id)

    def _new_events(self, job: Job) -> list[Event]:
        batch = job.folder.events(self._offset)
        self._offset = batch.offset
        return batch.events

    def _tell(self, event: Event) -> None:
        self._meter.add(event)
        match event["kind"]:
            case "started":
                self._say(f"▸ {self._title}")
                self._told_at = _time(event)
            case "stage":
                self._metrics.clear()
                label = Message.from_json(event.get("label"))
                if label:
                    self._say(f"    {label}")
            case "metric":
                names = ("loss", "eval_loss", "learning_rate", "tokens_per_s")
                found = {n: v for n in names if isinstance(v := event.get(n), (int, float))}
                self._metrics.update(found)
            case "progress":
                self._tell_progress(event)
            case "stopping":
                self._say(f"    {Message.from_json(event.get('label'))}")
            case _:
                pass

    def _tell_progress(self, event: Event) -> None:
        moment = _time(event)
        if self._console.is_live or moment is None:
            return
        if self._told_at is not None and (moment - self._told_at).total_seconds() < PLAIN_EVERY_S:
            return
        self._told_at = moment
        done, total = event.get("done"), event.get("total")
        if isinstance(done, (int, float)) and (total is None or isinstance(total, (int, float))):
            words = self._progress_words(Progress(done, total, str(event.get("unit", ""))), moment)
            self._say(f"    {words}")

    def _progress_words(self, progress: Progress | None, moment: datetime) -> str:
        pieces: list[str] = []
        if progress is not None:
            pieces.append(amount(progress.done, progress.total, progress.unit))
        if "loss" in self._metrics:
            pieces.append(str(_("loss {value}", value=number(self._metrics["loss"]))))
        pace = self._meter.pace()
        left_s = pace.left_s(moment) if pace else None
        if left_s is not None:
            pieces.append(str(_("{time} left", time=clock_span(left_s))))
        return " · ".join(pieces)

    def _tell_status(self, job: Job) -> None:
        """Say once what stands in the way: what it waits for, or that nobody answers for it."""
        status = job.status
        if status is self._told_status:
            return
        self._told_status = status
        if status is Status.WAITING and job.state.waiting_for:
            self._say(f"{STATUS_GLYPHS[status]} {self._title}: {job.state.waiting_for}")
        elif status in (Status.UNSUPERVISED, Status.UNREACHABLE):
            self._say(f"{STATUS_GLYPHS[status]} {self._title}: {STATUS_WORDS[status]}")

    def _tell_end(self, job: Job) -> None:
        glyph = self._console.paint(STATUS_GLYPHS[job.status], _STYLES.get(job.status, "strong"))
        pieces = [f"{glyph} {self._title}"]
        if job.status is not Status.SUCCEEDED:
            pieces.append(str(STATUS_WORDS[job.status]))
        seconds = job.state.seconds(now())
        if seconds is not None:
            pieces.append(duration(seconds))
        made = sum(artifact.size_bytes for artifact in job.state.artifacts.values())
        if made:
            pieces.append(size(made))
        self._say("  ".join(pieces))
        for words in job_warnings(job.state.result):
            self._say(f"    {self._console.paint('!', 'warn')} {words}")

    def _live(self, job: Job) -> str:
        state, moment = job.state, now()
        glyph = STATUS_GLYPHS[job.status]
        if job.status is Status.WAITING:
            return f"{glyph} {self._title} · {state.waiting_for or STATUS_WORDS[Status.WAITING]}"
        seconds = state.seconds(moment)
        words = self._progress_words(state.progress, moment) or str(state.stage_label)
        pieces = [f"{glyph} {self._title}", clock_span(seconds), words]
        if not state.responding:
            pieces.append(str(_("its supervisor is not responding")))
        return " · ".join(piece for piece in pieces if piece)

    def _say(self, text: str) -> None:
        self._console.tell(text)


def _time(event: Event) -> datetime | None:
    try:
        return parse_time(str(event.get("time")))
    except ValueError:
        return None


def ending(job: Job) -> AppError | None:
    """Return why ``job`` did not succeed, with where to look and how to go on; None when it did."""
    if job.status is Status.SUCCEEDED:
        return None
    state = job.state
    title = state.title or _("{job} is {status}", job=job.id, status=STATUS_WORDS[job.status])
    ways = _("Log: `paddock jobs log {job}`. Go on: `paddock jobs resume {job}`.", job=job.id)
    hint = _("{remedy}\n{ways}", remedy=state.hint, ways=ways) if state.hint else ways
    return AppError(title, state.detail, hint)


def first_ending(jobs: Sequence[Job]) -> AppError | None:
    """Return why the first of ``jobs`` that did not succeed did not; None when all did."""
    return next((error for job in jobs if (error := ending(job)) is not None), None)
