"""Home: what it shows of real job folders, and what its keys do."""

from __future__ import annotations

import pytest

from data.jobs.spec import Chain
from data.settings import Settings
from screens.choice import ChoiceDialog
from screens.help import HelpScreen
from screens.home.screen import HomeScreen
from screens.palette import PaletteScreen
from screens.run.screen import RunScreen
from tests.ui import folders
from tests.ui.conftest import TWO_GPUS, Build
from tests.ui.driving import screen_text, shows, until
from tui.app import PaddockApp
from tui.widgets.table import Table

WIDE = (140, 40)
NARROW = (80, 24)


async def test_an_empty_home_says_what_to_do(build: Build) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "Nothing has been run here yet", "d   ", "no GPU, using CPU 62%"))


async def test_a_failed_job_shows_its_last_exception_at_once(build: Build, make: folders.Stable) -> None:
    folders.failed_training(make, ago_s=60)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(
            pilot,
            shows(
                pilot,
                "✗ failed",
                "LLaMA-Factory ended with an error",
                "ValueError: File data/alpaca_zh_demo.json",
                "→ The log shows",
            ),
        )


async def test_pipelines_are_grouped_and_ended_ones_folded(build: Build, make: folders.Stable) -> None:
    folders.write_all(make)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "▾ demo", "├ training  LoRA", "▸ demo", "7 of 7 steps", "0:31"))
        table = app.screen.query_one("#table", Table)
        rows = len(table.rows)
        await pilot.press("G", "space")
        await until(pilot, lambda: len(table.rows) == rows + len(folders.STEPS))
        await pilot.press("space")
        await until(pilot, lambda: len(table.rows) == rows)


async def test_new_jobs_appear_by_themselves_and_the_cursor_stays(build: Build, make: folders.Stable) -> None:
    first = make.job("command", "first", ago_s=50).start()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "first"))
        make.job("command", "second", ago_s=10).start()
        await app.look()
        await until(pilot, shows(pilot, "first", "second"))
        assert app.screen.query_one("#table", Table).cursor_key == first.id
        first.end()
        await app.look()
        await until(pilot, shows(pilot, "✓ done"))


async def test_a_job_that_loses_its_supervisor_while_the_app_is_open_is_taken_over(
    build: Build, make: folders.Stable, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make.job("command", "first", ago_s=50).start()
    services = build()

    def adopt() -> list[str]:
        if not job.folder.exit_file.exists():  # the supervisor is there
            return []
        job.event("finished", outcome="succeeded", exit_code=0)
        return [job.id]

    monkeypatch.setattr(services, "adopt", adopt)
    app = PaddockApp(services)
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "first"))
        job.folder.exit_file.write_text("0\n")
        job.leave()
        await app.look()
        await app.look()
        await until(pilot, shows(pilot, "✓ done"))


async def test_list_keys_and_search(build: Build, make: folders.Stable) -> None:
    for index in range(30):
        make.job("command", f"work {index:02d}", ago_s=1000 - index).start().end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "work 29"))
        table = app.screen.query_one("#table", Table)
        await pilot.press("j", "j", "k")
        assert table.cursor == 1
        await pilot.press("G")
        assert table.cursor == 29
        await until(pilot, shows(pilot, "work 00"))
        await pilot.press("g")
        assert table.cursor == 0
        await pilot.press("slash", *"work 1", "enter")
        await until(pilot, lambda: table.rows[table.cursor].text.startswith("work 19"))
        await pilot.press("n")
        assert table.rows[table.cursor].text.startswith("work 18")
        await pilot.press("N")
        assert table.rows[table.cursor].text.startswith("work 19")


async def test_two_gpus_are_shown_beside_the_jobs(build: Build) -> None:
    app = PaddockApp(build(machine=TWO_GPUS, ollama=True))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "0 NVIDIA H200", "71 °C · 612 W", "2 GPU 48%", "✓ Ollama 0.32.7"))


async def test_enter_opens_run_and_q_comes_back_without_ending_anything(build: Build, make: folders.Stable) -> None:
    job = make.job("command", "first", ago_s=50).start()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "first"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert job.folder.read_stop() is None
        await pilot.press("q")
    assert app.return_code == 0


