"""Wait for what a person would wait for: never a sleep, always a predicate with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from textual.app import App
from textual.css.query import NoMatches
from textual.pilot import Pilot
from textual.screen import ModalScreen

from tui.app import PaddockApp

DEADLINE_S = 60.0
S = TypeVar("S")


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


_READING = frozenset({"look", "adopt", "ollama", "read", "older"})


async def settled(pilot: Pilot[None], app: PaddockApp) -> None:
    """Wait until everything that is read for the screen has been read and drawn."""

    def is_read() -> bool:
        busy = [worker for worker in app.workers if worker.group in _READING and not worker.is_finished]
        return app.has_looked and app.snapshot.ollama is not None and not busy

    await until(pilot, lambda: is_read() or _waits_for_a_person(app), "everything is read")
    await pilot.pause()


def _waits_for_a_person(app: PaddockApp) -> bool:
    return app.has_looked and app.snapshot.ollama is not None and isinstance(app.screen, ModalScreen)


def screen_of(app: PaddockApp, kind: type[S]) -> S:
    """Return the screen on top, which is one of ``kind``."""
    screen: object = app.screen
    assert isinstance(screen, kind)
    return screen
