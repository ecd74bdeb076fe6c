"""What is foretold without a server, against what two real lines of Ollama send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend.parity
from backend.ollama.blob import digest
from backend.ollama.client import Client, Creation
from backend.ollama.modelfile import make
from backend.parity import asked
from backend.parity.cases import Case, Turn, built_in
from backend.parity.predict import forecast
from tests import ollamas, oracle, tiny_gguf
from tests.ollamas import Running

pytestmark = [pytest.mark.real, pytest.mark.slow]

CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
OF_OLD = (
    "{{ if .System }}<<SYS>>{{ .System }}<</SYS>>{{ end }}{{ if .Prompt }}[INST] {{ .Prompt }} [/INST]{{ end }}"
    "{{ .Response }}</s>"
)
EVERYTHING = (
    "{{ if .Tools }}{{ .Tools }}{{ range .Tools }}[{{ .Function.Name }}|{{ json .Function.Parameters.Properties }}|"
    "{{ json . }}]{{ end }}{{ end }}{{ range $i, $m := .Messages }}<{{ .Role }}>{{ if .ToolCalls }}"
    "{{ range .ToolCalls }}{{ .Function.Name }}{{ .Function.Arguments }}{{ json . }}{{ end }}{{ else if .Thinking }}"
    "<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}{{ if .IsThinkSet }}T{{ .Think }}{{ end }}"
)
PARTS = (
    "{{ . }}",
    "{{ .Function }}",
    "{{ .Items }}{{ json .Function }}",
    "{{ .Function.Parameters }}",
    "{{ .Function.Parameters.Required }}{{ json .Function.Parameters.Required }}{{ .Function.Parameters.Defs }}",
    "{{ .Function.Parameters.Properties }}",
    "{{ range .Function.Parameters.Properties }}{{ if not .Properties }}{{ . }}{{ .Properties }}{{ end }}{{ end }}",
    "{{ range .Function.Parameters.Properties }}{{ json . }}{{ json .Type }}{{ .AnyOf }}{{ .Enum }}{{ end }}",
    "{{ range .Function.Parameters.Properties }}{{ range .Properties.ToMap }}{{ . }}{{ end }}{{ .Required }}{{ end }}",
)
PROPERTIES = {
    "c": {"type": "string", "description": "<C> & é", "enum": ["k", 1, None]},
    "a": {"type": ["string", "null"], "items": {"type": "object", "k": [{"z": 1e21}]}},
    "n": {"type": "object", "properties": {"y": {"type": "integer"}, "x": {"anyOf": [{"type": "null"}]}}},
    "e": {"type": "", "properties": {}, "items": {}, "enum": []},
    "w": {"type": None},
    "t": {"type": []},
    "u": {"anyOf": [{"type": "string"}, {"description": "d"}], "required": ["y"]},
}
TOOLS = (
    {"name": "f", "description": '<D> "q"', "parameters": {"type": "object", "properties": PROPERTIES}},
    {"name": "none"},
    {"name": "empty", "description": "", "parameters": {}},
    {"name": "no-properties", "parameters": {"type": "object", "properties": {}, "$defs": {}, "required": []}},
    {
        "name": "rest",
        "parameters": {
            "type": "object",
            "$defs": {"b": {"n": 1.5, "m": [1, True, None, "x"]}, "a": {}},
            "items": {"type": "string"},
            "required": ["c", "a"],
            "properties": {"c": {}},
        },
    },
)
OFFICIAL = ("meta-llama-Llama-3.1-8B-Instruct.jinja", "Qwen-Qwen3-0.6B.jinja", "microsoft-Phi-3.5-mini-instruct.jinja")
WITH_TOOLS = ("Qwen-Qwen3-0.6B.jinja", "Qwen-Qwen2.5-7B-Instruct.jinja", "GLM-4.6.jinja", "Kimi-K2-Instruct.jinja")
"""Kimi's lets lists grow and shrink"""
WITH_MARKS = "LFM2.5-8B-A1B.jinja"
"""Marks what a training learns"""
PRINTED = (
    "{% for t in tools %}{{ t }}{{ t | tojson }}{{ t.function.name + {'b': [1]} }}{% endfor %}"
    "{{ [1, 'x', none, [true]] }}{{ {'a': 1} }}{{ 'a' + 1 }}{{ 1.5 + 'a' }}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ m.tool_calls }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module", params=ollamas.VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ollamas.server(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running


def jinjas() -> dict[str, str | None]:
    """No template, official ones, and one that Ollama knows and writes a TEMPLATE of its own for."""
    folder = oracle.llama_cpp() / "models" / "templates"
    known = json.loads((Path(backend.parity.__path__[0]) / "known-templates.json").read_bytes())["known"]
    found: dict[str, str | None] = {"none": None}
    found |= {name: (folder / name).read_text(encoding="utf-8") for name in OFFICIAL}
    found["known"] = next(entry["jinja"] for entry in known if entry["name"] == "gemma3-instruct")
    return found


def test_every_prompt_and_refusal_is_foretold(server: Running, tmp_path: Path) -> None:
    vocabulary = tiny_gguf.Vocabulary.of_marks("<|begin_of_text|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>")

    async def compare() -> list[str]:
        wrong: list[str] = []
        async with Client(server.url) as client:
            for name, jinja in jinjas().items():
                gguf = tiny_gguf.write(tmp_path / f"{name}.gguf", vocabulary, add_bos=True, chat_template=jinja)
                blob = await digest(gguf)
                await client.upload(gguf, blob)
                for template in ("", CHATML, OF_OLD, EVERYTHING):
                    creation = Creation(files={gguf.name: blob}, template=template)
                    async for _step in client.create("model", creation):
                        pass
                    coming = forecast(gguf, make(str(gguf), template=template), server.version)
                    runner, served = await asked.runner_of(client, "model")
                    place = f"{name} {template[:20]!r} {coming.way}"
                    if (served.template, served.stops) != (coming.served.template, coming.served.stops):
                        wrong.append(f"{place}: template or stops")
                    for case in built_in(thinking=True):
                        real = await asked.send(client, "model", case, runner, counts=case.name == "unicode")
                        told = coming.send(case)
                        refused = (real.error is None) != (told.error is None)
                        counted = real.counted is not None and real.counted != len(told.ids)
                        if refused or counted or (real.ids, real.text) != (told.ids, told.text):
                            wrong.append(f"{place} {case.name}: {real.text!r} {told.text!r} {real.error} {told.error}")
        return wrong

    assert asyncio.run(compare()) == []


def test_every_tool_is_foretold_where_the_jinja_is_in_force(tmp_path: Path) -> None:
    vocabulary = tiny_gguf.Vocabulary.of_marks("<|im_start|>", "<|im_end|>")
    folder = oracle.llama_cpp() / "models" / "templates"
    official = {name: (folder / name).read_text(encoding="utf-8") for name in (*WITH_TOOLS, WITH_MARKS)}
    turns = (Turn("user", "q"), Turn("call", calls=(("f", {"b": [1, {"k": None}], "a": "x"}),)), Turn("result", "r"))
    cases = [Case(str(tool["name"]), turns, tools=(tool,)) for tool in TOOLS]

    async def compare() -> list[str]:
        wrong: list[str] = []
        with ollamas.server(ollamas.VERSIONS[-1], tmp_path / "store") as server:
            async with Client(server.url) as client:
                for name, jinja in {**official, "printed": PRINTED}.items():
                    gguf = tiny_gguf.write(tmp_path / "m.gguf", vocabulary, add_bos=True, chat_template=jinja)
                    blob = await digest(gguf)
                    await client.upload(gguf, blob)
                    async for _step in client.create("model", Creation(files={gguf.name: blob})):
                        pass
                    coming = forecast(gguf, make(str(gguf)), server.version)
                    runner, _served = await asked.runner_of(client, "model")
                    for case in cases:
                        if name == WITH_MARKS and case.name in ("none", "empty"):
                            continue  # its way of calls needs no properties
                        real = await asked.send(client, "model", case, runner, counts=False)
                        told = coming.send(case)
                        assert real.error is None or "the model with a TEMPLATE" in str(real.error.hint)
                        if (real.error is None, real.text) != (told.error is None, told.text):
                            wrong.append(f"{name} {case.name}: {real.text!r} {told.text!r} {real.error} {told.error}")
        return wrong

    assert asyncio.run(compare()) == []


def test_every_part_of_a_tool_is_foretold(server: Running, tmp_path: Path) -> None:
    gguf = tiny_gguf.write(tmp_path / "m.gguf", tiny_gguf.Vocabulary.of_marks("<|im_start|>"), add_bos=True)
    turns = (Turn("user", "q"), Turn("call", calls=(("f", {"b": [1, {"k": None}], "a": "x"}), ("g", {}))))
    cases = [Case(str(tool["name"]), (*turns, Turn("result", "r")), tools=(tool,)) for tool in TOOLS]

    async def compare() -> list[tuple[str, str, str, str]]:
        wrong: list[tuple[str, str, str, str]] = []
        async with Client(server.url) as client:
            blob = await digest(gguf)
            await client.upload(gguf, blob)
            for part in PARTS:
                template = f"{{{{ range .Tools }}}}{part}{{{{ end }}}}{{{{ range .Messages }}}}{{{{ . }}}}{{{{ end }}}}"
                async for _step in client.create("model", Creation(files={gguf.name: blob}, template=template)):
                    pass
                coming = forecast(gguf, make(str(gguf), template=template), server.version)
                runner, _served = await asked.runner_of(client, "model")
                for case in cases:
                    real = await asked.send(client, "model", case, runner, counts=False)
                    told = coming.send(case)
                    if real.error is not None or real.text != told.text:
                        wrong.append((part, case.name, real.text, told.text))
        return wrong

    assert asyncio.run(compare()) == []
