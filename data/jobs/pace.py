"""How fast a job goes and when it will be through, from the deltas of its own progress events.

Never from what a tool prints as remaining: after a resume LLaMA-Factory counts the old steps into its average.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, cast

from data.jobs.folder import Event, JobFolder
from data.jobs.spec import parse_time

WINDOW_S: Final = 60.0
_MIN_POINTS: Final = 6
_TAIL_BYTES: Final = 64 << 10


class Pace(NamedTuple):
    """Units a second over the last minute (or the last points, where they are rarer)."""

    per_s: float
    done: float
    total: float | None
    unit: str
    at: datetime
    every_s: float
    """Seconds from one event to the next, on average"""
    span_s: float
    """Seconds that the pace was taken over"""

    def left_s(self, now: datetime) -> float | None:
        """Return the seconds that are left; None when the total is unknown or nothing moves.

        Runs down like a clock until the next event is due. From then on it is what it would be if that came right
        now: what is overdue slows the pace, so the time left never falls while nothing happens, and does not jump when
        something does.
        """
        if self.total is None or self.per_s <= 0:
            return None
        waited_s = max(0.0, (now - self.at).total_seconds())
        missing = max(0.0, self.total - self.done)
        if waited_s <= self.every_s:
            return max(0.0, missing / self.per_s - waited_s)
        expected = self.per_s * self.every_s
        pace = (self.per_s * self.span_s + expected) / (self.span_s + waited_s)
        return max(0.0, missing - expected) / pace


class PaceMeter:
    """Takes events in order and knows the pace of the present stage of the present attempt."""

    def __init__(self) -> None:
        self._points: deque[tuple[datetime, float]] = deque()
        self._total: float | None = None
        self._unit = ""

    def add(self, event: Event) -> None:
        """Take one event; all but progress and the beginnings of stages and attempts are ignored."""
        kind = event["kind"]
        if kind in ("waiting", "stage"):
            self._points.clear()
        if kind != "progress":
            return
        done, total, unit = event.get("done"), event.get("total"), str(event.get("unit", ""))
        if not isinstance(done, (int, float)):
            return
        try:
            moment = parse_time(cast("str", event["time"]))
        except ValueError:
            return
        if self._points and (unit != self._unit or done < self._points[-1][1] or moment < self._points[-1][0]):
            self._points.clear()
        self._total = total if isinstance(total, (int, float)) else None
        self._unit = unit
        self._points.append((moment, done))
        while len(self._points) > _MIN_POINTS and (moment - self._points[1][0]).total_seconds() >= WINDOW_S:
            self._points.popleft()

    def pace(self) -> Pace | None:
        """Return the pace; None until two points are known that are apart in time."""
        if len(self._points) < 2:
            return None
        (begin, first), (end, last) = self._points[0], self._points[-1]
        seconds = (end - begin).total_seconds()
        if seconds <= 0:
            return None
        every_s = seconds / (len(self._points) - 1)
        return Pace((last - first) / seconds, last, self._total, self._unit, end, every_s, seconds)


def pace_of(events: Iterable[Event]) -> Pace | None:
    """Return the pace after ``events``."""
    meter = PaceMeter()
    for event in events:
        meter.add(event)
    return meter.pace()


def read_pace(folder: JobFolder) -> Pace | None:
    """Return the pace of a running job from the end of its events: cheap, whatever their length."""
    try:
        size = folder.events_file.stat().st_size
    except OSError:
        return None
    return pace_of(folder.events(max(0, size - _TAIL_BYTES)).events)
