"""The Modelfile of an export by keys: the draft, a mistake with its place, what is edited, and the way back."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path

import pytest
from textual.widgets import TextArea

from backend.export.plan import ExportPlan
from data.errors import AppError
from screens.choice import ChoiceDialog
from screens.export.changes import problems
from screens.export.modelfile import ModelfileScreen
from screens.export.screen import ExportScreen
from screens.failure import FailureDialog
from tests.ui import folders
from tests.ui.driving import screen_of, settled, shows, until
from tests.ui.export_scenes import MODELFILE, USUAL, Written, export
from tests.ui.scenes import Scene
from tui.app import PaddockApp
from tui.exporting import Prospect
from tui.widgets.form import Form

WIDE, NARROW = (140, 40), (80, 24)


@pytest.fixture
def app(make: folders.Stable, tmp_path: Path) -> PaddockApp:
    return PaddockApp(Scene("export", exports=USUAL).services(tmp_path / "home", threading.Event()))


def plan_of(screen: ExportScreen) -> ExportPlan:
    assert screen._plan is not None
    return screen._plan


@pytest.mark.parametrize("size", [WIDE, pytest.param(NARROW, marks=pytest.mark.slow)])
async def test_the_draft_is_edited_and_goes_into_the_plan(app: PaddockApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await export()(pilot, app)
        screen = screen_of(app, ExportScreen)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ModelfileScreen))
        await until(pilot, shows(pilot, "FROM", "PARAMETER num_ctx 2048", "what the training says"))
        text = app.screen.query_one("#text", TextArea)
        text.move_cursor(text.document.end)
        await pilot.press(*"PARAMETER q 3")
        await until(pilot, shows(pilot, "Modelfile:", ":11: Ollama knows no parameter 'q'."))
        await pilot.press("backspace", "backspace", "backspace", *"temperature 0.5")
        await until(pilot, shows(pilot, "• Edited"))
        await pilot.press("enter", *"SYSTEM me")
        await until(pilot, shows(pilot, "does not count: line 13 says it again."))
        await pilot.press(*["backspace"] * 10)
        await until(pilot, shows(pilot, "• Edited"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        deployment = plan_of(screen).deployment
        assert deployment is not None
        assert deployment.edited == f"{MODELFILE}PARAMETER temperature 0.5"
        screen.query_one("#form", Form).select("modelfile")
        await until(pilot, shows(pilot, "edited"))
        await pilot.press("e")
        await until(pilot, shows(pilot, "PARAMETER temperature 0.5"))
        await pilot.press("ctrl+r")
        await until(pilot, shows(pilot, "what the training says"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        deployment = plan_of(screen).deployment
        assert deployment is not None
        assert deployment.edited == ""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{{ end }}<|im_start|>assistant", "<|im_start|>assistant", ":8:1: An end is missing."),
        ("{{ .System }}", "{{ foo }}", "Modelfile:3:4: There is no function foo."),
        ("SYSTEM ", "FROM x\nSYSTEM ", "Modelfile:9:1: This is a second FROM"),
        ("FROM /home", "FROM /elsewhere", "Modelfile:1:1: FROM names /elsewhere/mei"),
    ],
)
async def test_what_ollama_would_refuse_is_no_edit(app: PaddockApp, old: str, new: str, why: str) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await export("e")(pilot, app)
        await until(pilot, shows(pilot, "what the training says"))
        app.screen.query_one("#text", TextArea).text = MODELFILE.replace(old, new)
        await until(pilot, shows(pilot, "✗ ", why))


async def test_the_own_from_goes_with_the_file_and_another_is_marked_in_the_form(app: PaddockApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await export("enter", "e")(pilot, app)
        screen = next(one for one in app.screen_stack if isinstance(one, ExportScreen))
        await until(pilot, shows(pilot, "what the training says"))
        app.screen.query_one("#text", TextArea).text = f"{MODELFILE}PARAMETER top_k 3"
        await until(pilot, shows(pilot, "• Edited"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        screen.query_one("#form", Form).select("outtype")
        await pilot.press("right", "right")
        await until(pilot, lambda: plan_of(screen).outtype == "f16")
        plan = plan_of(screen)
        assert plan.deployment is not None
        assert plan.deployment.edited.startswith(f"FROM {plan.gguf}\nTEMPLATE")
        assert "modelfile" not in problems(plan)
        other = dataclasses.replace(plan.deployment, edited="FROM llama3")
        told = problems(dataclasses.replace(plan, deployment=other))["modelfile"]
        assert "FROM names llama3" in told.english()


async def test_an_empty_text_is_the_draft_and_says_so(app: PaddockApp) -> None:
    async with app.run_test(size=NARROW) as pilot:
        await export("e")(pilot, app)
        screen = next(one for one in app.screen_stack if isinstance(one, ExportScreen))
        await until(pilot, shows(pilot, "what the training says"))
        text = app.screen.query_one("#text", TextArea)
        text.text = "SYSTEM x"
        await until(pilot, shows(pilot, "• Edited"))
        text.text = "\n "
        await until(pilot, shows(pilot, "• Empty, so the draft goes to Ollama"))
        deployment = plan_of(screen).deployment
        assert deployment is not None
        assert deployment.edited == ""
        await pilot.press("ctrl+r")
        await until(pilot, shows(pilot, "✓ The draft"))


async def test_a_mistake_that_is_left_is_marked_in_the_form(app: PaddockApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await export()(pilot, app)
        screen = screen_of(app, ExportScreen)
        plan = plan_of(screen)
        assert plan.deployment is not None
        screen._take(dataclasses.replace(plan, deployment=dataclasses.replace(plan.deployment, edited="TEMPLTE x")))
        screen.query_one("#form", Form).select("modelfile")
        await until(pilot, shows(pilot, "✗ edited", "Modelfile:1:1"))


async def test_where_no_draft_can_be_written_it_is_said(app: PaddockApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(plan: ExportPlan) -> str:
        raise AppError("The Modelfile is not known yet", "The base is not here", "Start the export")

    monkeypatch.setattr(app.services, "export_modelfile", refuse)
    async with app.run_test(size=NARROW) as pilot:
        await export()(pilot, app)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "There is no draft to be shown yet."))
        await pilot.press("escape")
        await settled(pilot, app)
        assert isinstance(app.screen, ExportScreen)


async def test_letters_before_the_draft_is_there_are_no_keys_of_the_app(make: folders.Stable, tmp_path: Path) -> None:
    silence = threading.Event()
    app = PaddockApp(Scene("export", exports=Written(awaits="modelfile")).services(tmp_path / "home", silence))
    async with app.run_test(size=WIDE) as pilot:
        await export()(pilot, app)
        await pilot.press("e")
        await until(pilot, shows(pilot, "Writing the draft…"))
        await pilot.press("3", "q", "question_mark")
        assert isinstance(app.screen, ModelfileScreen)
        silence.set()
        await until(pilot, shows(pilot, "what the training says"))
        await pilot.press("3")
        await until(pilot, shows(pilot, "3FROM"))


async def test_the_question_before_a_start_is_not_asked_over_another_place(
    app: PaddockApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()
    async with app.run_test(size=WIDE) as pilot:
        await export()(pilot, app)
        prospect = app.services.export_prospect

        async def late(plan: ExportPlan) -> Prospect:
            asked.set()
            await answer.wait()
            return await prospect(plan)

        monkeypatch.setattr(app.services, "export_prospect", late)
        await pilot.press("s")
        await until(pilot, asked.is_set)
        await pilot.press("e")
        await until(pilot, shows(pilot, "what the training says"))
        answer.set()
        await settled(pilot, app)
        assert isinstance(app.screen, ModelfileScreen)
        await pilot.press("escape")
        await settled(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceDialog))
