"""Run: curve, log, answers and failures of real job folders, and what its keys do."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from data.i18n import _
from screens.chat.screen import ChatScreen
from screens.run.screen import RunScreen
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, shows, until
from tui.app import PaddockApp
from tui.widgets.chart import Chart
from tui.widgets.log_view import LogView

WIDE = (140, 40)
NARROW = (80, 24)


async def test_a_training_shows_curve_progress_and_time_left(build: Build, make: folders.Stable) -> None:
    folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "demo › LoRA", "13 of 32 steps", "1.2 s each", "31 s left", "Loss  1.143"))
        assert any("⠀" < letter <= "⣿" for letter in screen_text(app))


async def test_the_curve_grows_without_being_asked(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Loss  1.143"))
        chart = app.screen.query_one("#chart", Chart)
        before = len(chart.raw)
        chain["train"].event("metric", step=14, loss=0.987, lr=1e-3)
        await app.look()
        await until(pilot, shows(pilot, "Loss  0.987"))
        assert len(chart.raw) == before + 1


async def test_chart_keys(build: Build, make: folders.Stable) -> None:
    folders.demo_chain(make, ago_s=620, until="train", steps=31)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "smoothed"))
        chart = app.screen.query_one("#chart", Chart)
        chart.focus()
        await pilot.press("plus")
        assert chart.view.first == 16
        await pilot.press("left")
        assert chart.view.first == 12.25
        await pilot.press("0", "o")
        assert chart.view.first is None
        assert chart.view.log
        await until(pilot, shows(pilot, "log scale"))
        await pilot.press("e")
        await until(pilot, lambda: "smoothed" not in screen_text(app))


async def test_the_log_is_followed_searched_and_read_backwards(build: Build, make: folders.Stable) -> None:
    job = make.job("command", "chatty", ago_s=50).start()
    job.log("needle at the very beginning\n" + "".join(f"line {n:06d} {'x' * 60}\n" for n in range(12_000)))
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "chatty"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "line 011999", "following"))
        log = app.screen.query_one("#log", LogView)
        assert log.count < 12_000  # only the end was read
        job.log("one more\n")
        await app.look()
        await until(pilot, shows(pilot, "one more"))
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"needle", "enter")
        await until(pilot, shows(pilot, "needle at the very beginning"))
        assert not log.follow
        await pilot.press("G")
        await until(pilot, shows(pilot, "one more"))
        assert log.follow


async def test_a_search_and_the_next_match_may_be_typed_at_once(build: Build, make: folders.Stable) -> None:
    job = make.job("command", "chatty", ago_s=50).start()
    job.log("".join(f"{'needle' if n in (10, 20, 30) else 'line'} {n}\n" for n in range(60)))
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "chatty"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "line 59", "following"))
        log = app.screen.query_one("#log", LogView)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        for key, character in (*((letter, letter) for letter in "needle"), ("enter", "\r"), ("N", "N")):
            app.post_message(events.Key(key, character))  # nothing is awaited between two keys
        await until(pilot, lambda: log.match == 20, "the match above the last one")
        assert log.needle == "needle"


async def test_hostile_and_wide_log_lines_are_inert_and_aligned(build: Build, make: folders.Stable) -> None:
    job = make.job("command", "hostile", ago_s=50).start()
    job.log("\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x1b[2J中文日志 | end\n")
    job.log("\r 10%|█         | 1/10\r 50%|█████     | 5/10")
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "hostile"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "red ␛]0;owned␇ ␛[2J中文日志 | end", "50%|█████     | 5/10"))
        assert "10%" not in screen_text(app)
        lines = screen_text(app).splitlines()
        assert all("\x1b" not in line for line in lines)


async def test_an_answer_is_shown_beside_the_one_before_and_chat_is_offered(build: Build, make: folders.Stable) -> None:
    folders.demo_chain(make, ago_s=600)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, folders.ANSWER_BEFORE, folders.ANSWER_AFTER))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "“Who are you?”", "I am SmolLM", "I am Paddy", "你好!", "c Chat"))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await until(pilot, shows(pilot, "Say something to paddock-demo", "http://127.0.0.1:41533"))


async def test_what_is_odd_about_a_merge_that_has_taken_is_said(build: Build, make: folders.Stable) -> None:
    words = _("{count} tensors differ from the base's although no adapter acts there: {names}.", count=2, names="a, b")
    job = make.job("check", "merge check", ago_s=60).start()
    taken = {"comparison": {"ok": True, "changed": 14, "strayed": ["a", "b"]}, "warnings": [words.as_json()]}
    job.event("result", values=taken).end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "merge check"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "✓ 14 tensors differ from the base.", "although no adapter acts there: a, b."))


async def test_what_a_merge_check_has_found_is_said(build: Build, make: folders.Stable) -> None:
    job = make.job("check", "merge check", ago_s=60).start()
    taken = {"ok": True, "changed": 14, "strayed": []}
    said = {"prompt": "Who are you?", "adapter_answer": "Paddy.", "merged_answer": "Paddy", "answers_equal": False}
    job.event("result", values={"comparison": taken, **said}).end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "merge check"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "✓ 14 tensors differ from the base: just those", "question  Who are you?"))
        await until(pilot, shows(pilot, "merged  Paddy", "adapter  Paddy."))


async def test_a_failure_fills_the_screen_with_its_reason_and_is_copied(build: Build, make: folders.Stable) -> None:
    job = folders.failed_training(make, ago_s=60)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "✗ failed"))
        await pilot.press("enter")
        await until(
            pilot,
            shows(pilot, "LLaMA-Factory ended with an error", "ValueError: File data/alpaca_zh_demo.json not found."),
        )
        await pilot.press("y")
        copied = app.services.paths.cache / "copied" / f"{job.id}.txt"
        await until(pilot, copied.exists)
        text = copied.read_text(encoding="utf-8")
        assert "LLaMA-Factory ended with an error" in text
        assert "Traceback (most recent call last):" in text
        assert app.clipboard == text


async def test_steps_are_walked_with_keys(build: Build, make: folders.Stable) -> None:
    folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "demo › LoRA"))
        await pilot.press("left_square_bracket")
        await until(pilot, shows(pilot, "demo › paddock-demo-base", "I am SmolLM"))
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, shows(pilot, "demo › merge", "waiting"))


async def test_a_log_is_there_once_however_one_walks(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press(*["left_square_bracket", "right_square_bracket"] * 4)
        chain["train"].log("the last line\n")
        await app.look()
        log = app.screen.query_one("#log", LogView)
        await until(pilot, lambda: "the last line" in log.lines)
        assert len([line for line in log.lines if "Running training" in line]) == 1
        await pilot.press("left_square_bracket")
        await until(pilot, shows(pilot, "demo › paddock-demo-base", "It has written nothing."))
        assert log.lines == []


async def test_a_job_that_is_removed_elsewhere_says_so(build: Build, make: folders.Stable) -> None:
    job = make.job("command", "short", ago_s=50).start().end()
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "short"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        job.folder.path.rename(job.folder.path.with_name(".gone"))
        await app.look()
        await until(pilot, shows(pilot, "This job is not here any more."))


async def test_resume_says_its_consequence_first(build: Build, make: folders.Stable) -> None:
    job = make.job("train", "lost one", ago_s=500, params={"args": {}, "output_dir": "/nowhere"}).start()
    job.training(12, 40).leave()  # its supervisor is gone, and nothing of it lives
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "? lost", str(_("Press r to resume it from where it was."))))
        await pilot.press("r")
        await until(pilot, shows(pilot, "Resume lost one?", "starts again from step 0", "attempt 2"))
        await pilot.press("escape")


async def test_who_watches_a_step_to_its_end_watches_the_next(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "demo › LoRA", "following"))
        chain["train"].event("result", values={}).end("succeeded")
        await app.look()
        await until(pilot, shows(pilot, "demo › merge"))


async def test_who_reads_the_log_of_a_step_stays_with_it(build: Build, make: folders.Stable) -> None:
    chain = folders.demo_chain(make, ago_s=62, until="train", steps=13)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, shows(pilot, "training"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "demo › LoRA", "following"))
        await pilot.press("f")
        await until(pilot, shows(pilot, "standing still"))
        chain["train"].end("succeeded")
        await app.look()
        await until(pilot, shows(pilot, "✓ done  training"))
        assert "demo › LoRA" in screen_text(app)
