"""The Go TEMPLATE of every template, rendered by our own engine, against what the real LLaMA-Factory encodes.

`make parity` and tests/real do the same on real servers.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.parity.expression import Tokens, adds_bos, eos_of
from backend.parity.go_template import go_template
from backend.parity.gochat import GoChat
from backend.parity.template import Template, snapshot
from tests import ollamas
from tests.conversations import CASES, Call, Case, Turn
from tests.prompts import BOS, DATE, EOS, cases_of, modes_of, recorded

NAMES = sorted(snapshot().by_name)


def chat_of(template: Template, *, adds: bool | None = None) -> GoChat:
    adding = adds_bos(template) if adds is None else adds
    return GoChat(go_template(template, Tokens(BOS, eos_of(template, EOS), adding)).text)


def sent(chat: GoChat, case: Case, *, think: bool | None = None) -> str:
    request = cast("Any", case.request())
    text = chat.prompt(request["messages"], request.get("tools", []), think=think, version=ollamas.CURRENT)
    return text.replace(f"{dt.datetime.now():%d %b %Y}", DATE)  # noqa: DTZ005 - the local date, as in Ollama


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_what_llamafactory_encodes_without_the_bos_that_the_runner_adds(name: str) -> None:
    template = snapshot().get(name)
    chat = chat_of(template)
    for case in cases_of(template):
        for mode in modes_of(template):
            expected = recorded()[name][case.name][mode]
            if expected is not None:
                text = sent(chat, case, think=False if mode == "off" else None)
                assert text == (expected.removeprefix(BOS) if adds_bos(template) else expected), (case.name, mode)


@pytest.mark.parametrize("name", ["llama3", "llama2", "seed_coder"])
def test_bos_is_written_where_the_gguf_adds_none(name: str) -> None:
    chat = chat_of(snapshot().get(name), adds=False)
    assert sent(chat, CASES[3]) == recorded()[name][CASES[3].name]["on"]


def test_a_thinking_run_lets_ollama_see_its_words_and_one_without_lets_it_see_none() -> None:
    assert chat_of(snapshot().get("qwen3")).thinking_tags() == ("<think>", "</think>")
    assert "thinking" in chat_of(snapshot().get("qwen3")).abilities()
    silent = chat_of(snapshot().of_run("qwen3", enable_thinking=False))
    assert "thinking" not in silent.abilities()
    assert sent(silent, CASES[0]) == recorded()["qwen3"]["user"]["off"]


def test_calls_and_results_go_through_it_so_that_ollama_does_not_prefer_the_ggufs_template() -> None:
    assert all(chat_of(snapshot().get(name)).round_trips() for name in NAMES)


def test_an_answer_that_is_to_be_continued_stays_open() -> None:
    case = Case("", (Turn("user", "Count."), Turn("assistant", "One, two,", "Easy.")))
    assert sent(chat_of(snapshot().get("qwen3")), case).endswith("<think>\nEasy.\n</think>\n\nOne, two,")
    assert sent(chat_of(snapshot().get("chatml")), case).endswith("<|im_start|>assistant\nOne, two,")


def test_results_of_several_calls_are_one_observation_as_in_openais_form_of_a_data_set() -> None:
    case = Case("", (Turn("user", "?"), Turn("observation", "a"), Turn("observation", "b")), None, ())
    text = sent(chat_of(snapshot().get("qwen")), case)
    joined = "<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response><|im_end|>"
    assert text.endswith(f"{joined}\n<|im_start|>assistant\n")


@pytest.mark.parametrize("text", ["第一行\n第二行", "é < b", "世\u2028界", "\x01ü\t🦙"])
def test_arguments_of_any_letters_and_line_ends_are_written_as_llamafactory_writes_them(text: str) -> None:
    case = Case("", (Turn("user", "?"), Turn("assistant", calls=(Call("look", {"what": text}),)), Turn("user", "!")))
    written = json.dumps({"what": text}, ensure_ascii=False)
    assert f'{{"name": "look", "arguments": {written}}}' in sent(chat_of(snapshot().get("qwen")), case)


def test_a_byte_that_is_no_letter_reaches_the_runner_through_json() -> None:
    chat = GoChat("{{ range .Messages }}{{ slice .Content 0 2 }}{{ end }}")
    assert chat.prompt([{"role": "user", "content": "世"}], (), think=None, version=ollamas.CURRENT) == "\ufffd\ufffd"


REASONING = [name for name in NAMES if snapshot().get(name).kind == "reasoning"]
_MOST_PIECES = 12


@given(st.sampled_from(REASONING), st.data())
def test_thoughts_are_taken_from_an_answer_that_begins_with_one(name: str, data: st.DataObject) -> None:
    template = dataclasses.replace(snapshot().get(name), preserve_thinking=False)
    first, last = template.thought_words
    pieces = [first, last, first.strip(), last.strip(), "\n", " ", "世", "b\n", "<", "think>"]
    text = data.draw(st.sampled_from([first, f"\n{first}", ""]))
    text += "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=_MOST_PIECES)))
    left = text.lstrip("\n")
    if left.startswith(first):  # LLaMA-Factory's remove_thought
        left = re.sub(f"{re.escape(first)}(.*?){re.escape(last)}", "", text, flags=re.DOTALL).lstrip("\n")
    history = Case("", (Turn("user", "Q"), Turn("assistant", text), Turn("user", "R")))
    marked = dataclasses.replace(history, turns=(history.turns[0], Turn("assistant", "\0"), history.turns[2]))
    chat = chat_of(template)
    assert sent(chat, history) == sent(chat, marked).replace("\0", left)


@pytest.mark.parametrize("name", ["gemma4", "gemma4n"])
def test_a_tool_needs_no_parameters(name: str) -> None:
    tool = {"name": "now", "description": "Tell the time."}
    text = sent(chat_of(snapshot().get(name)), Case("", (Turn("user", "?"),), None, (tool,)))
    assert 'declaration:now{description:<|"|>Tell the time.<|"|>}<' in text


def test_the_default_system_text_is_there_when_nobody_says_one_and_for_an_empty_one() -> None:
    chat = chat_of(snapshot().of_run("chatml", default_system='Say "hi".\n'))
    for system in (None, ""):
        assert sent(chat, Case("", (Turn("user", "?"),), system)).startswith(
            '<|im_start|>system\nSay "hi".\n<|im_end|>'
        )
