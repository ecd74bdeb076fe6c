"""What Ollama does with templates, told without a server: which one is in force, and what it writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import backend.parity
from backend.gotemplate import TemplateError
from backend.ollama.modelfile import make, parse
from backend.parity.cases import Case, Turn, built_in
from backend.parity.gochat import GoChat
from backend.parity.jinjachat import CHATML, JinjaChat
from backend.parity.predict import forecast
from backend.parity.select import Way, is_current, jinja_abilities, known_for, way_of
from backend.parity.tokenizer import Runner
from data.errors import AppError
from tests import tiny_gguf
from tests.unit.test_parity_proof import vocabulary

OLD, NEW = "0.24.0", "0.32.7"
PLAIN = "{{ range .Messages }}{{ .Role }}:{{ .Content }};{{ end }}"
TOOLS = (
    "{{ .Tools }}{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}{{ .Function.Name }}"
    '{{ .Function.Arguments }}{{ end }}{{ else if eq .Role "tool" }}={{ .Content }}{{ else }}{{ .Content }}'
    "{{ end }}{{ end }}"
)
JINJA_TOOLS = "{% if tools %}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("version", "architecture", "go", "jinja", "way"),
    [
        (OLD, "llama", None, "", "raw"),
        (OLD, "llama", None, JINJA_TOOLS, "raw"),
        (OLD, "llama", PLAIN, JINJA_TOOLS, "go"),
        (NEW, "llama", None, "", "chatml"),
        (NEW, "llama", None, JINJA_TOOLS, "jinja"),
        (NEW, "llama", PLAIN, "{{ messages }}", "go"),
        (NEW, "llama", PLAIN, JINJA_TOOLS, "jinja"),
        (NEW, "llama", TOOLS, JINJA_TOOLS, "go"),
        (NEW, "llama", PLAIN, "<think></think>", "jinja"),
        (NEW, "gptoss", PLAIN + "<|start|><|end|>", JINJA_TOOLS, "go"),
        (NEW, "gemma4", PLAIN, JINJA_TOOLS, "renderer"),
        ("0.0.0", "llama", None, JINJA_TOOLS, "jinja"),
    ],
)
def test_the_way_that_ollama_takes(version: str, architecture: str, go: str | None, jinja: str, way: Way) -> None:
    assert way_of(version, architecture, GoChat(go) if go is not None else None, jinja) == way


def test_lines_and_abilities_are_told_by_version_and_words() -> None:
    assert [is_current(version) for version in ("0.11.5", "0.24.9", "0.30.0-rc1", "0.30.0", "0.0.0")] == [
        False, False, False, True, True
    ]  # fmt: skip
    assert jinja_abilities("tool_call <think> </think>") == {"tools", "thinking"}
    assert jinja_abilities("content.split('</think>')") == {"thinking"}
    assert jinja_abilities("content.split('</think>') reasoning_content") == frozenset()


@pytest.mark.slow
def test_every_known_template_is_found_by_its_own_jinja_and_by_one_that_differs_little() -> None:
    value = json.loads((Path(backend.parity.__path__[0]) / "known-templates.json").read_bytes())
    for entry in value["known"]:
        found = known_for(entry["jinja"])
        assert found is not None
        assert found.go == value["templates"][entry["name"]]["go"]
        near = known_for(entry["jinja"] + "{# a comment of some twenty letters #}")
        assert near is not None
        GoChat(found.go)
    assert known_for("x" * 3000) is None


def test_what_only_ollama_refuses_is_refused_and_what_is_used_is_known() -> None:
    with pytest.raises(TemplateError, match="mistake"):
        GoChat('{{ define "x" }}{{ end }}{{ template "x" }}')
    assert GoChat(TOOLS).abilities() == {"tools"}
    assert GoChat(TOOLS).round_trips()
    thinks = GoChat("{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}")
    assert thinks.thinking_tags() == ("<think>", "</think>")
    assert thinks.abilities() == {"thinking"}
    assert GoChat("{{ .Suffix }}{{ .Prompt }}").abilities() == {"insert"}


TALK = Case("talk", (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")), "S")


def test_a_template_of_the_old_kind_is_rendered_turn_by_turn() -> None:
    old = GoChat("{{ if .System }}<{{ .System }}>{{ end }}[{{ .Prompt }}]{{ .Response }}</s>")
    assert old.prompt(TALK.messages(), (), think=None, version=OLD) == "<S>[a]b</s>[c]"
    assert GoChat("{{ .Prompt }}").prompt(TALK.messages(), (), think=None, version=OLD) == "abc"


def test_neighbours_of_one_role_are_joined_and_tools_are_written_as_ollama_writes_them() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert GoChat(PLAIN).prompt(messages, (), think=None, version=NEW) == "user:a\n\nb;"
    case = next(case for case in built_in() if case.name == "tool-call")
    text = GoChat(TOOLS).prompt(case.messages(), case.functions(), think=None, version=NEW)
    assert text == (
        '[{"type":"function","function":{"name":"get_weather","description":"Return the weather of a city.",'
        '"parameters":{"type":"object","required":["city"],"properties":{"city":{"type":"string","description":'
        '"Name of the city."}}}}}]How is the weather in Oslo?get_weather{"city":"Oslo"}={"celsius": 4}'
    )


NESTED = {
    "type": "object",
    "$defs": {"b": {"n": 1.5}, "a": {}},
    "required": ["c"],
    "properties": {
        "c": {"type": "string", "description": "<C>", "enum": ["k", 1]},
        "a": {"type": ["string", "null"], "items": {}},
        "n": {"type": "object", "properties": {"y": {"type": "integer"}, "x": {}}},
        "e": {"properties": {}, "type": ""},
    },
}
PROPERTIES = (
    '{"a":{"type":["string","null"],"items":{}},"c":{"type":"string","description":"\\u003cC\\u003e","enum":["k",1]},'
    '"e":{"type":"","properties":{}},"n":{"type":"object","properties":{"y":{"type":"integer"},"x":{}}}}'
)
PARAMETERS = f"{{object map[a:map[] b:map[n:1.5]] <nil> [c] {PROPERTIES}}}"


@pytest.mark.parametrize(
    ("template", "function", "text"),
    [
        ("{{ .Function }}", {"name": "f", "description": "D", "parameters": NESTED}, f"{{f D {PARAMETERS}}}"),
        ("{{ .Function.Parameters }}", {"name": "f", "parameters": NESTED}, PARAMETERS),
        ("{{ .Function.Parameters.Properties }}", {"name": "f", "parameters": NESTED}, PROPERTIES),
        ("{{ .Function }}", {"name": "f"}, "{f  { <nil> <nil> [] {}}}"),
        (
            "{{ range .Function.Parameters.Properties }}{{ if not .Properties }}{{ . }}{{ end }}{{ end }}",
            {"name": "f", "parameters": NESTED},
            "{[] [string null] map[]  [] <nil> []}{[] string <nil> <C> [k 1] <nil> []}",
        ),
    ],
)
def test_parts_of_a_tool_are_printed_as_go_prints_them(template: str, function: dict[str, object], text: str) -> None:
    chat = GoChat(f"{{{{ range .Tools }}}}{template}{{{{ end }}}}{{{{ if .Messages }}}}{{{{ end }}}}")
    tools = [{"type": "function", "function": function}]
    assert {chat.prompt(TALK.messages(), tools, think=None, version=one) for one in (OLD, NEW)} == {text}


def test_a_whole_tool_is_json_in_the_new_line_only() -> None:
    chat = GoChat("{{ range .Tools }}{{ . }}{{ end }}{{ if .Messages }}{{ end }}")
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chat.prompt(TALK.messages(), tools, think=None, version=OLD) == "{function <nil> {f  { <nil> <nil> [] {}}}}"
    code = '{"type":"function","function":{"name":"f","description":"","parameters":{"type":"","properties":null}}}'
    assert chat.prompt(TALK.messages(), tools, think=None, version=NEW) == code


def test_a_whole_message_and_its_calls_are_printed_as_go_prints_them() -> None:
    chat = GoChat("{{ range .Messages }}{{ . }}{{ .Images }}{{ end }}")
    turns = (Turn("user", "q"), Turn("call", calls=(("f", {"b": 1}),)))
    text = chat.prompt(Case("", turns).messages(), (), think=None, version=NEW)
    assert text == '{user q  [] []  }[]{assistant   [] [{ {0 f {"b":1}}}]  }[]'


def test_llama_cpps_own_ways_with_jinja() -> None:
    made = vocabulary()
    chatml = JinjaChat(CHATML, made, adds_bos=True).prompt(TALK.messages()[:2], (), think=None)
    assert chatml == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    bos = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    assert JinjaChat(bos, made, adds_bos=True).prompt([{"role": "user", "content": "a"}], (), think=None) == "a"
    assert JinjaChat(bos, made, adds_bos=False).prompt([{"role": "user", "content": "a"}], (), think=None) == "<s>a"
    no_system = "{% for m in messages if m.role != 'system' %}{{ m.content }}|{% endfor %}"
    assert JinjaChat(no_system, made, adds_bos=False).prompt(TALK.messages()[:2], (), think=None) == "S\na|"
    with pytest.raises(AppError, match="cannot be read"):
        JinjaChat("{% if %}", made, adds_bos=False)
    with pytest.raises(AppError, match="refuses"):
        JinjaChat("{{ raise_exception('no') }}", made, adds_bos=False).prompt(TALK.messages(), (), think=None)
    with pytest.raises(AppError, match="refuses"):  # a stranger's template reaches nothing of Python
        JinjaChat("{{ ''.__class__.__mro__ }}", made, adds_bos=False).prompt(TALK.messages(), (), think=None)


def test_jinja_takes_nothing_for_an_empty_text_and_calls_without_ids_as_llama_cpp_does() -> None:
    calls = (
        "{% for call in messages[1].tool_calls %}{{ call.get('id') == messages[2].get('tool_call_id') }}{% endfor %}"
    )
    source = "{{ 'a' + none + missing + 'b' }}{{ none }}{{ messages[2].name }}|" + calls
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]},
        {"role": "tool", "content": "seen", "tool_name": "look"},
    ]
    assert JinjaChat(source, vocabulary(), adds_bos=False).prompt(messages, (), think=None) == "ablook|True"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ [1, 'x', none, [true]] }}|{{ {'a': 1} }}|{{ [1] | map('string') }}", "1xTrue||1"),
        ("{{ 'a' + 1 }}|{{ 1.5 + 'a' }}|{{ 'a' + {'b': [1]} }}|{{ 'a' ~ [none] }}", "a1|1.5a|a{'b': [1]}|a[None]"),
        ("a{% generation %}b{{ 1 }}{% endgeneration %}c", "ab1c"),
        ("{% set a = [1] %}{% set _ = a.append(2) %}{{ a.pop() }}{{ a | map('string') | tojson }}", '2["1"]'),
    ],
)
def test_jinja_writes_values_and_marks_as_llama_cpp_does(source: str, text: str) -> None:
    assert JinjaChat(source, vocabulary(), adds_bos=False).prompt([], (), think=None) == text


def test_a_list_that_grows_without_an_end_is_refused() -> None:
    endless = JinjaChat(
        "{% set a = [1] %}{% for b in a %}{% set _ = a.append(b) %}{% endfor %}", vocabulary(), adds_bos=False
    )
    with pytest.raises(AppError, match="refuses"):
        endless.prompt([], (), think=None)


def test_a_tool_without_properties_is_refused_where_jinja_is_in_force() -> None:
    chat = JinjaChat("{{ tools | tojson }}", vocabulary(), adds_bos=False)

    def prompt(**parameters: object) -> str:
        function = {"name": "now", "parameters": {"type": "object", **parameters}}
        return chat.prompt([], [{"type": "function", "function": function}], think=None)

    with pytest.raises(AppError, match="without properties") as raised:
        prompt()
    assert "now" in str(raised.value)
    assert prompt(properties={}) == (
        '[{"type": "function", "function": {"name": "now", "description": "", '
        '"parameters": {"type": "object", "properties": {}}}}]'
    )


def test_a_line_that_does_not_know_how_a_vocabulary_is_cut_takes_its_default() -> None:
    made = dataclasses.replace(
        vocabulary(pre="qwen35", add_bos=False),
        tokens=(*vocabulary().tokens, "ĠĠ", "ĠĠĠ"),
        types=(*vocabulary().types, 1, 1),
        merges=("Ġ Ġ", "ĠĠ Ġ"),
    )
    old, new = Runner(made, OLD), Runner(made, NEW)
    assert old.cuts_otherwise
    assert not new.cuts_otherwise
    assert old.encode("12") == new.encode("12")
    assert old.encode("a   +") != new.encode("a   +") or old.encode("x'S") != new.encode("x'S")
    assert not Runner(dataclasses.replace(made, architecture="qwen35"), OLD).cuts_otherwise  # by Ollama's own engine


def test_a_forecast_of_a_file_has_the_system_prompt_the_stops_and_the_room_of_its_modelfile(tmp_path: Path) -> None:
    tokens = tiny_gguf.Vocabulary.of_bytes()
    tokens.bos = tokens.number("<s>")
    gguf = tiny_gguf.write(tmp_path / "m.gguf", tokens, add_bos=True)
    modelfile = make(str(gguf), template=PLAIN, system="Be brief.", parameters={"stop": ["x"], "num_ctx": 512})
    coming = forecast(gguf, modelfile, NEW)
    sent = coming.send(dataclasses.replace(TALK, system="", turns=TALK.turns[:1]))
    assert sent.text == "<s>system:Be brief.;user:a;"
    assert sent.ids[0] == tokens.bos
    assert (coming.served.stops, coming.served.context, coming.way) == (("x",), 512, "go")
    refused = coming.send(next(case for case in built_in() if case.name == "tools"))
    assert refused.error is not None
    assert "does not support tools" in str(refused.error.detail)


def test_what_a_renderer_writes_cannot_be_foretold(tmp_path: Path) -> None:
    gguf = tiny_gguf.write(tmp_path / "m.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=False)
    coming = forecast(gguf, parse(f'FROM {gguf}\nTEMPLATE "{PLAIN}"\nRENDERER qwen3-coder\n'), NEW)
    assert coming.way == "renderer"
    with pytest.raises(AppError, match="RENDERER qwen3-coder"):
        coming.send(TALK)


def test_a_forecast_gives_no_more_room_than_the_model_has(tmp_path: Path) -> None:
    gguf = tiny_gguf.write(tmp_path / "m.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=False)
    served = forecast(gguf, make(str(gguf), parameters={"num_ctx": 9000}), NEW).served
    assert (served.context, served.limit) == (8192, 8192)
