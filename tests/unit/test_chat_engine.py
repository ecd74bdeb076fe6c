"""Conversations, and the engine that has an Ollama answer them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from backend.chat.engine import Answer, Finished, Text, Thinking, answer_whole
from backend.chat.ollama import OllamaEngine, messages
from backend.ollama.client import Client, Creation
from backend.ollama.failure import ModelMissingError, ServerDiedError
from data.chats import Conversation, Stats, Turn
from tests.support import program, wait_until

Start = Callable[[str], str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(mode: str) -> str:
        file = tmp_path / f"port{len(running)}"
        running.append(subprocess.Popen(program("ollama_stub.py", file, mode), stderr=subprocess.DEVNULL))
        return f"127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"

    yield begin
    for process in running:
        process.kill()
        process.wait()


async def engine(host: str, model: str = "m") -> OllamaEngine:
    async with Client(host) as client:
        async for _step in client.create(model, Creation(source="base")):
            pass

    async def locate() -> str:
        return host

    return OllamaEngine(locate)


def test_conversations_change_by_making_others() -> None:
    empty = Conversation("m", system="Be kind.")
    asked = empty.ask("Hi")
    answered = asked.with_turn(Turn("assistant", "Hello", thinking="Hmm."))
    assert empty.turns == ()
    assert answered.turns[:-1] == asked.turns
    assert messages(answered.ask("More?")) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "More?"},
    ]


@pytest.mark.parametrize(("system", "first"), [(None, "user"), ("", "system"), ("x", "system")])
def test_no_system_prompt_is_not_an_empty_one(system: str | None, first: str) -> None:
    assert messages(Conversation("m", system=system).ask("Hi"))[0]["role"] == first


def test_an_answer_is_partial_until_its_end() -> None:
    answer = Answer()
    for chunk in (Thinking("H"), Thinking("m"), Text("I"), Text(" am")):
        answer.add(chunk)
    assert answer.turn == Turn("assistant", "I am", thinking="Hm", is_partial=True)
    stats = Stats(answer_tokens=4, answer_s=2.0)
    answer.add(Finished(stats))
    assert answer.turn == Turn("assistant", "I am", thinking="Hm", stats=stats)
    assert stats.tokens_per_s == 2.0


async def test_the_whole_conversation_is_answered(start: Start) -> None:
    talk = Conversation("m", system="Be kind.", options={"top_k": 1}, think=True).ask("Hi")
    turn = await answer_whole(await engine(start("ok")), talk)
    assert turn.thinking == "Hmm."
    heard = json.loads(turn.text.removeprefix("I heard "))
    assert heard == {"messages": messages(talk), "options": {"top_k": 1}, "think": True}
    assert turn.stats is not None
    assert (turn.stats.prompt_tokens, turn.stats.ended_by, turn.is_partial) == (7, "stop", False)


async def test_a_stopped_answer_keeps_what_was_said(start: Start) -> None:
    answer = Answer()
    talker = await engine(start("slow"))
    async with aclosing(talker.answer(Conversation("m").ask("Talk"))) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
            if answer.turn.text.count("on") > 3:
                break
    assert answer.turn.is_partial
    assert answer.turn.text.startswith("on and on and")


async def test_failures_reach_the_screen_in_words(start: Start) -> None:
    with pytest.raises(ModelMissingError):
        await answer_whole(await engine(start("ok")), Conversation("other").ask("Hi"))


async def test_a_server_that_dies_while_it_answers(start: Start) -> None:
    host = start("dies-chat")
    with pytest.raises(ServerDiedError) as caught:
        await answer_whole(await engine(host), Conversation("m").ask("Hi"))
    assert "answering with m" in caught.value.title.english()
