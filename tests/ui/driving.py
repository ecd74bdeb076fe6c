"""Wait for what a person would wait for: never a sleep, always a predicate with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.app import App
from textual.css.query import NoMatches
from textual.pilot import Pilot

DEADLINE_S = 20.0


async def until(pilot: Pilot[None], predicate: Callable[[], object], what: str = "") -> None:
    """Let the app work until ``predicate`` is true; fail loudly when that does not come."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_S
    while True:
        await pilot.pause()
        try:
            if predicate():
                return
        except NoMatches:  # what it looks at is not there yet
            pass
        assert loop.time() < end, f"not in {DEADLINE_S} s: {what or predicate}\n{screen_text(pilot.app)}"


def screen_text(app: App[None]) -> str:
    """Return what the screen shows, as text."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def shows(pilot: Pilot[None], *texts: str) -> Callable[[], bool]:
    """Return a predicate: all of ``texts`` are on the screen."""
    return lambda: all(text in screen_text(pilot.app) for text in texts)