async def test_stop_says_what_it_means_and_asks_the_job(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "LoRA"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "Stop LoRA?", "13 of 32 steps", "resume starts again from step 0"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert chain["train"].folder.read_stop() is None
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceDialog))
        await pilot.press("n")
        await until(pilot, lambda: chain["train"].folder.read_stop() == "now")


async def test_remove_names_bytes_and_keeps_what_was_made(build: Build, make: folders.Stable) -> None:
    made = make.folder_with_artifact()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "made something"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "Remove made something?", "1,000 bytes"))
        await pilot.press("enter")
        await until(pilot, lambda: not made.folder.path.exists())
        assert make.artifact.exists()
        await until(pilot, shows(pilot, "Nothing has been run here yet"))


async def test_help_and_palette_come_from_the_table(build: Build, make: folders.Stable) -> None:
    make.job("command", "first", ago_s=50).start()
    app = PaddockApp(build(settings=Settings(keys={"home.demo": "D"})))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "first", "D Demo"))
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await until(pilot, shows(pilot, "Shows every key of every place", "app.help"))
        await pilot.press("escape", "ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
        await pilot.press(*"dark")
        await until(pilot, lambda: len(app.screen.query_one("#found", Table).rows) == 1)
        await until(pilot, shows(pilot, "Light or dark"))
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "paddock-light")
        await pilot.press("ctrl+p", *"first", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_the_footer_names_only_keys_that_do_something(build: Build, make: folders.Stable) -> None:
    make.job("command", "first", ago_s=50).start()
    ended = make.job("command", "second", ago_s=40).start().end("failed", exit_code=3)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "first", "second"))
        await until(pilot, lambda: app.screen.query_one("#table", Table).cursor_key == ended.id)
        await until(pilot, lambda: "r Resume" in last_line(app) and "s Stop" not in last_line(app))
        await pilot.press("j")
        await until(pilot, lambda: "s Stop" in last_line(app) and "r Resume" not in last_line(app))


async def test_a_slow_line_is_drawn_frugally(build: Build) -> None:
    app = PaddockApp(build(settings=Settings(remote="on")))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "Nothing has been run", "slow line"))
        assert app.animation_level == "none"


def last_line(app: PaddockApp) -> str:
    return screen_text(app).splitlines()[-1]


async def test_a_pipeline_is_removed_as_a_whole_from_its_own_line(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=150, until="after")
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "7 of 7 steps"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "Remove the pipeline demo with its 7 jobs?", "Deletes the folders of 7 jobs"))
        await pilot.press("k")
        await until(pilot, lambda: not any(job.folder.path.exists() for job in chain.values()))


async def test_one_escape_too_many_does_not_close_the_app(build: Build) -> None:
    app = PaddockApp(build())
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await until(pilot, shows(pilot, "Nothing has been run here yet"))
        await pilot.press("question_mark", "escape", "escape", "escape")
        await until(pilot, shows(pilot, "This is Home. `q` closes the app"))
        assert app.return_code is None
        await pilot.press("q")
    assert app.return_code == 0


async def test_our_own_words_are_in_the_readers_language(build: Build, make: folders.Stable) -> None:
    chain = Chain("20261124-export-aaaa", "export rec", 0, 3)
    job = make.job("export", "merge", ago_s=90, params={"args": {"adapter_name_or_path": "x"}}, chain=chain).start()
    job.event("artifact", path="/w/merged", what="model", bytes=1000)
    job.end()
    make.job("check", "merge check", ago_s=60, chain=chain._replace(position=1)).start().end()
    make.job("export", "GPTQ 4 bit", ago_s=30, params={"args": {}}, chain=chain._replace(position=2)).start().end()
    app = PaddockApp(build(language="zh_CN"))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "导出 rec", "模型  1.00 kB"))
        await pilot.press("space")
        await until(pilot, shows(pilot, "合并检查", "GPTQ 4 位"))
        assert "merge check" not in screen_text(app)
