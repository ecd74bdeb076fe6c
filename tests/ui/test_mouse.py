"""Everything that keys do at hand, the mouse does, too; and it can be given to the terminal."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widget import Widget

from data.errors import AppError
from data.i18n import Message, _
from screens.choice import ChoiceDialog
from screens.failure import FailureDialog
from screens.help import HelpScreen
from screens.home.screen import HomeScreen
from screens.run.screen import RunScreen
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, settled, shows, until
from tui.app import PaddockApp
from tui.widgets.log_view import LogView
from tui.widgets.reader import Reader
from tui.widgets.table import Table

pytestmark = pytest.mark.slow

NARROW = (80, 24)


async def wheel(pilot: Pilot[None], widget: Widget, *, down: bool) -> None:
    """Turn the wheel by one notch above ``widget``."""
    kind = events.MouseScrollDown if down else events.MouseScrollUp
    x, y = widget.region.x + 2, widget.region.y + 1
    turned = kind(widget, x, y, 0, 1 if down else -1, 0, False, False, False, screen_x=x, screen_y=y)
    pilot.app.post_message(turned)
    await pilot.pause()


def place_of(app: PaddockApp, text: str) -> tuple[int, int]:
    """Return where ``text`` begins on the screen."""
    for y, line in enumerate(screen_text(app).splitlines()):
        if text in line:
            return line.index(text), y
    raise AssertionError(text)


async def test_rows_footer_and_places_are_clicked(build: Build, make: folders.Stable) -> None:
    for index in range(3):
        make.job("command", f"work {index}", ago_s=100 - index).start().end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "work 0", "work 2"))
        table = app.screen.query_one("#table", Table)
        await pilot.click(offset=place_of(app, "work 0"))
        await until(pilot, lambda: table.cursor == 2)
        assert isinstance(app.screen, HomeScreen)
        await pilot.click(offset=place_of(app, "work 0"))
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.click(offset=place_of(app, "1 Home"))
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.click(offset=place_of(app, "2 Run"))
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.click(offset=place_of(app, "q Back"))
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.click(offset=place_of(app, "? Help"))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_the_wheel_scrolls_the_log_three_lines_and_follows_again_at_its_end(
    build: Build, make: folders.Stable
) -> None:
    job = make.job("command", "talks", ago_s=50).start()
    job.log("".join(f"line {index}\n" for index in range(300)))
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, shows(pilot, "line 299"))
        log = app.screen.query_one("#log", LogView)
        end = log.scroll_offset.y
        await wheel(pilot, log, down=False)
        await until(pilot, lambda: log.scroll_offset.y == end - 3)
        assert not log.follow
        await wheel(pilot, log, down=True)
        await until(pilot, lambda: log.scroll_offset.y == end)
        assert log.follow


async def test_the_wheel_scrolls_tables_and_the_texts_of_dialogs(build: Build, make: folders.Stable) -> None:
    for index in range(60):
        make.job("command", f"work {index:02d}", ago_s=1000 - index).start().end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "work 59"))
        table = app.screen.query_one("#table", Table)
        await wheel(pilot, table, down=True)
        await until(pilot, lambda: table.scroll_offset.y > 0)
        app.fail(AppError(_("The work failed"), Message("a line\n" * 60 + "the last line"), _("Stop")))
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await settled(pilot, app)
        reason = app.screen.query_one("#reason", Reader)
        for _turn in range(40):
            await wheel(pilot, reason, down=True)
        await until(pilot, shows(pilot, "the last line"))


async def test_choices_are_clicked(build: Build, make: folders.Stable) -> None:
    made = make.folder_with_artifact()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "made something"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "Remove the job and what it made"))
        await pilot.click(offset=place_of(app, "Remove the job and what it made"))
        await until(pilot, shows(pilot, "Deletes"))
        assert isinstance(app.screen, ChoiceDialog)
        assert made.folder.path.exists(), "the first click only says what would happen"
        await pilot.click(offset=place_of(app, "Leave it as it is"))
        await pilot.click(offset=place_of(app, "Leave it as it is"))
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert made.folder.path.exists()


@pytest.mark.parametrize("where", ["home", "dialog", "help"])
async def test_the_mouse_is_given_to_the_terminal_and_taken_back(build: Build, where: str) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await settled(pilot, app)
        if where == "dialog":
            app.fail(AppError(_("The work failed"), "why", _("Stop")))
            await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        if where == "help":
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("M")
        await until(pilot, shows(pilot, "belongs to the terminal"))
        await pilot.press("M")
        await until(pilot, shows(pilot, "works in the app again"))
