"""Every screen and dialog in every state, as a person can bring it about: for the snapshots, and to look at."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Final

from textual.pilot import Pilot
from textual.widgets import TextArea

from data.errors import AppError
from data.i18n import Message, _
from data.paths import Paths
from data.settings import Settings
from screens.chat.screen import ChatScreen
from screens.choice import Choice, ChoiceDialog
from screens.failure import FailureDialog
from screens.finder import Finder
from screens.help import HelpScreen
from screens.palette import PaletteScreen
from screens.run.screen import RunScreen
from tests.ui import folders
from tests.ui.conftest import CPU_ONLY, TWO_GPUS
from tests.ui.driving import screen_of, settled, until
from tests.ui.scripted import HOST, Exports, ScriptedModel, ScriptedServices
from tui.app import PaddockApp
from tui.chatting import ModelOffer, OllamaState
from tui.machine import Machine
from tui.widgets.chart import Chart
from tui.widgets.log_view import LogView
from tui.widgets.transcript import Turn

Walk = Callable[[Pilot[None], PaddockApp], Awaitable[None]]
LONG: Final = (
    "第一行说的是原因。" + "训练在第一千步停了下来，因为显存不够；日志的末尾写着同样的话。" * 100 + "这是最后一句。"
)
"""More than 3,000 characters"""
REPLY: Final = """Of course. Three things make a LoRA small:

1. The **rank** `r`: each matrix gets two thin ones, *d × r* and *r × d*.
2. The **targets**: `lora_target: all` is the usual choice.
3. The **dtype** in which it is kept.

```yaml
lora_rank: 8
lora_target: all
```

中文也一样：秩越小，文件越小。
"""
TINY: Final = ModelOffer("paddock-demo:latest", HOST, private=True, size_bytes=144_811_631)
OTHERS: Final = (
    TINY,
    ModelOffer("qwen3:8b", HOST, private=False, size_bytes=5_225_388_164),
    ModelOffer("gemma3:270m", HOST, private=False, size_bytes=291_554_930),
)
MANY: Final = tuple(
    ModelOffer(f"registry.local/组/qwen3-sft-学习率-{index:02d}:q8_0", HOST, private=False, size_bytes=index * 10**9)
    for index in range(40)
)


async def ready(pilot: Pilot[None], app: PaddockApp) -> None:
    """Wait until Home shows what there is."""
    await settled(pilot, app)


@dataclass(frozen=True, slots=True)
class Scene:
    """Folders to write, a machine, a model, and the way to what is to be seen."""

    name: str
    write: Callable[[folders.Stable], object] = lambda _make: None
    walk: Walk = ready
    machine: Machine | None = CPU_ONLY
    """None: the machine never answers, so that nothing has been read yet"""
    ollama: bool = False
    model: ScriptedModel = field(default_factory=ScriptedModel)
    offers: tuple[ModelOffer, ...] | None = (TINY,)
    settings: Settings = field(default_factory=Settings)
    exports: Exports = field(default_factory=Exports)

    def services(self, home: Path, silence: threading.Event) -> ScriptedServices:
        """Compose what the app asks; a machine that never answers waits for ``silence`` to end."""

        def machine() -> Machine:
            if self.machine is None:
                silence.wait()
            return self.machine or CPU_ONLY

        return ScriptedServices(
            paths=Paths.under(home),
            settings=self.settings,
            workspace=Path("/home/mei/work"),
            environ={"HOME": "/home/mei", "PATH": "/usr/bin:/bin"},
            clock=lambda: folders.NOW,
            timezone=UTC,
            machine=machine,
            ollama=lambda: OllamaState(is_up=self.ollama, version="0.32.7" if self.ollama else ""),
            model=self.model,
            offers=self.offers,
            exports=self.exports,
            silence=silence,
        )


# -- ways -----------------------------------------------------------------------------------------------------------


def keys(*names: str) -> Walk:
    """Press keys on a settled Home, and wait until all is read."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await pilot.press(*names)
        await settled(pilot, app)

    return walk


