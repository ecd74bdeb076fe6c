"""``paddock doctor``: what is there, what is missing or clashes, and the exact remedy."""

from __future__ import annotations

from typing import Final

from backend.doctor.report import Level
from backend.doctor.run import run_checks
from data.errors import RequestError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings, load_settings
from tui import keys
from tui.commands.form import command
from tui.commands.session import Session

_MARKS: Final = {
    Level.OK: ("✓", "good"),
    Level.INFO: ("·", "dim"),
    Level.WARNING: ("!", "warn"),
    Level.ERROR: ("✗", "bad"),
}


@command(
    "doctor",
    _(
        "Say what is there, what is missing or clashes, and the remedy.\n\n"
        "Changes nothing and asks no network but the Ollama server. The status is 1 when something is an error."
    ),
)
def doctor(session: Session) -> int:
    """Run all checks and print them."""
    console = session.console
    settings, problem = _settings(session)
    services = session.services(settings=settings)
    report = run_checks(services.paths, settings, services.workspace, services.environ, problem=problem)
    console.emit(report.as_json())
    for check in report.checks:
        mark, style = _MARKS[check.level]
        console.say(f"{console.paint(mark, style)} {check.message}")
        if check.remedy:
            console.say("    " + str(check.remedy).replace("\n", "\n    "))
    return 0 if report.ok else 1


def _settings(session: Session) -> tuple[Settings, RequestError | None]:
    """Return the settings that can be used and what is wrong with the others: the doctor goes on without them."""
    settings = Settings()
    try:
        settings = load_settings(Paths.default(session.environ).settings, session.environ).values
        keys.resolve(settings.keys)
    except RequestError as error:
        return settings, error
    return settings, None
