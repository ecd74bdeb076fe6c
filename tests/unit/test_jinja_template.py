"""The chat template of the GGUF, rendered as transformers does it, against what the real LLaMA-Factory encodes."""

from __future__ import annotations

import dataclasses
import functools
import json
import re

import jinja2
import jinja2.ext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backend.parity.expression import Tokens, adds_bos, eos_of
from backend.parity.jinja_template import jinja_template
from backend.parity.template import Template, snapshot
from tests.conversations import CASES, Call, Case, Turn
from tests.prompts import BOS, DATE, EOS, cases_of, modes_of, recorded

NAMES = sorted(snapshot().by_name)


def _tojson(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _environment() -> ImmutableSandboxedEnvironment:
    """Return transformers' own settings (``utils/chat_template_utils.py``)."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals.update(strftime_now=lambda _form: DATE)  # pyright: ignore[reportCallIssue, reportArgumentType] - any
    return made


ENVIRONMENT = _environment()


@functools.cache
def compiled(template: Template) -> jinja2.Template:
    tokens = Tokens(BOS, eos_of(template, EOS), adds_bos(template))
    return ENVIRONMENT.from_string(jinja_template(template, tokens))


def render(template: Template, case: Case, **values: object) -> str:
    return compiled(template).render({**case.request(), **values})


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_what_llamafactory_encodes(name: str) -> None:
    template = snapshot().get(name)
    for case in cases_of(template):
        for mode in modes_of(template):
            expected = recorded()[name][case.name][mode]
            values = {"enable_thinking": False} if mode == "off" else {}
            if expected is not None:
                assert render(template, case, **values) == expected, (case.name, mode)


def test_a_run_without_thinking_always_has_the_empty_thought_and_shows_ollama_no_thinking() -> None:
    template = snapshot().of_run("qwen3", enable_thinking=False)
    assert render(template, CASES[0]) == recorded()["qwen3"]["user"]["off"]
    text = jinja_template(template, Tokens(None, "<|im_end|>", adds_bos=False))
    assert "<think>" not in text
    assert "</think>" not in text


def test_thoughts_inside_the_text_are_taken_from_the_history_as_llamafactory_takes_them() -> None:
    case = Case("", (Turn("user", "a"), Turn("assistant", "<think>\nhm\n</think>\n\nb"), Turn("user", "c")))
    assert "hm" not in render(snapshot().get("qwen3"), case)
    kept = snapshot().of_run("qwen3", preserve_thinking=True)
    assert "<think>\nhm\n</think>\n\nb" in render(kept, case)


REASONING = [name for name in NAMES if snapshot().get(name).kind == "reasoning"]
_MOST_PIECES = 12


@given(st.sampled_from(REASONING), st.data())
def test_thoughts_are_taken_from_the_history_one_by_one(name: str, data: st.DataObject) -> None:
    template = dataclasses.replace(snapshot().get(name), preserve_thinking=False)
    first, last = template.thought_words
    pieces = [first, last, first.strip(), last.strip(), "\n", " ", "a", "b\n", "<", "think>"]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=_MOST_PIECES)))
    history = Case("", (Turn("user", "Q"), Turn("assistant", text), Turn("user", "R")))
    pattern = re.compile(f"{re.escape(first)}(.*?){re.escape(last)}", re.DOTALL)
    left = re.sub(pattern, "", text).lstrip("\n")  # LLaMA-Factory's remove_thought
    marked = dataclasses.replace(history, turns=(history.turns[0], Turn("assistant", "\0"), history.turns[2]))
    assert render(template, history) == render(template, marked).replace("\0", left)


@pytest.mark.parametrize("name", ["gemma4", "gemma4n"])
def test_a_tool_needs_no_parameters(name: str) -> None:
    template, tool = snapshot().get(name), {"name": "now", "description": "Tell the time."}
    declared = 'declaration:now{description:<|"|>Tell the time.<|"|>}'
    case = Case("", (Turn("user", "?"),), None, (tool,))
    assert declared in render(template, case)
    behind_ollama = {"type": "function", "function": {**tool, "parameters": {"type": "", "properties": {}}}}
    assert declared in compiled(template).render({**case.request(), "tools": [behind_ollama]})
    empty = Case("", case.turns, None, ({**tool, "parameters": {"properties": {}}},))
    assert declared[:-1] + ",parameters:{}}" in render(template, empty)


def test_what_a_schema_has_beside_the_usual_keys_is_kept_behind_them() -> None:
    tool = {
        "name": "f",
        "strict": True,
        "parameters": {
            "required": ["a"],
            "properties": {"a": {"default": [1, {}], "type": "string"}},
            "type": "object",
        },
    }
    text = render(snapshot().get("qwen"), Case("", (Turn("user", "?"),), None, (tool,)))
    schema = '{"type": "object", "properties": {"a": {"type": "string", "default": [1, {}]}}, "required": ["a"]}'
    assert f'{{"name": "f", "parameters": {schema}, "strict": true}}' in text


def test_arguments_that_come_as_text_are_written_as_they_are() -> None:
    case = dataclasses.replace(CASES[0], turns=(Turn("user", "?"), Turn("assistant", calls=(Call("f", {}),))))
    request = case.request()
    messages = request["messages"]
    assert isinstance(messages, list)
    messages[1]["tool_calls"][0]["function"]["arguments"] = '{"a":1}'
    assert '"arguments": {"a":1}}' in compiled(snapshot().get("qwen")).render(request)
