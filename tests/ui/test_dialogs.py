"""Dialogs: whatever is said in them, its end can be read, and the keys and the remedy stay in sight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import AppError
from data.i18n import Message, _
from screens.choice import Choice, ChoiceDialog
from screens.failure import FailureDialog, as_text
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, settled, until
from tui.app import PaddockApp
from tui.widgets.reader import share

ROOMS = ((80, 24), (40, 10))
LAST = "最后再试。"
REASON = "第一行说的是原因。" + "训练在第一千步停了下来，因为显存不够。" * 15 + "这是最后一句。"
HINT = "做法是这样的。" + "先看日志，再改设置。" * 30 + LAST


def ends(app: PaddockApp, last: str) -> bool:
    """Say whether the end of a text is on the screen, wherever its lines were broken."""
    letters = [line.strip(" │┃▌▎▊▁▂▃▄▅▆▇█") for line in screen_text(app).splitlines()]
    return last in "".join(letters)


@pytest.mark.parametrize("room", ROOMS)
async def test_a_long_failure_is_read_to_its_end_with_remedy_and_keys_in_sight(
    build: Build, room: tuple[int, int]
) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=room) as pilot:
        await settled(pilot, app)
        app.fail(AppError(_("The work failed"), REASON, Message(HINT)))
        await until(pilot, lambda: isinstance(app.screen, FailureDialog) and "做法是这样的" in screen_text(app))
        pressed = 0
        while not ends(app, LAST):
            assert "esc Close   y Copy" in screen_text(app)
            assert pressed < 60
            await pilot.press("pagedown")
            await pilot.pause()
            pressed += 1
        await pilot.press(*["pageup"] * (pressed + 1))
        await until(pilot, lambda: "The work failed" in screen_text(app))
    assert as_text(AppError(_("The work failed"), "why", _("Stop"))) == "The work failed\n\nwhy\n\nStop"


@pytest.mark.parametrize("room", ROOMS)
async def test_a_long_question_keeps_its_choices_and_what_they_mean_in_sight(
    build: Build, room: tuple[int, int]
) -> None:
    app = PaddockApp(build())
    choices = [
        Choice("a", "g", Message("first thing"), Message("first meaning")),
        Choice("b", "n", Message("second thing"), Message("second meaning")),
    ]
    async with app.run_test(size=room) as pilot:
        await settled(pilot, app)
        app.push_screen(ChoiceDialog(Message("Which?"), Message(REASON), choices))
        await until(pilot, lambda: "first meaning" in screen_text(app))
        pressed = 0
        while not ends(app, "这是最后一句。"):
            assert all(words in screen_text(app) for words in ("first thing", "second thing", "esc"))
            assert pressed < 60
            await pilot.press("pagedown")
            await pilot.pause()
            pressed += 1
        await pilot.press("j")
        await until(pilot, lambda: "second meaning" in screen_text(app))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=4), st.integers(0, 60))
def test_texts_share_the_room_and_none_gets_more_than_it_needs(wanted: list[int], room: int) -> None:
    given_ = share(wanted, room)
    assert all(1 <= lines <= max(1, want) for lines, want in zip(given_, wanted, strict=True))
    if room >= len(wanted):
        assert sum(given_) <= room + sum(want == 0 for want in wanted)
        assert sum(given_) >= min(room, sum(wanted)) - len(wanted)
