"""Windows of every size, and windows that change: nothing is lost, nothing is cut without a mark."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from data.i18n import Message
from screens.chat.screen import ChatScreen
from screens.home.screen import HomeScreen
from screens.run.screen import RunScreen
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_of, screen_text, settled, shows, until
from tests.ui.scenes import BY_NAME, Scene
from tests.ui.scripted import ScriptedModel
from tui.app import PaddockApp
from tui.widgets.cells import part
from tui.widgets.chart import Chart
from tui.widgets.log_view import LogView
from tui.widgets.prose import Prose
from tui.widgets.table import Row, Table

pytestmark = pytest.mark.slow

SIZES = ((40, 10), (140, 40), (80, 24), (50, 12), (80, 24))
PHONE = (40, 10)


@pytest.mark.parametrize("size", [(40, 10), (140, 40), (80, 24), (50, 12)])
async def test_a_place_below_another_is_laid_out_for_the_new_size_when_it_is_seen_again(
    build: Build, make: folders.Stable, size: tuple[int, int]
) -> None:
    folders.write_all(make)
    app = PaddockApp(build())
    async with app.run_test(size=(139, 30)) as pilot:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.resize_terminal(*size)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.pause()
        home = screen_of(app, HomeScreen)
        assert home.query_one("#side").display is (size[0] >= 120)
        assert home.query_one("#detail").display is (size[1] >= 20)
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
        assert any("▌" in line for line in lines), "the cursor's row is in sight"


async def test_the_end_of_a_growing_log_stays_in_sight_in_windows_that_change(
    build: Build, make: folders.Stable
) -> None:
    job = make.job("command", "grows", ago_s=50).start()
    app = PaddockApp(build())
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        for count, size in enumerate(SIZES, 1):
            job.log("".join(f"line {count}-{index}\n" for index in range(100)))
            await pilot.resize_terminal(*size)
            await app.look()
            await until(pilot, shows(pilot, f"line {count}-99"), f"the end at {size}")
        log = app.screen.query_one("#log", LogView)
        await pilot.press("k", "k")
        first = log.scroll_offset.y
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert not log.follow
        assert abs(log.scroll_offset.y - first) < 24


async def test_a_curve_that_grows_is_drawn_for_the_window_of_the_moment(build: Build, make: folders.Stable) -> None:
    job = make.job("train", "LoRA", ago_s=50, params={"args": {}, "output_dir": "/nowhere"}).start().training(5, 400)
    app = PaddockApp(build())
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, shows(pilot, "⠂ raw"))
        chart = app.screen.query_one("#chart", Chart)
        for step, size in enumerate((*SIZES, (200, 60)), 6):
            job.event("metric", step=step, loss=1.0 / step, epoch=step)
            await pilot.resize_terminal(*size)
            await app.look()
            await until(pilot, lambda step=step: chart.raw.steps[-1] == step)
            await pilot.pause()
            shown = bool(chart.region)
            assert shown is (size[1] >= 20), size
            if shown:
                assert len(chart.render_line(chart.size.height - 1).text) == chart.size.width


@pytest.mark.parametrize("columns", [40, 60, 80, 119, 120, 130, 140, 200])
async def test_the_percentage_behind_the_bar_is_in_sight_at_any_width(
    build: Build, make: folders.Stable, columns: int
) -> None:
    folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=(columns, 24)) as pilot:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await until(pilot, shows(pilot, "─ 41%"))


async def test_a_reply_streams_on_in_windows_that_change(tmp_path: Path) -> None:
    pieces = [f"word{index} " for index in range(300)]
    scene = Scene("chat", model=ScriptedModel(pieces, waits=True), offers=BY_NAME["chat-empty"].offers)
    app = PaddockApp(scene.services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to"))
        await pilot.press(*"go", "enter")
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, shows(pilot, "word299"))
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await until(pilot, shows(pilot, "word299"), f"the end at {size}")
        screen = screen_of(app, ChatScreen)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not screen.is_replying)


@pytest.mark.parametrize("scene", ["export-ready", "run-failed", "home-day", "chat-reply", "palette", "help", "stop"])
async def test_on_a_phone_the_row_of_the_cursor_and_a_key_are_in_sight(
    scene: str, make: folders.Stable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.ui.export_scenes import EXPORT_SCENES

    monkeypatch.chdir(tmp_path)
    chosen = {one.name: one for one in (*BY_NAME.values(), *EXPORT_SCENES)}[scene]
    chosen.write(make)
    app = PaddockApp(chosen.services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=PHONE) as pilot:
        await chosen.walk(pilot, app)
        text = screen_text(app)
        assert any(sign in text for sign in ("▌", "│ ", "┃")) or scene in ("chat-reply", "run-failed")
        assert any(word in text for word in ("Help", "esc", "Find an action")), text


@pytest.mark.parametrize("count", [3, 30])
async def test_a_heading_that_is_too_long_ends_in_a_mark_with_and_without_a_scroll_bar(
    build: Build, count: int
) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        table = Table((), header=False)
        rows = [Row("head", (part("a heading " * 20),), enabled=False)]
        await app.screen.mount(table)
        table.styles.height = 6
        table.styles.display = "block"
        table.show([*rows, *(Row(str(index), (part("row"),)) for index in range(count))])
        await pilot.pause()
        visible = table.scrollable_content_region.width
        line = table.render_line(0).crop(0, visible).text.rstrip()
        assert line.endswith("…")


async def test_text_that_is_cut_at_its_end_says_so(build: Build) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        prose = Prose([part(f"line {index}") for index in range(10)])
        await app.screen.mount(prose)
        prose.styles.height = 4
        await pilot.pause()
        shown = [prose.render_line(y).text.rstrip() for y in range(4)]
        assert shown == ["line 0", "line 1", "line 2", "line 3 …"]
        prose.show([part(str(Message("short")))])
        await pilot.pause()
        assert prose.render_line(0).text.rstrip() == "short"


async def test_a_line_of_the_log_that_goes_on_has_a_mark_on_each_side(build: Build) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        log = LogView()
        await app.screen.mount(log)
        log.styles.height = 4
        log.append(["0123456789" * 20, "短" * 100, "short"])
        await pilot.pause()
        first, wide, short = (log.render_line(y).text.rstrip() for y in range(3))
        assert first.endswith("…")
        assert wide.endswith("…")
        assert short == "short"
        log.action_sideways(1)
        await pilot.pause()
        first, wide, short = (log.render_line(y).text.rstrip() for y in range(3))
        assert first.startswith("…")
        assert first.endswith("…")
        assert short in ("", "…")
