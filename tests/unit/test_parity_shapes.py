"""What is found in a template and in its tool format, before any language is written."""

from __future__ import annotations

import dataclasses

import pytest

from backend.parity.expression import InexpressibleError, Tokens, check, eos_of, parts, starts_with_bos, tools_of
from backend.parity.stops import end_of_turn, stops
from backend.parity.template import snapshot
from backend.parity.toolshape import CALLS, call_shape, tool_shape, write_calls, write_tools
from data.i18n import Message

FORMATS = snapshot().formats
TOKENS = Tokens("<s>", "</s>", adds_bos=True)


@pytest.mark.parametrize("name", FORMATS)
def test_the_way_of_every_tool_format_is_found_in_its_probes(name: str) -> None:
    form = FORMATS[name]
    tools, calls = tool_shape(form), call_shape(form)
    assert tools is not None
    assert calls is not None
    assert [write_tools(tools, 1), write_tools(tools, 2)] == list(form.tools)
    assert write_calls(calls, CALLS[0]) == form.calls[0]


def test_a_format_that_writes_otherwise_is_refused_whatever_its_name() -> None:
    form = dataclasses.replace(FORMATS["qwen"], tools=("a list: probe_alpha", "a list: probe_alpha probe_beta"))
    assert tool_shape(form) is None
    assert call_shape(dataclasses.replace(form, calls=("probe_alpha(Oslo)", "", ""))) is None
    template = dataclasses.replace(snapshot().get("qwen"), tool_format=form)
    assert isinstance(tools_of(template, TOKENS), Message)


def test_parts_are_the_texts_around_the_content_with_the_tokens_in_them() -> None:
    assert parts(snapshot().get("default").user, TOKENS) == ["Human: ", "</s>\nAssistant:"]
    assert parts(snapshot().get("chatglm3").user, TOKENS) == ["<|user|>\n", "<|assistant|>"]
    assert parts(snapshot().get("llama2").user, Tokens(None, None, adds_bos=False)) == ["[INST] ", " [/INST]"]


@pytest.mark.parametrize(
    ("name", "where"),
    [("llama3", "prefix"), ("llama2", "turn"), ("seed_coder", "turn"), ("chatml", ""), ("hunyuan", ""), ("olmo", "")],
)
def test_bos_in_front_is_found_in_the_prefix_or_in_the_first_turn(name: str, where: str) -> None:
    assert starts_with_bos(snapshot().get(name)) == where


def test_eos_is_the_first_stop_word_where_training_replaces_it() -> None:
    assert eos_of(snapshot().get("llama3"), "<|end_of_text|>") == "<|eot_id|>"
    assert eos_of(snapshot().get("yi"), "<|endoftext|>") == "<|endoftext|>"
    assert eos_of(snapshot().get("yi"), None) == "<|endoftext|>"


def test_a_stop_word_that_ends_answers_beside_eos_is_the_end_of_turn() -> None:
    yi, llama3 = snapshot().get("yi"), snapshot().get("llama3")
    assert end_of_turn(yi, TOKENS) == "<|im_end|>"
    assert end_of_turn(llama3, Tokens(None, "<|eot_id|>", adds_bos=True)) is None
    assert end_of_turn(snapshot().get("vicuna"), TOKENS) is None
    assert stops(yi, TOKENS) == ("</s>", "<|im_end|>")
    assert stops(llama3, Tokens(None, "<|eot_id|>", adds_bos=True)) == ("<|eot_id|>", "<|eom_id|>")


def test_a_class_or_a_placeholder_of_somebodys_own_is_refused_with_the_reason() -> None:
    own = dataclasses.replace(snapshot().get("chatml"), cls="MyTemplate", kind="other")
    with pytest.raises(InexpressibleError) as caught:
        check(own)
    assert "MyTemplate" in str(caught.value.detail)
    with pytest.raises(InexpressibleError) as caught:
        check(dataclasses.replace(snapshot().get("chatml"), user=("[{{idx}}] {{content}}",)))
    assert "{{idx}}" in str(caught.value.detail)
