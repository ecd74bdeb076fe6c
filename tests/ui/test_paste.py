"""What is pasted is text: all of it, in every field, however long, and nothing in it is obeyed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from screens.chat.screen import ChatScreen
from screens.export.modelfile import ModelfileScreen
from screens.export.screen import ExportScreen
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_of, screen_text, settled, shows, until
from tests.ui.export_scenes import USUAL, export
from tests.ui.scenes import BY_NAME, Scene
from tests.ui.scripted import ScriptedModel
from tui.app import PaddockApp
from tui.widgets.editor import Editor
from tui.widgets.entry import Entry
from tui.widgets.form import Form
from tui.widgets.transcript import Turn

NARROW = (80, 24)
HOSTILE = "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 \x1b[2J"
LONG = "\n".join(f"{index:04d} 学习率 😀 the loss goes down | {HOSTILE}" for index in range(800))


def paste(app: PaddockApp, text: str) -> None:
    focused = app.focused
    assert focused is not None
    focused.post_message(events.Paste(text))


@pytest.fixture
def exporting(make: folders.Stable, tmp_path: Path) -> PaddockApp:
    return PaddockApp(Scene("export", exports=USUAL).services(tmp_path / "home", threading.Event()))


async def test_a_long_paste_is_sent_as_it_was_and_shown_at_once(make: folders.Stable, tmp_path: Path) -> None:
    scene = Scene("chat", model=ScriptedModel(("I see.",)), offers=BY_NAME["chat-empty"].offers)
    app = PaddockApp(scene.services(tmp_path / "home", threading.Event()))
    assert len(LONG) > 50_000
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, app)
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to"))
        composer = app.screen.query_one("#composer", Editor)
        begin = time.monotonic()
        paste(app, LONG)
        await until(pilot, lambda: "0799" in composer.text)
        await until(pilot, shows(pilot, "0799"))
        assert "\x1b" not in screen_text(app)
        assert composer.size.height < NARROW[1] // 2
        await pilot.press("enter")
        screen = screen_of(app, ChatScreen)
        await until(pilot, lambda: len(screen.query(Turn)) == 2 and not screen.is_replying)
        await until(pilot, shows(pilot, "I see."))
        assert time.monotonic() - begin < 10
        sent = screen._messages[0].text
        assert sent.count("\n") == 799
        assert sent.startswith("0000 学习率 😀 the loss goes down | red ␛]52;c;aGk=␇ ␛[2J\n")
        await pilot.press("tab", "g")
        await until(pilot, shows(pilot, "0000 学习率"))


@pytest.mark.parametrize("text", ["/models/base\n", "\r\n/models/base\r\n", "\x1b[1m/models/base\x1b[0m"])
async def test_a_path_with_line_ends_around_it_is_the_path(build: Build, text: str) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, app)
        await pilot.press("I")
        await until(pilot, shows(pilot, "Path of a GGUF"))
        paste(app, text)
        await until(pilot, lambda: app.screen.query_one(Input).value == "/models/base")


async def test_lines_of_a_system_prompt_are_kept_in_a_field_of_one_line(exporting: PaddockApp) -> None:
    async with exporting.run_test(size=NARROW) as pilot:
        await export()(pilot, exporting)
        screen = screen_of(exporting, ExportScreen)
        form = screen.query_one("#form", Form)
        form.focus_fields()
        await until(pilot, lambda: exporting.focused is not None and exporting.focused.id == "fields")
        form.select("system")
        await pilot.press("u", "enter")
        await until(pilot, lambda: form.has_class("-editing"))
        paste(exporting, "You are brief.\n\tBe kind. \x1b[2J")
        await pilot.press("enter")
        await until(pilot, lambda: screen._plan is not None and screen._plan.system != "")
        assert screen._plan is not None
        assert screen._plan.system == "You are brief.\n    Be kind. ␛[2J"
        await until(pilot, shows(pilot, "You are brief.⏎    Be kind."))
        await pilot.press("enter", "enter")  # opened and left again: nothing has changed
        await until(pilot, lambda: not form.has_class("-editing"))
        assert screen._plan.system == "You are brief.\n    Be kind. ␛[2J"


async def test_tab_enters_what_was_written_and_goes_on_and_a_click_elsewhere_loses_nothing(
    exporting: PaddockApp,
) -> None:
    async with exporting.run_test(size=(140, 40)) as pilot:
        await export()(pilot, exporting)
        screen = screen_of(exporting, ExportScreen)
        form = screen.query_one("#form", Form)
        form.focus_fields()
        await until(pilot, lambda: exporting.focused is not None and exporting.focused.id == "fields")
        form.select("name")
        await pilot.press("enter", "ctrl+u", *"mine", "tab")
        await until(pilot, shows(pilot, "• mine"))
        await until(pilot, lambda: form.field is not None and form.field.key == "modelfile")
        await until(pilot, lambda: exporting.focused is not None and exporting.focused.id == "fields")
        form.select("name")
        await pilot.press("enter", "ctrl+u", *"yours")
        await pilot.click("#table")
        await until(pilot, shows(pilot, "• yours"))
        assert not form.has_class("-editing")
        await until(pilot, lambda: exporting.focused is not None and exporting.focused.id == "table")


async def test_what_a_modelfile_holds_is_shown_and_not_obeyed(exporting: PaddockApp) -> None:
    async with exporting.run_test(size=NARROW) as pilot:
        await export()(pilot, exporting)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(exporting.screen, ModelfileScreen))
        editor = exporting.screen.query_one("#text", Editor)
        await until(pilot, lambda: not editor.disabled)
        editor.text = "SYSTEM \x1b[2J\x9b31m"
        await until(pilot, shows(pilot, "SYSTEM ␛[2J\ufffd31m"))
        paste(exporting, "\x1b]0;title\x07\r\nPARAMETER top_k 3")
        await until(pilot, lambda: "PARAMETER top_k 3" in editor.text)
        assert "\r" not in editor.text
        assert "\x1b" not in screen_text(exporting)


async def test_a_search_takes_a_paste_of_several_lines(build: Build, make: folders.Stable) -> None:
    make.job("command", "first", ago_s=50).start().end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "first"))
        await pilot.press("slash")
        paste(app, "first\n")
        await until(pilot, lambda: app.screen.query_one("#search", Entry).value == "first")
        await pilot.press("enter")
        await until(pilot, lambda: "was not found" not in screen_text(app))
