"""Export by keys: weights are chosen, fields changed, and the chain is laid down after its costs were said."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest
from textual.strip import Strip

from backend.export.plan import ExportPlan
from backend.train.record import RunFacts
from screens.choice import ChoiceDialog
from screens.export.screen import ExportScreen
from screens.failure import FailureDialog
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, shows, until
from tests.ui.export_scenes import DPO, SFT, Written
from tests.ui.scenes import OTHERS, Scene
from tests.unit.model_folder import write_model
from tui.app import PaddockApp
from tui.services import Services
from tui.widgets.form import Form
from tui.widgets.table import Table

WIDE, NARROW = (140, 40), (80, 24)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_model(tmp_path / "ws" / "base")
    run = tmp_path / "ws" / "saves" / "base" / "lora" / "run"
    for folder in (run, run / "checkpoint-5"):
        folder.mkdir(parents=True)
        config = {"base_model_name_or_path": str(tmp_path / "ws" / "base")}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(bytes(64))
    (run / "checkpoint-5" / "trainer_state.json").write_text("{}")
    (run / "paddock.json").write_text(json.dumps({"version": 1, "job": "j", "template": "qwen"}))
    return tmp_path / "ws"


def services(build: Build, workspace: Path) -> Services:
    made = build()
    made.workspace = workspace
    return made


@pytest.mark.parametrize("size", [WIDE, pytest.param(NARROW, marks=pytest.mark.slow)])
async def test_the_newest_weights_are_drafted_and_fields_change_by_keys(
    build: Build, workspace: Path, size: tuple[int, int]
) -> None:
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "base/lora/run", "checkpoint-5", "qwen"))
        await pilot.press("j", "enter")  # checkpoint-5, and on to the form
        await until(pilot, shows(pilot, "● checkpoint-5"))
        await pilot.press("G", "k", "k", "right")
        await until(pilot, shows(pilot, "q8_0"))
        await pilot.press("k", "k", "enter", "ctrl+u", *"mine", "enter")
        await until(pilot, shows(pilot, "• mine"))
        screen = app.screen
        assert isinstance(screen, ExportScreen)
        assert screen._plan is not None
        assert screen._plan.deployment is not None
        assert (screen._plan.deployment.name, screen._plan.deployment.quantize) == ("mine", "q8_0")
        assert screen._plan.source.path.name == "checkpoint-5"


async def test_what_was_changed_is_there_again_when_the_weights_are_chosen_again(build: Build, workspace: Path) -> None:
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "base/lora/run", "checkpoint-5", "▪ qwen"))
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "fields")
        await pilot.press("G", "k", "k", "right")
        await until(pilot, shows(pilot, "q8_0"))
        changed = plan_of(app)
        for keys, name in ((("enter",), "run"), (("j", "enter"), "checkpoint-5"), (("k", "enter"), "run")):
            app.screen.query_one("#table", Table).focus()
            await pilot.press(*keys)
            await until(pilot, lambda name=name: plan_of(app).source.path.name == name, name)
        await until(pilot, lambda: plan_of(app) == changed, "the plan as it was left")


async def test_the_files_name_follows_the_type_until_it_is_given_another(build: Build, workspace: Path) -> None:
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "base/lora/run", "▪ qwen"))
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "fields")
        form = app.screen.query_one("#form", Form)
        form.select("outtype")
        await pilot.press("right")
        await until(pilot, shows(pilot, "base-run-35K-BF16.gguf"))
        form.select("file")
        await pilot.press("enter", "ctrl+u", *"mine.gguf", "enter")
        await until(pilot, shows(pilot, "• mine.gguf"))
        form.select("outtype")
        await pilot.press("right")
        await until(pilot, lambda: plan_of(app).outtype == "f16")
        assert plan_of(app).gguf == workspace / "mine.gguf"


def plan_of(app: PaddockApp) -> ExportPlan:
    assert isinstance(app.screen, ExportScreen)
    assert app.screen._plan is not None
    return app.screen._plan


async def test_a_locked_field_says_why_and_is_unlocked(build: Build, workspace: Path) -> None:
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "qwen", "The training decided this"))
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "fields")
        form = app.screen.query_one("#form", Form)
        form.select("system")
        await pilot.press("enter")  # locked: nothing opens
        assert not app.screen.query_one("#form").has_class("-editing")
        await pilot.press("u")
        await until(pilot, lambda: form.field is not None and form.field.locked is None)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query_one("#form").has_class("-editing"))
        await pilot.press("escape")
        assert isinstance(app.screen, ExportScreen)


async def test_without_any_training_the_way_is_shown(build: Build, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    app = PaddockApp(services(build, tmp_path / "empty"))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "No training has left weights here yet.", "Export a folder"))
        await pilot.press("o")
        await until(pilot, shows(pilot, "Export from elsewhere"))
        await pilot.press(*"nowhere", "enter")
        await until(pilot, shows(pilot, "There is nothing at"))


async def test_the_start_says_its_steps_first(build: Build, workspace: Path) -> None:
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "▪ qwen"))  # in the form: before there is a plan, s does nothing
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await until(pilot, shows(pilot, "LLaMA-Factory is not installed"))
        assert not isinstance(app.screen, ChoiceDialog)


async def test_a_finished_training_is_taken_to_export_by_one_key(
    build: Build, make: folders.Stable, workspace: Path
) -> None:
    run = workspace / "saves" / "base" / "lora" / "run"
    (workspace / "saves" / "newer" / "a" / "b").mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (workspace / "saves" / "newer" / "a" / "b" / name).write_bytes((run / name).read_bytes())
    make.job("train", "LoRA", ago_s=90, params={"output_dir": str(run)}).start().end()
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "LoRA", "E Export"))
        await pilot.press("E")
        await until(pilot, shows(pilot, "› run", "qwen"))
        screen = app.screen
        assert isinstance(screen, ExportScreen)
        assert screen._plan is not None
        assert screen._plan.source.path == run


async def test_while_runs_are_looked_for_it_says_so_in_the_language_that_is_chosen_meanwhile(
    make: folders.Stable, tmp_path: Path
) -> None:
    silence = threading.Event()
    app = PaddockApp(Scene("export", exports=Written(awaits="runs")).services(tmp_path / "home", silence))
    async with app.run_test(size=NARROW) as pilot:
        try:
            await pilot.press("4")
            await until(pilot, shows(pilot, "Looking for trainings…"))
            app.action_other_language()
            await until(pilot, shows(pilot, "正在查找训练……"))
            assert "这里还没有训练留下的权重" not in screen_text(app)
            app.action_other_language()
            await until(pilot, shows(pilot, "Looking for trainings…"))
        finally:
            silence.set()


async def test_the_room_is_said_in_the_language_that_is_chosen(make: folders.Stable, tmp_path: Path) -> None:
    app = PaddockApp(Scene("export", exports=Written()).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "GB free"))
        app.action_other_language()
        await until(pilot, shows(pilot, "可用"))
        assert "GB free" not in screen_text(app)


async def test_the_heads_of_a_table_are_painted_again_in_the_language_that_is_chosen(
    make: folders.Stable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = PaddockApp(Scene("export", exports=Written()).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "GB free", "size"))
        paint, painted = Table.render_line, list[str]()

        def painting(table: Table, y: int) -> Strip:
            strip = paint(table, y)
            painted.append(strip.text)
            return strip

        monkeypatch.setattr(Table, "render_line", painting)
        app.action_other_language()
        await until(pilot, lambda: any("大小" in line for line in painted))


async def test_weights_are_opened_though_the_runs_are_read_again_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = threading.Event()
    scripted = Scene("export", exports=Written(awaits="source")).services(tmp_path / "home", silence)
    reads: list[int] = []
    monkeypatch.setattr(scripted, "export_runs", lambda: reads.append(len(reads)) or [SFT, DPO])
    app = PaddockApp(scripted)
    async with app.run_test(size=WIDE) as pilot:
        try:
            await pilot.press("4")
            await until(pilot, lambda: reads)
            app.look_soon()
            await until(pilot, lambda: len(reads) > 1, "the runs are read again")
        finally:
            silence.set()
        await until(pilot, shows(pilot, "▪ qwen", "› sft"))


async def test_the_start_names_what_gets_a_name_and_what_leaves_the_machine(tmp_path: Path) -> None:
    app = PaddockApp(Scene("export", exports=Written()).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "▪ qwen"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "Start this export?", "In Ollama  qwen2.5-0.5b-instruct-sft"))
        assert "hub" not in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        app.screen.query_one("#form", Form).focus_fields()
        app.screen.query_one("#form", Form).select("export_hub_model_id")
        await pilot.press("enter", *"me/my-model", "enter")
        await until(pilot, lambda: plan_of(app).merge is not None and "me/my-model" in str(plan_of(app).merge))
        await pilot.press("s")
        said = ("On the hub  me/my-model", "leaves this machine", "Start, and push to the hub")
        await until(pilot, shows(pilot, *said))


async def test_only_adapters_are_merged_too(tmp_path: Path) -> None:
    (whole,) = DPO.checkpoints
    full = dataclasses.replace(DPO, checkpoints=(dataclasses.replace(whole, kind="model"),))
    app = PaddockApp(Scene("export", exports=Written((SFT, full))).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "▪ qwen", "whole model"))
        table = app.screen.query_one("#table", Table)
        table.focus()
        table.select(str(whole.path))
        assert not app.screen.check_action("add_weights", ())
        await pilot.press("space")
        table.select(str(SFT.checkpoints[1].path))
        assert app.screen.check_action("add_weights", ())
        await pilot.press("space")
        await until(pilot, lambda: len(plan_of(app).adapters) > 1)
        assert plan_of(app).adapters == (SFT.checkpoints[0].path, SFT.checkpoints[1].path)


async def test_a_template_is_chosen_among_those_that_there_are(tmp_path: Path) -> None:
    app = PaddockApp(Scene("export", exports=Written((DPO,))).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "not known: choose the one"))
        form = app.screen.query_one("#form", Form)
        form.focus_fields()
        form.select("template")
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Which template was it trained with?", "<|im_start|>user"))
        await pilot.press(*"lamma")
        await until(pilot, shows(pilot, "Nothing matches."))
        await pilot.press("ctrl+u", *"llama3", "enter")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen) and plan_of(app).template == "llama3")
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Which template was it trained with?"))
        await pilot.press(*"not known", "enter")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen) and plan_of(app).template == "")


async def test_a_template_that_there_is_not_is_marked_at_its_field(tmp_path: Path) -> None:
    odd = dataclasses.replace(DPO, facts=RunFacts("lama", origin="/x/paddock.json"))
    app = PaddockApp(Scene("export", exports=Written((odd,))).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "✗ lama", "LLaMA-Factory has no template lama. Choose one"))


async def test_a_model_is_proven_for_a_template_that_there_is(tmp_path: Path) -> None:
    scene = Scene("export", exports=Written(), offers=OTHERS, ollama=True)
    app = PaddockApp(scene.services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "▪ qwen"))
        await pilot.press("p")
        await until(pilot, shows(pilot, "Prove which model?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Name the template"))
        await pilot.press("t")
        await until(pilot, shows(pilot, "Template of the training", "<|im_start|>user"))
        assert "not known" not in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await pilot.press("p")
        await until(pilot, shows(pilot, "Prove which model?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Look into it"))
        await pilot.press("v")
        await until(pilot, shows(pilot, "The GGUF cannot be read here"))


async def test_what_was_opened_by_its_path_has_a_row_to_come_back_to(build: Build, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF")
    app = PaddockApp(services(build, tmp_path / "ws"))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "No training has left weights here yet."))
        for name in ("one", "two"):
            await pilot.press("o")
            await until(pilot, shows(pilot, "Export from elsewhere"))
            await pilot.press(*f"../{name}.gguf", "enter")
            await until(pilot, shows(pilot, "From elsewhere", f"● {name}.gguf  GGUF"))
        assert "No training has left weights" not in screen_text(app)
        table = app.screen.query_one("#table", Table)
        table.focus()
        await pilot.press("k", "enter")
        await until(pilot, shows(pilot, "● one.gguf", "○ two.gguf"))
        assert plan_of(app).source.path.name == "one.gguf"


async def test_no_training_is_named_where_none_is_known(tmp_path: Path) -> None:
    app = PaddockApp(Scene("export", exports=Written((DPO, SFT))).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "▪ none: Ollama chooses by the GGUF"))
        assert "what the training says" not in screen_text(app)


async def test_on_a_low_terminal_what_speaks_against_a_start_is_seen_before_the_room(tmp_path: Path) -> None:
    app = PaddockApp(Scene("export", exports=Written((DPO,))).services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "not known: choose the one"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "Start this export?", "The template is not known"))
        lines = screen_text(app).splitlines()
        against = next(at for at, line in enumerate(lines) if "! The template is not known" in line)
        assert against < next(at for at, line in enumerate(lines) if "~/work/models" in line and at > 2)


async def test_the_draft_and_its_place_outlive_the_screen(build: Build, workspace: Path) -> None:
    (workspace.parent / "one.gguf").write_bytes(b"GGUF")
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, shows(pilot, "base/lora/run", "▪ qwen"))
        await pilot.press("o")
        await until(pilot, shows(pilot, "Export from elsewhere"))
        await pilot.press(*"../one.gguf", "enter")
        await until(pilot, shows(pilot, "● one.gguf"))
        table = app.screen.query_one("#table", Table)
        table.focus()
        await pilot.press("G", "enter")
        await until(pilot, shows(pilot, "● checkpoint-5", "▪ qwen"))
        await until(pilot, lambda: app.focused is not None and app.focused.id == "fields")
        await pilot.press("u", "G", "k", "k", "right")
        await until(pilot, shows(pilot, "q8_0"))
        left = plan_of(app)
        field = app.screen.query_one("#form", Form).field
        table.focus()
        await pilot.press("k", "1")
        await until(pilot, lambda: not isinstance(app.screen, ExportScreen))
        await pilot.press("4")
        await until(pilot, shows(pilot, "○ one.gguf", "● checkpoint-5", "q8_0"))
        assert plan_of(app) == left
        form = app.screen.query_one("#form", Form)
        assert form.field == field
        assert app.screen.query_one("#table", Table).cursor_key == str(left.source.path.parent)
        form.select("template")
        assert form.field is not None
        assert form.field.locked is None


async def test_a_draft_whose_weights_are_gone_is_dropped(build: Build, workspace: Path) -> None:
    file = workspace.parent / "one.gguf"
    file.write_bytes(b"GGUF")
    app = PaddockApp(services(build, workspace))
    async with app.run_test(size=WIDE) as pilot:
        await app.open_export(str(file))
        await until(pilot, shows(pilot, "● one.gguf"))
        await pilot.press("1")
        file.unlink()
        await pilot.press("4")
        await until(pilot, shows(pilot, "There is nothing at"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "● final weights", "▪ qwen"))
        assert "one.gguf" not in screen_text(app)
