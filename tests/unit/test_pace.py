"""The time left: it runs like a clock, is steady and honest when a step is late, and never jumps when it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.jobs.folder import Event
from data.jobs.pace import Pace, pace_of
from data.jobs.spec import rfc3339

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STEPS = st.lists(st.tuples(st.floats(0.1, 40), st.floats(0.5, 50)), min_size=2, max_size=30)
"""Seconds to the next event, and what it adds to what is done"""


def events(steps: list[tuple[float, float]], total: float) -> list[Event]:
    """Return the progress events of ``steps``."""
    made: list[Event] = []
    seconds, done = 0.0, 0.0
    for wait_s, more in steps:
        seconds, done = seconds + wait_s, done + more
        moment = rfc3339(BEGIN + timedelta(seconds=seconds))
        made.append({"kind": "progress", "time": moment, "done": done, "total": total, "unit": "steps"})
    return made


def left(pace: Pace, waited_s: float) -> float:
    """Return the time left at ``waited_s`` seconds after the last event."""
    seconds = pace.left_s(pace.at + timedelta(seconds=waited_s))
    assert seconds is not None
    return seconds


@given(STEPS, st.floats(0, 1000))
def test_it_runs_like_a_clock_until_a_step_is_due_and_never_falls_while_one_is_late(
    steps: list[tuple[float, float]], more: float
) -> None:
    pace = pace_of(events(steps, sum(amount for _s, amount in steps) + more))
    assert pace is not None
    begin = left(pace, 0)
    assert begin == pytest.approx(more / pace.per_s, abs=1e-6)
    for part in (0.25, 0.5, 1.0):
        assert left(pace, part * pace.every_s) == pytest.approx(max(0, begin - part * pace.every_s), abs=1e-3)
    due = left(pace, pace.every_s)
    late = [left(pace, pace.every_s * factor) for factor in (1.0001, 1.5, 2, 5, 20, 100)]
    assert late == sorted(late)
    assert late[0] == pytest.approx(due, rel=1e-2, abs=0.1)


@given(st.floats(0.2, 30), st.integers(2, 5), st.floats(0, 10), st.integers(2, 500))
def test_it_does_not_jump_when_a_late_step_comes(every_s: float, count: int, late: float, missing: int) -> None:
    steps = [(every_s, 1.0)] * count
    total = float(count + missing)
    before = pace_of(events(steps, total))
    waited_s = every_s * (1 + late)
    after = pace_of(events([*steps, (waited_s, 1.0)], total))
    assert before is not None
    assert after is not None
    rounded_s = 0.001 * missing  # the times of events have milliseconds
    assert left(before, waited_s) == pytest.approx(left(after, 0), rel=1e-3, abs=0.02 + rounded_s)


def test_a_stage_begins_anew_and_an_unknown_total_has_no_time_left() -> None:
    made = events([(1, 1)] * 4, 10)
    assert pace_of([*made, {"kind": "stage", "stage": "eval"}]) is None
    unknown = pace_of([{**event, "total": None} for event in made])
    assert unknown is not None
    assert unknown.left_s(BEGIN) is None
