"""Export in every state, as a person can bring it about: for the snapshots, and to look at."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.pilot import Pilot
from textual.widgets import TextArea

from backend.convert.converter import convert
from backend.convert.llama_cpp import Script
from backend.convert.plan import Counts
from backend.convert.road import Road
from backend.deploy.request import Deployment
from backend.export.caution import warnings
from backend.export.forecast import FileSystem
from backend.export.plan import ExportPlan, Step
from backend.export.source import Checkpoint, Run, Source
from backend.lf.find import LlamaFactory
from backend.parity.proof import RENEWED
from backend.train.record import RunFacts
from data.errors import RequestError
from data.i18n import _
from data.jobs.spec import JobSpec
from screens.choice import ChoiceDialog
from screens.entry import EntryDialog
from screens.export.modelfile import ModelfileScreen
from screens.export.screen import ExportScreen
from screens.failure import FailureDialog
from screens.finder import Finder
from screens.gguf.screen import GgufScreen
from screens.proof.screen import ProofScreen
from tests.ui import folders
from tests.ui.driving import screen_of, settled, until
from tests.ui.scenes import OTHERS, Scene, Walk, keys
from tests.ui.scripted import Exports
from tests.unit.model_folder import write_model
from tests.unit.test_hostile import ARRAY, GPT2, MODEL, STRING, array, key, text
from tests.unit.test_hostile import gguf as gguf_of
from tui.app import PaddockApp
from tui.exporting import Prospect
from tui.widgets.form import Form

WORKSPACE: Final = Path("/home/mei/work")
BASE: Final = "/data/models/Qwen2.5-0.5B-Instruct"


def run(name: str, *steps: int | None, facts: RunFacts | None = None, ago_s: float = 4000) -> Run:
    """Return a LoRA run below the workspace with weights at ``steps``; None is its end."""
    path = WORKSPACE / "saves" / name
    known = facts or RunFacts("qwen", enable_thinking=True, cutoff_len=2048, origin=str(path / "paddock.json"))
    found = [
        Checkpoint(
            path if step is None else path / f"checkpoint-{step}",
            step,
            "adapter",
            17_640_136,
            None if step is None else 1.2 - step / 20_000,
        )
        for step in steps
    ]
    return Run(path, tuple(found), known, folders.NOW.timestamp() - ago_s)


HALF_A_BILLION: Final = Counts(494_032_768, 494_032_768, 0, 0)
"""Of Qwen2.5-0.5B"""
MODELFILE: Final = '''FROM /home/mei/work/models/Qwen2.5-0.5B-Instruct-sft/Qwen2.5-0.5B-Instruct-sft-BF16.gguf
TEMPLATE """{{- if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
SYSTEM """You are Qwen, created by Alibaba Cloud. You are a helpful assistant."""
PARAMETER stop "<|im_end|>"
PARAMETER num_ctx 2048
'''
SFT: Final = run("Qwen2.5-0.5B-Instruct/lora/sft", None, 1000, 500)
DPO: Final = run("Qwen2.5-0.5B-Instruct/lora/dpo", None, facts=RunFacts(), ago_s=90_000)
LONG: Final = run(
    "通义千问2.5-0.5B-指令微调/lora/客服对话数据集第三版-清洗后-2026年11月",
    None,
    12000,
    facts=RunFacts(
        "qwen",
        default_system="你是一名耐心的客服助手，请始终使用简体中文回答，并在不确定时说明你不确定。",
        cutoff_len=4096,
        origin="/x/paddock.json",
    ),
)


def prospect(steps: Sequence[Step], deployment: Deployment | None, *, replaces: bool, room: bool) -> Prospect:
    """Return what an export of these steps takes."""
    disks = (
        FileSystem((WORKSPACE / "models",), 61_000_000_000 if room else 900_000_000, 2_960_000_000, "convert"),
        FileSystem(
            (Path("/home/mei/.local/share/paddock/ollama/models"),), 120_000_000_000, 2_010_000_000, "deploy"
        ),
    )  # fmt: skip
    specs = tuple(JobSpec(f"20261124-143207-{step}-aaaa", step, step, folders.NOW, "/home/mei/work") for step in steps)
    return Prospect(specs, disks if deployment else disks[:1], replaces, ())


@dataclasses.dataclass(frozen=True, slots=True)
class Written(Exports):
    """Runs that are written down, and what an export of them takes."""

    found: tuple[Run, ...] = (SFT, DPO)
    base: str = BASE
    awaits: str = ""
    draft: str | None = MODELFILE
    """None: there is none"""
    replaces: bool = False
    room: bool = True
    unseen: str = ""
    road: Road = Road()  # noqa: RUF009 - a Road is never changed

    def runs(self) -> list[Run]:
        """Return what is written down."""
        return list(self.found)

    def source(self, path: Path) -> Source:
        """Return the weights at ``path``."""
        if path.suffix == ".gguf":
            return Source("gguf", path, RunFacts())
        run = next(run for run in self.found if path in {one.path for one in run.checkpoints})
        return Source("adapter", path, run.facts, self.base, HALF_A_BILLION, "bf16")

    def modelfile(self, plan: ExportPlan) -> str:
        """Return what is written down; raises RequestError where there is nothing."""
        if self.draft is None:
            raise RequestError(
                _("The model's folder does not exist"),
                str(plan.model_folder),
                _("Name a folder with config.json and safetensors."),
            )
        return self.draft

    def prospect(self, plan: ExportPlan) -> Prospect:
        """Return what the plan takes."""
        made = prospect(plan.steps, plan.deployment, replaces=self.replaces, room=self.room)
        return dataclasses.replace(
            made,
            disks=made.disks[:1] if self.unseen else made.disks,
            unseen=self.unseen,
            plan=plan,
            warnings=(*self.road.notes(), *warnings(plan, FACTORY, has_gpu=True)),
        )


FACTORY: Final = LlamaFactory(Path("/usr/bin/python3"), "0.9.5", "settings")


def export(*names: str) -> Walk:
    """Open Export, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await idle(pilot, app)
        await pilot.press(*names)
        await idle(pilot, app)

    return walk


async def nothing_there(pilot: Pilot[None], app: PaddockApp) -> None:
    """Open Export where there is nothing; the hidden list gives the keys back."""
    await export()(pilot, app)
    await until(pilot, lambda: app.screen.focused is None, "nothing has the keys")
    screen_of(app, ExportScreen).refresh_keys()
    await settled(pilot, app)


async def idle(pilot: Pilot[None], app: PaddockApp) -> None:
    """Wait until Export has read all it wants to know."""
    groups = {"runs", "choice", "ahead", "default"}

    def done() -> bool:
        return all(one.is_finished for one in app.workers if one.group in groups) or app.screen.is_modal

    await until(pilot, done, "Export has read all")
    await settled(pilot, app)


def on(field: str, *names: str) -> Walk:
    """Put the cursor of the form on ``field``, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await export("enter")(pilot, app)
        screen_of(app, ExportScreen).query_one("#form", Form).select(field)
        await pilot.press(*names)
        await idle(pilot, app)

    return walk


def ways(*parts: Walk) -> Walk:
    """Go one way after the other."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        for part in parts:
            await part(pilot, app)

    return walk


def asks(way: Walk, kind: type[object], *names: str) -> Walk:
    """Go ``way`` until a dialog of ``kind`` is there, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await way(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, kind))
        await pilot.press(*names)
        await settled(pilot, app)

    return walk


def modelfile(*names: str) -> Walk:
    """Wait for the draft, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await until(pilot, lambda: app.screen.query_one("#text", TextArea).text == MODELFILE)
        await pilot.press(*names)
        await settled(pilot, app)

    return walk


def at_field(field: str) -> Walk:
    """Put the cursor of the form on ``field``."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        screen = screen_of(app, ExportScreen)
        screen.query_one("#form", Form).select(field)
        screen.refresh_keys()
        await settled(pilot, app)

    return walk


def gguf(*names: str) -> Walk:
    """Look into a GGUF that was just made, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await app.open_gguf(str(await asyncio.to_thread(make_gguf)))
        await until(pilot, lambda: isinstance(app.screen, GgufScreen) and not app.screen.has_class("-reading"))
        await pilot.press(*names)
        await until(pilot, lambda: all(one.is_finished for one in app.workers if one.group == "value"))
        await settled(pilot, app)

    return walk


def here(name: str) -> Path:
    """Return a file where the test runs."""
    return Path(name).absolute()


def waiting(kind: type[object], *names: str, path: str = "") -> Walk:
    """Press keys, or look into ``path``, and see what is on the screen while nothing comes."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        if path:
            await app.open_gguf(str(here(path)))
        await pilot.press(*names)
        await until(pilot, lambda: isinstance(app.screen, kind))
        for _time in range(3):  # until what has the keys, and what they do, is shown
            await pilot.pause()

    return walk


def refused(way: Walk, kind: type[object]) -> Walk:
    """Go ``way`` until a panel says what failed, put it away, and see what is left."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await way(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, kind))
        await settled(pilot, app)

    return walk


async def no_gguf(pilot: Pilot[None], app: PaddockApp) -> None:
    """Look into a file that is none."""
    await settled(pilot, app)
    file = here("broken.gguf")
    await asyncio.to_thread(file.write_bytes, b"no GGUF at all")
    await app.open_gguf(str(file))


async def odd_gguf(pilot: Pilot[None], app: PaddockApp) -> None:
    """Look into the header of a model that lacks most of what it needs."""
    await settled(pilot, app)
    file = here("odd.gguf")
    tokens = key("tokenizer.ggml.tokens", ARRAY, array(STRING, 2, text("a") + text("b")))
    await asyncio.to_thread(file.write_bytes, gguf_of([MODEL, GPT2, tokens]))
    await app.open_gguf(str(file))
    await until(pilot, lambda: isinstance(app.screen, GgufScreen) and not app.screen.has_class("-reading"))
    await settled(pilot, app)


def proven(change: Mapping[str, object], *, right: bool) -> Callable[[folders.Stable], object]:
    """Write a proof of a model that has its name: all as trained where ``right``, else as the wrong one has it."""

    def write(make: folders.Stable) -> None:
        value = json.loads(folders.WRONG_PROOF.read_bytes())
        cases = value["cases"]
        cases[0].update(grave=False, words={"cause": BEYOND.as_json(), "remedy": LIVE_WITH.as_json()})
        for case in cases if right else cases[1:]:
            case.update(ok=True, grave=False, actual_text=case["expected_text"], cause=None, cause_id=None, words=None)
            case.update(first_difference=None, tokens=[], actual_ids=case["expected_ids"])
        value |= {"num_ctx": {"actual": 2048, "cutoff_len": 2048, "ok": True}, "problems": []}
        value["stops"] |= {"missing": [], "ok": True}
        value.update(ok=right, holds=True, **change)
        job = make.job("prove", "qwen2.5-0.5b-sft", ago_s=60, params={"model": "qwen2.5-0.5b-sft"}).start()
        job.folder.proof.write_text(json.dumps(value), encoding="utf-8")
        summary = {"ok": right, "holds": True, "same": 10 if right else 9, "cases": 10}
        job.event("result", after_s=20, values={"proof": summary, "model": "qwen2.5-0.5b-sft"}).end()

    return write


def make_gguf() -> Path:
    """Make a small GGUF where the test runs; return its path."""
    write_model(Path("model"))
    target = Path("qwen2.5-0.5b-sft-q8_0.gguf").absolute()
    convert(Path("model"), target, outtype="q8_0", chat_template=CHATML)
    return target


USUAL: Final = Written()
SCRIPT: Final = Road(
    Script(Path("/opt/llama.cpp/convert_hf_to_gguf.py"), Path("/opt/lf/bin/python")),
    _("The architecture {name} is not known to this converter", name="Step3VLForConditionalGeneration"),
    left_out=412,
)
"""Of a model that our converter does not know, and that has eyes"""
LEFT_OUT: Final = _(
    "No row of {name} is among the conversations: {why}.", name="identity", why=_("it is no file of this machine")
)
BEYOND: Final = _(
    "The text is that of the training, but not its tokens: LLaMA-Factory encodes the parts of a conversation one "
    "by one, the server the whole text, and at this place the two cut it differently."
)
LIVE_WITH: Final = _("No template can say this. The models of this family live with it; it matters little.")
CHATML: Final = (
    "{% for message in messages %}\n"
    "    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
EXPORT_SCENES: Final = (
    Scene("export-empty", walk=nothing_there, exports=Written(())),
    Scene("export-ready", walk=export(), exports=USUAL, ollama=True),
    Scene("export-locked", walk=on("template"), exports=USUAL),
    Scene("export-unlocked", walk=asks(on("template", "u", "enter"), Finder, *"chatml", "enter"), exports=USUAL),
    Scene("export-editing", walk=on("name", "enter"), exports=USUAL),
    Scene("export-problem", walk=on("name", "enter", "ctrl+u", *"my model!", "enter"), exports=USUAL),
    Scene("export-no-room", walk=on("gptq_bits", "right"), exports=Written(room=False)),
    Scene("export-two", walk=export("j", "j", "space"), exports=USUAL),
    Scene("export-long", walk=on("system"), exports=Written((LONG, SFT))),
    Scene("export-elsewhere", walk=asks(export("o"), EntryDialog), exports=USUAL),
    Scene("export-start", walk=asks(export("s"), ChoiceDialog), exports=Written(replaces=True)),
    Scene("export-start-long",
          walk=asks(ways(asks(on("template", "u", "enter"), Finder, *"not known", "enter"), keys("s")), ChoiceDialog),
          exports=Written((LONG,), replaces=True)),
    Scene("export-start-no-room", walk=asks(export("s"), FailureDialog), exports=Written(room=False)),
    Scene("export-room-unknown", walk=export(), exports=Written(unseen="http://gpu-7.example:11434")),
    Scene("export-imatrix", walk=on("outtype", "left", "j"), exports=USUAL),
    Scene("export-file", walk=ways(on("outtype", *["right"] * 4), at_field("file")), exports=USUAL),
    Scene("export-start-script", walk=asks(on("converter", "left", "s"), ChoiceDialog), exports=Written(road=SCRIPT)),
    Scene("export-prove", walk=asks(export("p"), Finder), exports=USUAL, offers=OTHERS, ollama=True),
    Scene("export-prove-how", walk=asks(asks(export("p"), Finder, "enter"), ChoiceDialog), exports=USUAL,
          offers=OTHERS, ollama=True),
    Scene("run-refused", folders.refused_deployment, ways(keys("enter"))),
    Scene("proof", folders.refused_deployment, ways(keys("enter"), keys("p"))),
    Scene("proof-context", folders.refused_deployment, ways(keys("enter"), keys("p"), keys("G"))),
    Scene("proof-reading", folders.refused_deployment, ways(keys("enter"), waiting(ProofScreen, "p")),
          exports=Written(awaits="proof")),
    Scene("proof-none", lambda make: folders.refused_deployment(make).folder.proof.write_text("{}"),
          refused(ways(keys("enter"), waiting(object, "p")), ProofScreen)),
    Scene("proof-holds", proven({}, right=True), ways(keys("enter"), keys("p"))),
    Scene("proof-mended", proven({"mended": True, "left_out": [LEFT_OUT.as_json()]}, right=True),
          ways(keys("enter"), keys("p"))),
    Scene("proof-unloaded", proven({"notes": [RENEWED.as_json()]}, right=True),
          ways(keys("enter"), keys("p"), keys("G", "k", "k", "k"))),
    Scene("proof-beyond-mending", proven({"mendable": False}, right=False), ways(keys("enter"), keys("p"))),
    Scene("export-looking", walk=waiting(ExportScreen, "4"), exports=Written(awaits="runs")),
    Scene("modelfile-draft", walk=ways(export(), waiting(ModelfileScreen, "e")), exports=Written(awaits="modelfile")),
    Scene("modelfile-none", walk=refused(ways(export(), waiting(object, "e")), ModelfileScreen),
          exports=Written(draft=None)),
    Scene("gguf-reading", walk=waiting(GgufScreen, path="model.gguf"), exports=Written(awaits="gguf")),
    Scene("gguf-none", walk=refused(no_gguf, GgufScreen)),
    Scene("gguf-problems", walk=odd_gguf),
    Scene("modelfile", walk=ways(export("e"), modelfile()), exports=USUAL),
    Scene("modelfile-mistake", walk=ways(export("e"), modelfile(*"TEMPLTE")), exports=USUAL),
    Scene("modelfile-edited", walk=ways(export("e"), modelfile(*"SYSTEM short", "enter")), exports=USUAL),
    Scene("export-edited", walk=ways(export("e"), modelfile(*"SYSTEM short", "enter", "escape"), at_field("modelfile")),
          exports=USUAL),
    Scene("gguf", walk=gguf()),
    Scene("gguf-template", walk=gguf(*["j"] * 6)),
    Scene("gguf-tensors", walk=gguf("G")),
    Scene("gguf-value", walk=gguf(*["j"] * 6, "enter")),
)  # fmt: skip
