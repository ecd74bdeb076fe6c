"""``paddock setup``: managed copies of what is missing, as a job."""

from __future__ import annotations

from typing import Final

import click

from backend.setup.sizes import Forecast, forecast
from backend.setup.work import PARTS
from data.i18n import _
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.size import size
from tui.commands.console import Console
from tui.commands.following import ending, follow
from tui.commands.form import command, flag, plain_option
from tui.commands.session import Session
from tui.commands.start import start
from tui.services import Services

_ABOUT: Final = _(
    "Install what is missing of LLaMA-Factory and Ollama in Paddock's own directories, without root.\n\n"
    "What is there already is used. It is a job: it goes on when the terminal is gone, and what was fetched is used "
    "again after an interruption. Mirrors of pip and HF_ENDPOINT are honoured."
)


@command(
    "setup",
    _ABOUT,
    click.Argument(["parts"], nargs=-1, type=click.Choice(PARTS), metavar="[llamafactory | ollama]…", required=False),
    flag("--dry-run", about=_("Only say what would be fetched and how long it takes.")),
    plain_option(),
)
def setup(session: Session, parts: tuple[str, ...], dry_run: bool) -> int:
    """Install the parts that are missing."""
    console, services = session.console, session.services(adopt=True)
    what = tuple(part for part in PARTS if part in parts) or PARTS
    plan = forecast(services.paths, services.settings, what, services.environ)
    _tell(console, plan)
    if dry_run or not plan.missing:
        console.emit({"ok": True, "job": None, **plan.as_json()})
        return 0
    job_id = _running(services) or start(services, [_spec(services, plan.missing)])[0]
    job = follow(console, services, [job_id], comes_back=f"paddock jobs watch {job_id}")[0]
    failure = ending(job)
    if failure is not None:
        return console.fail(failure)
    console.emit({"ok": True, "job": job.id, **forecast(services.paths, services.settings, what).as_json()})
    console.say(_("Everything is there. `paddock doctor` looks closer; `paddock demo` shows it at work."))
    return 0


def _spec(services: Services, missing: tuple[str, ...]) -> JobSpec:
    return JobSpec.new("setup", ", ".join(missing), workspace=str(services.workspace), params={"what": list(missing)})


def _running(services: Services) -> str | None:
    """Return a set-up that is at work: a second one would only wait for it."""
    live = [job.id for job in services.jobs() if job.spec.kind == "setup" and job.status is Status.RUNNING]
    return live[-1] if live else None


def _tell(console: Console, plan: Forecast) -> None:
    for part in plan.parts:
        console.tell(f"{console.paint('✓', 'good') if part.present else '·'} {part.words}")
    if plan.missing:
        console.tell(
            _(
                "About {download} to fetch, {disk} on the disk, some {minutes} minutes.",
                download=size(plan.download_bytes),
                disk=size(plan.disk_bytes),
                minutes=max(1, round(plan.minutes)),
            )
        )
