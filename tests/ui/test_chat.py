"""Chat against a real little server that speaks Ollama's protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.events import Key

from data.settings import Settings
from screens.chat.screen import ChatScreen
from screens.failure import FailureDialog
from screens.finder import Finder
from tests.support import program, wait_until
from tests.ui.conftest import Build
from tests.ui.driving import screen_of, screen_text, shows, until
from tests.ui.scenes import BY_NAME
from tui.app import PaddockApp
from tui.services import Services
from tui.widgets.editor import Editor
from tui.widgets.table import Table

WIDE = (100, 30)
Serve = Callable[[str], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server in a mode with one model; return its address."""
    with contextlib.ExitStack() as stack:

        def start(mode: str) -> str:
            place = tmp_path / f"port-{mode}"
            child = stack.enter_context(
                subprocess.Popen(program("ollama_stub.py", place, mode), stderr=subprocess.DEVNULL)
            )
            stack.callback(child.send_signal, signal.SIGKILL)
            port = wait_until(lambda: place.exists() and place.read_text().strip())
            host = f"http://127.0.0.1:{port}"
            if mode != "dies":
                post(host, "/api/create", {"model": "tiny", "files": {}})
            return host

        yield start


def post(host: str, path: str, body: dict[str, object]) -> bytes:
    request = urllib.request.Request(host + path, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        return answer.read()


def seen(host: str) -> list[str]:
    with urllib.request.urlopen(host + "/stub/seen", timeout=10) as answer:  # noqa: S310 - our own loopback
        return json.loads(answer.read())["seen"]


def services_for(build: Build, host: str) -> Services:
    return build(settings=Settings(ollama_host=host))


async def test_the_only_model_is_taken_and_its_reply_streams(build: Build, serve: Serve) -> None:
    app = PaddockApp(services_for(build, serve("ok")))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to tiny"))
        await pilot.press(*"hello", "ctrl+j", *"there", "enter")
        await until(pilot, shows(pilot, "you", "hello", "I heard", "2 tokens/s", "3 tokens"))

        await pilot.press("ctrl+y")
        copied = app.services.paths.cache / "copied" / "reply.txt"
        await until(pilot, copied.exists)
        assert json.loads(copied.read_text()[len("I heard ") :])["messages"] == [
            {"role": "user", "content": "hello\nthere"}
        ]
        await pilot.press("ctrl+l")
        await until(pilot, shows(pilot, "Say something to tiny"))


async def test_keys_that_come_all_at_once_are_sent_as_they_were_typed(build: Build, serve: Serve) -> None:
    app = PaddockApp(services_for(build, serve("ok")))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to tiny"))
        for key in ("a", "b", "ctrl+j", "c", "d", "enter", "e"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, shows(pilot, "I heard", "2 tokens/s"))
        await pilot.press("ctrl+y")
        copied = app.services.paths.cache / "copied" / "reply.txt"
        await until(pilot, copied.exists)
        assert json.loads(copied.read_text()[len("I heard ") :])["messages"] == [{"role": "user", "content": "ab\ncd"}]
        assert app.screen.query_one("#composer", Editor).text == "e"


async def test_a_reply_is_stopped_on_the_server_too_and_kept(build: Build, serve: Serve) -> None:
    host = serve("slow")
    app = PaddockApp(services_for(build, host))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to tiny"))
        await pilot.press(*"go", "enter")
        await until(pilot, shows(pilot, "on and on and"))
        await pilot.press("ctrl+c")
        await until(pilot, shows(pilot, "stopped"))
        await until(pilot, lambda: "chat stopped" in seen(host))
        assert "on and on and" in screen_text(app)


async def test_a_failure_is_said_in_the_turn_and_can_be_tried_again(build: Build, serve: Serve) -> None:
    app = PaddockApp(services_for(build, serve("error")))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to tiny"))
        await pilot.press(*"hi", "enter")
        await until(pilot, shows(pilot, "not finished", "signal: aborted", "ctrl+r Again"))
        await pilot.press("ctrl+r")
        await until(pilot, shows(pilot, "not finished", "signal: aborted"))
        assert screen_text(app).count("not finished") == 1


async def test_escape_leaves_chat_while_letters_are_text(build: Build, serve: Serve) -> None:
    app = PaddockApp(services_for(build, serve("ok")))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "Say something to tiny"))
        await pilot.press(*"q1?")
        await until(pilot, shows(pilot, "q1?"))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ChatScreen))


async def test_without_a_model_it_says_how_to_get_one(build: Build) -> None:
    app = PaddockApp(dataclasses.replace(build(), environ={"OLLAMA_HOST": "127.0.0.1:9", "PATH": "/usr/bin:/bin"}))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await pilot.press("3")
        await until(pilot, shows(pilot, "There is no model to talk with yet."))
        await pilot.press(*"hello", "enter")
        await until(pilot, shows(pilot, "Ollama has no model yet.", "hello"))


async def test_a_server_of_the_settings_that_does_not_answer_is_named(build: Build) -> None:
    app = PaddockApp(services_for(build, "http://127.0.0.1:9"))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        assert "http://127.0.0.1:9" in screen_text(app)


async def test_where_none_of_many_models_is_chosen_it_says_so(tmp_path: Path) -> None:
    scene = BY_NAME["chat-choose-many"]
    app = PaddockApp(scene.services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=WIDE) as pilot:
        await scene.walk(pilot, app)
        await pilot.press("escape")
        await until(pilot, shows(pilot, "No model is chosen yet.", "ctrl+o   chooses one"))


async def test_any_of_many_models_is_found_by_typing_and_the_present_one_is_kept(tmp_path: Path) -> None:
    scene = BY_NAME["chat-choose-many"]
    app = PaddockApp(scene.services(tmp_path / "home", threading.Event()))
    async with app.run_test(size=(80, 24)) as pilot:
        await scene.walk(pilot, app)
        table = screen_of(app, Finder).query_one("#found", Table)
        assert len(table.rows) == 40
        await pilot.press(*"sft 37")
        await until(pilot, lambda: len(table.rows) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: "37:q8_0" in screen_text(app) and isinstance(app.screen, ChatScreen))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, Finder))
        assert screen_of(app, Finder).query_one("#found", Table).cursor == 37
        await pilot.press("pageup", "escape")
        await until(pilot, lambda: "37:q8_0" in screen_text(app) and isinstance(app.screen, ChatScreen))
