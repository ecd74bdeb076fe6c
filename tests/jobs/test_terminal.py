"""No job feels a closing terminal: the app that started it is killed, or its terminal hung up, at any moment."""

from __future__ import annotations

import random

import pytest

from data.jobs.status import Status
from tests.support import Yard, program, wait_until
from tests.terminal import terminal

STEPS = 20
ROUNDS = 20


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "hang_up"])
def test_the_job_ends_well_and_a_new_app_shows_it(yard: Yard, end: str) -> None:
    moments = random.Random(f"paddock-{end}")
    job_id = yard.run(program("counter.py", STEPS, 0.04, 3), name="penguin")
    yard.until(job_id, Status.FAILED)
    for attempt in range(2, ROUNDS + 2):
        with terminal(yard) as opened:
            opened.until_drawn("penguin")
            opened.until_drawn("failed")  # the new app shows how the one before it ended
            drawn = len(opened.drawn)
            opened.press("r")
            opened.until_drawn(f"attempt {attempt}", after=drawn)
            opened.press("r")
            moment = moments.randint(0, STEPS + 2)  # from before the first step to after the end
            wait_until(
                lambda attempt=attempt, moment=moment: reached(yard, job_id, attempt, moment), what=f"step {moment}"
            )
            getattr(opened, end)()
        job = yard.until(job_id, Status.FAILED)
        assert (job.state.attempt, job.state.exit_code) == (attempt, 3)
        assert job.state.metrics["step"] == STEPS
        assert job.state.result == {"steps": STEPS}
    events = yard.job(job_id).folder.events()
    assert events.bad_lines == 0
    assert [event["kind"] for event in events.events].count("finished") == ROUNDS + 1


def reached(yard: Yard, job_id: str, attempt: int, moment: int) -> bool:
    state = yard.job(job_id).state
    if state.attempt < attempt:
        return False
    return state.ended_at is not None or moment == 0 or state.metrics.get("step", 0) >= moment
