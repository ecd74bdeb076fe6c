"""The demo: what it will install and do, then its start; or the one that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.i18n import _
from data.size import size
from screens.choice import Choice, ChoiceDialog
from screens.home.rows import CHAIN, groups
from screens.place import Place
from tui.widgets.cells import Parts, part

if TYPE_CHECKING:
    from backend.setup.sizes import Forecast


def forecast_lines(forecast: Forecast) -> list[Parts]:
    """Return what is there, what is installed, and what the demo does."""
    lines: list[Parts] = []
    for item in forecast.parts:
        glyph = ("✓ ", "done") if item.present else ("+ ", "accent")
        cost = (
            ""
            if item.present
            else str(
                _(
                    "{download} to fetch, {disk} on disk, about {minutes} min",
                    download=size(item.download_bytes),
                    disk=size(item.disk_bytes),
                    minutes=max(1, round(item.minutes)),
                )
            )
        )
        lines.append((glyph, (str(item.words), "text")))
        if cost:
            lines.append((("  ", ""), (cost, "muted")))
    if len(forecast.missing) > 1:
        together = _(
            "Together {download} to fetch, {disk} on disk, about {minutes} min",
            download=size(forecast.download_bytes),
            disk=size(forecast.disk_bytes),
            minutes=max(1, round(forecast.minutes)),
        )
        lines.append((("  ", ""), (str(together), "strong")))
    lines += [
        (),
        part(
            str(
                _("Then: SmolLM2-135M is rebuilt, asked who it is, trained, merged, put into Ollama, and asked again.")
            ),
            "text",
        ),
        part(
            str(_("About 5 minutes on two cores. Everything stays in Paddock's own folders; each step is a job.")),
            "muted",
        ),
    ]
    return lines


async def run_demo(place: Place) -> None:
    """Ask, then start or follow the demo; call it from a worker."""
    services = place.services
    chain = await place.attempt(services.running_demo)
    forecast = await place.attempt(services.demo_forecast)
    if forecast is None:
        return
    start = _("Lays all steps down as jobs; they finish even when this terminal is gone.")
    choices = [Choice("start", "s", _("Start"), start)]
    running = next((group for group in groups(place.paddock.snapshot.jobs) if group.key == f"{CHAIN}{chain}"), None)
    if running is not None:
        choices.insert(0, Choice("follow", "f", _("Follow the one that runs"), _("Opens it in Run.")))
    answer = await place.choose(ChoiceDialog(_("The demo"), forecast_lines(forecast), choices, leave=_("Not now")))
    if answer == "follow" and running is not None:
        place.paddock.open_run(running.current.id)
    elif answer == "start":
        ids = await place.attempt(services.start_demo)
        if ids:
            await place.paddock.look()
            place.paddock.open_run(ids[0])
