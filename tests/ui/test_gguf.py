"""The viewer of GGUFs by keys: what it lists, a whole value, a search; and files that are none, or mean harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.convert.converter import convert
from screens.failure import FailureDialog
from screens.gguf.screen import GgufScreen
from screens.gguf.value import ValueScreen
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, shows, until
from tests.unit.model_folder import write_model
from tests.unit.test_hostile import ARRAY, GPT2, MODEL, STRING, array, gguf, key, text
from tui.app import PaddockApp
from tui.services import Services

pytestmark = pytest.mark.slow

WIDE, NARROW = (140, 40), (80, 24)
TEMPLATE = "{% for message in messages %}\n    {{ message['content'] }}\n{% endfor %}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_model(tmp_path / "ws" / "model")
    convert(tmp_path / "ws" / "model", tmp_path / "ws" / "a.gguf", outtype="q8_0", chat_template=TEMPLATE)
    return tmp_path / "ws" / "a.gguf"


def services(build: Build, workspace: Path) -> Services:
    made = build()
    made.workspace = workspace
    return made


async def test_a_path_from_the_palette_is_shown_and_a_value_read_whole(build: Build, file: Path) -> None:
    app = PaddockApp(services(build, file.parent))
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("ctrl+p", *"look into", "enter")
        await until(pilot, shows(pilot, "Path of a GGUF"))
        await pilot.press(*"a.gguf", "enter")
        await until(pilot, lambda: isinstance(app.screen, GgufScreen))
        await until(pilot, shows(pilot, "Summary", "Q8_0", "agrees with itself."))
        await pilot.press("slash")
        await pilot.press(*"chat_template", "enter")
        await until(pilot, shows(pilot, "tokenizer.chat_template  string", "    {{ message['content'] }}"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ValueScreen))
        await until(pilot, shows(pilot, "    {{ message['content'] }}", "{% endfor %}", "3 lines"))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, GgufScreen))
        await pilot.press("g", "slash", *"ggml.tokens", "enter", "enter")
        await until(pilot, shows(pilot, "260 lines", "  0  "))
        await pilot.press("G")
        await until(pilot, shows(pilot, "259  "))


async def test_the_gguf_of_a_conversion_is_opened_from_run(build: Build, make: folders.Stable, file: Path) -> None:
    make.workspace = str(file.parent)
    job = make.job("convert", "a.gguf", ago_s=80).start()
    job.event("artifact", path="a.gguf", what="gguf", bytes=47_000).end()
    app = PaddockApp(services(build, file.parent))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "a.gguf"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "v Look inside"))
        await pilot.press("v")
        await until(pilot, shows(pilot, "llama.block_count", "tokenizer.ggml.model"))


async def test_what_a_file_says_is_shown_and_not_obeyed(build: Build, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202egpj\nnext"
    keys = [
        MODEL,
        GPT2,
        key(evil, STRING, text(evil)),
        key("tokenizer.ggml.tokens", ARRAY, array(STRING, 1, text(evil))),
    ]
    (tmp_path / "evil.gguf").write_bytes(gguf(keys))
    app = PaddockApp(services(build, tmp_path))
    async with app.run_test(size=WIDE) as pilot:
        await app.open_gguf("evil.gguf")
        await until(pilot, shows(pilot, "␛]0;owned␇", "Problems", "tensors.none"))
        assert not {"\x1b", "\u202e"} & set(screen_text(app))


@pytest.mark.parametrize(
    "content", [b"", b"no GGUF at all, but long enough to be one", b"GGUF\x03\0\0\0" + b"\xff" * 40]
)
async def test_what_is_no_gguf_is_refused_in_words(build: Build, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    app = PaddockApp(services(build, tmp_path))
    async with app.run_test(size=NARROW) as pilot:
        await app.open_gguf("x.gguf")
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "This file cannot be shown."))
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, GgufScreen))
