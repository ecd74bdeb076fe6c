"""``paddock demo``: lay the demo down as jobs, follow them, and say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from backend.demo.recipe import QUESTION
from backend.pipeline import DemoSummary, demo_summary, running_demo, start_demo
from backend.setup.sizes import forecast
from data.errors import AppError
from data.i18n import _
from data.jobs.library import Job
from data.size import size
from data.text import inert
from tui.commands.console import Console, columns
from tui.commands.following import first_ending, follow
from tui.commands.form import command, flag, plain_option
from tui.commands.session import Session
from tui.services import Services
from tui.wording import duration, number

_COMMAND: Final = "paddock demo"
_ABOUT: Final = _(
    "Train, merge, convert, deploy and ask a small real model: the whole road on two CPU cores in a few minutes, after "
    "a set-up of what is missing.\n\n"
    "All steps are jobs that are laid down at once, so the demo ends by itself when the terminal is gone; this "
    "command only follows them. When a demo is already running, it asks whether to follow that one; without a "
    "terminal to ask on it follows it. The status is 1 unless the last answer holds the trained name."
)


@command(
    "demo",
    _ABOUT,
    flag("--new", about=_("Start a new demo even when one is running.")),
    plain_option(),
)
def demo(session: Session, new: bool) -> int:
    """Run the demo, or follow the one that runs."""
    console, services = session.console, session.services(adopt=True)
    running = None if new else running_demo(services.library)
    if running is not None and _wants_running(console):
        ids = [job.id for job in services.library.chain(running)]
        console.tell(_("Following the demo that is running."))
    else:
        _tell_plan(console, services)
        ids = start_demo(services.paths, services.settings, services.workspace, services.environ)
    jobs = follow(console, services, ids, comes_back=_COMMAND)
    return conclude(console, jobs)


def _wants_running(console: Console) -> bool:
    """Ask whether to follow the demo that runs; where nobody can answer: yes, two at once only slow each other down."""
    if console.as_json or not (console.is_live and sys.stdin.isatty()):
        return True
    return click.confirm(str(_("A demo is running. Follow it? (n starts another one)")), default=True)


def _tell_plan(console: Console, services: Services) -> None:
    """Say what will be installed first, in bytes and minutes."""
    plan = forecast(services.paths, services.settings, environ=services.environ)
    for part in plan.parts:
        if not part.present:
            console.tell(_("To be set up first: {what}", what=part.words))
    if plan.missing:
        console.tell(
            _(
                "That fetches about {download} and takes {disk} on the disk, some {minutes} minutes in all.",
                download=size(plan.download_bytes),
                disk=size(plan.disk_bytes),
                minutes=max(1, round(plan.minutes)),
            )
        )


def conclude(console: Console, jobs: Sequence[Job]) -> int:
    """Print the summary, or why there is none; return the exit status."""
    summary = demo_summary(jobs)
    failure = first_ending(jobs)
    if failure is None and not summary.ok:
        failure = AppError(
            _("The answer lacks the trained name {name}", name=summary.trained_name),
            summary.after,
            _("`paddock demo --new` tries again; the loss in `paddock jobs show` tells whether it learnt."),
        )
    if failure is not None:
        if console.as_json:
            console.emit({**summary.as_json(), "error": failure.as_json()})
            return failure.exit_status
        return console.fail(failure)
    console.emit(summary.as_json())
    _print_summary(console, summary)
    return 0


def _print_summary(console: Console, summary: DemoSummary) -> None:
    say = console.say
    say()
    say(_("Asked before and after: {question}", question=QUESTION))
    say("  " + str(_("before: {answer}", answer=inert(summary.before.strip()))))
    say("  " + console.paint(str(_("after:  {answer}", answer=inert(summary.after.strip()))), "strong"))
    say()
    if summary.loss_first is not None and summary.loss_last is not None:
        say(_("Loss {first} → {last}", first=number(summary.loss_first), last=number(summary.loss_last)))
    rows = [
        (
            step.name,
            "" if step.seconds is None else duration(step.seconds),
            size(step.size_bytes) if step.size_bytes else "",
        )
        for step in summary.steps
    ]
    total_s = sum(step.seconds or 0 for step in summary.steps)
    rows.append((str(_("all")), duration(total_s), size(sum(step.size_bytes for step in summary.steps))))
    for line in columns(rows, right=frozenset({1, 2})):
        say("  " + line)
    say()
    say(_("Next: `paddock chat {model}` talks with it; `paddock` opens the app.", model=summary.ollama_model))