def run(*names: str) -> Walk:
    """Open Run for what Home has the cursor on, then press keys."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await settled(pilot, app)
        await pilot.press(*names)
        await settled(pilot, app)

    return walk


def dialog(kind: type[object], *names: str) -> Walk:
    """Press keys on Home until a dialog of ``kind`` is there."""

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await pilot.press(*names)
        await until(pilot, lambda: isinstance(app.screen, kind))
        await settled(pilot, app)

    return walk


def chat(*typed: str, turns: int = 0, ended: bool = True, searches: bool = False) -> Walk:
    """Open Chat, say ``typed``, and wait for ``turns`` turns, the last one at its end where it ``ended``.

    With ``searches`` it is left while it looks for models.
    """

    async def walk(pilot: Pilot[None], app: PaddockApp) -> None:
        await settled(pilot, app)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        if searches:
            return
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers if worker.group == "models"))
        if not turns:
            return
        screen = screen_of(app, ChatScreen)
        screen.query_one("#composer", TextArea).text = " ".join(typed)
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.query(Turn)) == turns)
        said = "".join(app.services.chat_engine("").pieces) if isinstance(app.services, ScriptedServices) else ""
        await until(pilot, lambda: screen.query(Turn).last().text == said and screen.is_replying is not ended)
        await settled(pilot, app)

    return walk


async def failure(pilot: Pilot[None], app: PaddockApp) -> None:
    """Let something fail."""
    await settled(pilot, app)
    app.fail(
        AppError(
            _("The server cannot be reached"),
            f"GET {HOST}/api/tags: connection refused",
            _("Start it with `ollama serve`, or let `paddock setup ollama` install one."),
        )
    )
    await until(pilot, lambda: isinstance(app.screen, FailureDialog))
    await settled(pilot, app)


async def long_failure(pilot: Pilot[None], app: PaddockApp) -> None:
    """Let something fail that has much to say."""
    await settled(pilot, app)
    app.fail(AppError(_("The work failed"), LONG, _("The last lines of the log usually say why.")))
    await until(pilot, lambda: isinstance(app.screen, FailureDialog))
    await settled(pilot, app)


async def long_choice(pilot: Pilot[None], app: PaddockApp) -> None:
    """Ask something that takes many words, of which the second page is read."""
    await settled(pilot, app)
    choices = [
        Choice("graceful", "g", _("Stop gracefully"), Message(LONG[:600])),
        Choice("now", "n", _("Stop now"), _("Nothing is done."), danger=True),
    ]
    app.push_screen(ChoiceDialog(_("Stop {job}?", job="学习率 " * 30), Message(LONG), choices))
    await until(pilot, lambda: isinstance(app.screen, ChoiceDialog))
    await pilot.press("pagedown")
    await settled(pilot, app)


async def removed_elsewhere(pilot: Pilot[None], app: PaddockApp) -> None:
    """Open a job, and remove its folder."""
    await run()(pilot, app)
    for folder in app.services.paths.jobs.iterdir():
        folder.rename(folder.with_name(f".{folder.name}"))
    await app.look()
    await settled(pilot, app)


async def zoomed(pilot: Pilot[None], app: PaddockApp) -> None:
    """Zoom into the curve and give it the whole screen."""
    await run()(pilot, app)
    app.screen.query_one("#chart", Chart).focus()
    await pilot.press("plus", "o", "z")
    await settled(pilot, app)


async def searched(pilot: Pilot[None], app: PaddockApp) -> None:
    """Search the log."""
    await run("slash", *"loss", "enter")(pilot, app)
    await until(pilot, lambda: app.screen.query_one("#log", LogView).match >= 0)
    await settled(pilot, app)


# -- folders --------------------------------------------------------------------------------------------------------


def at(step: str, steps: int = 32) -> Callable[[folders.Stable], object]:
    """Write a demo that has come to ``step``."""
    return lambda make: folders.demo_chain(make, ago_s=62 if step == "train" else 150, until=step, steps=steps)


def starting(make: folders.Stable) -> None:
    """Write a training that has no loss yet."""
    job = make.job("train", "qwen2.5-0.5b sft", ago_s=21).start()
    job.stage("loading", _("Loading the model"), after_s=9).log("[INFO|modeling_utils.py:3726] >> loading weights\n")


def installing(make: folders.Stable) -> None:
    """Write a set-up that fetches packages."""
    job = make.job("setup", "llamafactory, ollama", ago_s=40).start()
    job.stage("llamafactory-packages", _("Fetching LLaMA-Factory {version} and torch", version="0.9.5"))
    for done in range(0, 1_300_000_000, 100_000_000):
        job.event("progress", after_s=2.5, done=done, total=3_055_187_343, unit="bytes")
    job.log("Collecting torch==2.11.0\n  Downloading torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl (190 MB)\n")


def broken_chain(make: folders.Stable) -> None:
    """Write a demo whose training failed, so that the rest of it failed too."""
    chain = folders.demo_chain(make, ago_s=300, until="before")
    train = chain["train"].start().stage("tokenizing", _("Preparing the dataset")).log(folders.FAILED_LOG)
    train.end(
        "failed",
        after_s=20,
        exit_code=1,
        title=_("LLaMA-Factory ended with an error"),
        hint=_("The log shows where it happened."),
    )
    for key in ("export", "convert", "deploy", "after"):
        job = chain[key]
        job.event("finished", after_s=80, outcome="failed", exit_code=None, cause="after")
        job.leave()


def states(make: folders.Stable) -> None:
    """Write a job in every state."""
    make.job("convert", "waits for a turn", ago_s=700).wait_for("20261124-100000-export-aaaa")
    asked = make.job("train", "was asked to stop", ago_s=600).start().training(30, 100)
    asked.event("stopping", manner="graceful", label=_("A stop was asked for.").as_json())
    make.job("train", "ended well", ago_s=500).start().training(20, 20).end()
    make.job("train", "ended badly", ago_s=450).start().end("failed", exit_code=3)
    make.job("train", "was stopped", ago_s=400).start().training(12, 40).end("stopped")
    make.job("train", "is lost 断电", ago_s=300).start().training(9, 40).leave()
    orphan = make.job("train", "has no supervisor", ago_s=200).start().training(8, 40)
    orphan.folder.exit_file.write_text("0\n")
    orphan.leave()
    make.job("train", "runs on another box", ago_s=150).start(host="node07").training(7, 40).leave()
    make.job("train", "works", ago_s=100).start().training(30, 60)


def one(kind: str, ending: str, **texts: object) -> Callable[[folders.Stable], object]:
    """Write one training of 12 steps with an ending: stopped, lost, unsupervised."""

    def write(make: folders.Stable) -> None:
        params = {"args": {}, "output_dir": "/nowhere"}
        job = make.job(kind, "qwen2.5-0.5b sft", ago_s=500, params=params).start().training(12, 40).telemetry()
        match ending:
            case "lost":
                job.leave()
            case "unsupervised":
                job.folder.exit_file.write_text("0\n")
                job.leave()
            case _:
                job.end(ending)

    return write


def many(make: folders.Stable) -> None:
    """Write more jobs than a screen holds."""
    for index in range(60):
        job = make.job("train", f"sweep lr {index:02d} 学习率", ago_s=90_000 - index * 1400).start().training(6, 6)
        job.end("failed" if index % 7 == 3 else "succeeded", exit_code=0)


def artifact(make: folders.Stable) -> None:
    """Write an ended conversion and its file, named from where the test runs."""
    Path("saves").mkdir()
    Path("saves/model.gguf").write_bytes(bytes(2_500_000))
    job = make.job("convert", "qwen2.5-0.5b-sft", ago_s=80).start()
    job.event("artifact", path="saves/model.gguf", what="gguf", bytes=2_500_000).end()


GONE: Final = AppError(
    _("The connection to Ollama broke off"), "connection reset by peer", _("The log of the server says why.")
)
QUESTION: Final = ("How does one make a LoRA smaller? 秩有什么用？",)

SCENES: Final = (
    Scene("home-empty"),
    Scene("home-loading", folders.write_all, lambda pilot, _app: pilot.pause(), machine=None),
    Scene("home-day", folders.write_all, ollama=True),
    Scene("home-gpus", folders.write_all, machine=TWO_GPUS, ollama=True),
    Scene("home-failed", lambda make: folders.failed_training(make, ago_s=60)),
    Scene("home-chain-failed", broken_chain),
    Scene("home-chain-done", at("after")),
    Scene("home-states", states),
    Scene("home-many", many, keys(*["j"] * 20)),
    Scene("home-search", many, keys("slash", *"lr 5")),
    Scene("home-light", folders.write_all, settings=Settings(theme="paddock-light")),
    Scene("run-training", at("train", 13), run()),
    Scene("run-training-gpus", at("train", 13), run(), machine=TWO_GPUS),
    Scene("run-starting", starting, run()),
    Scene("run-set-up", installing, run()),
    Scene("run-waiting", at("train", 13), run("right_square_bracket")),
    Scene("run-trained", at("after"), run(*["left_square_bracket"] * 4)),
    Scene("run-answered", at("after"), run()),
    Scene("run-failed", lambda make: folders.failed_training(make, ago_s=60), run()),
    Scene("run-stopped", one("train", "stopped"), run()),
    Scene("run-lost", one("train", "lost"), run()),
    Scene("run-unsupervised", one("train", "unsupervised"), run()),
    Scene("run-gone", starting, removed_elsewhere),
    Scene("run-zoomed", at("train", 31), zoomed),
    Scene("run-searched", at("train", 31), searched),
    Scene("chat-no-model", walk=chat(), offers=()),
    Scene("chat-loading", walk=chat(searches=True), offers=None),
    Scene("chat-empty", walk=chat(), ollama=True),
    Scene("chat-choose", walk=dialog(Finder, "3"), offers=OTHERS, ollama=True),
    Scene("chat-choose-many", walk=dialog(Finder, "3"), offers=MANY, ollama=True),
    Scene(
        "chat-streaming", walk=chat(*QUESTION, turns=2, ended=False), model=ScriptedModel((REPLY[:190],), waits=True)
    ),
    Scene("chat-reply", walk=chat(*QUESTION, turns=2), model=ScriptedModel((REPLY,))),
    Scene("chat-gone", walk=chat(*QUESTION, turns=2), model=ScriptedModel((REPLY[:60],), error=GONE)),
    Scene("demo", walk=dialog(ChoiceDialog, "d")),
    Scene("demo-follow", at("train", 13), dialog(ChoiceDialog, "d")),
    Scene("stop", at("train", 13), dialog(ChoiceDialog, "s")),
    Scene("resume", one("train", "lost"), dialog(ChoiceDialog, "r")),
    Scene("remove", artifact, dialog(ChoiceDialog, "x")),
    Scene("failure", walk=failure),
    Scene("failure-long", walk=long_failure),
    Scene("choice-long", walk=long_choice),
    Scene("help", walk=dialog(HelpScreen, "question_mark")),
    Scene("palette", at("train", 13), dialog(PaletteScreen, "ctrl+p")),
    Scene("palette-found", at("train", 13), dialog(PaletteScreen, "ctrl+p", *"chat")),
)
BY_NAME: Final = {scene.name: scene for scene in SCENES}
assert len(BY_NAME) == len(SCENES)
