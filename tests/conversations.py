"""Conversations by which a template is tried: as LLaMA-Factory's data sets have them, and as Ollama is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.parity import cases

Json = Mapping[str, object]
WEATHER: Json = {
    "name": "get_weather",
    "description": 'Tell the weather of a city: <now> & "later".',
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city, e.g. São Paulo"},
            "days": {"type": "integer", "description": "How many days"},
            "unit": {"type": "string", "description": "Which scale", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
}
ROUTE: Json = {
    "name": "find_route",
    "description": "Find a way 找路",
    "parameters": {
        "type": "object",
        "properties": {
            "by": {
                "type": "object",
                "description": "How to travel",
                "properties": {"bus": {"type": "boolean", "description": "By bus"}},
            },
            "stops": {"type": "array", "description": "Where to stop", "items": {"type": "string"}},
        },
    },
}
TOOLS = (WEATHER, ROUTE)


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: Json


@dataclass(frozen=True)
class Turn:
    """One turn; an assistant's may have thoughts, or calls instead of a text."""

    role: str
    """user, assistant, observation"""
    content: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Case:
    """One conversation up to the turn that the model has to make."""

    name: str
    turns: tuple[Turn, ...]
    system: str | None = None
    tools: tuple[Json, ...] = ()

    @property
    def has_thoughts(self) -> bool:
        """Thoughts in the history: only templates for reasoning know them."""
        return any(turn.thinking for turn in self.turns)

    def training(self, thought_words: Sequence[str]) -> dict[str, object]:
        """Return ``{messages, system, tools}`` with LLaMA-Factory's roles, texts and JSON."""
        messages: list[dict[str, str]] = []
        for turn in self.turns:
            role, content = turn.role, turn.content
            if turn.calls:
                role = "function"
                calls = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
                content = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)
            if turn.thinking:
                content = f"{thought_words[0]}{turn.thinking}{thought_words[1]}{content}"
            messages.append({"role": role, "content": content})
        tools = json.dumps(list(self.tools), ensure_ascii=False) if self.tools else None
        return {"messages": messages, "system": self.system, "tools": tools}

    def request(self) -> dict[str, object]:
        """Return ``{messages, tools}`` as Ollama's chat takes them."""
        messages: list[dict[str, object]] = []
        if self.system is not None:
            messages.append({"role": "system", "content": self.system})
        for turn in self.turns:
            message: dict[str, object] = {"role": "tool" if turn.role == "observation" else turn.role}
            message["content"] = turn.content
            if turn.thinking:
                message["thinking"] = turn.thinking
            if turn.calls:
                message["tool_calls"] = [
                    {"function": {"name": call.name, "arguments": call.arguments}} for call in turn.calls
                ]
            messages.append(message)
        tools = [{"type": "function", "function": tool} for tool in self.tools]
        return {"messages": messages, **({"tools": tools} if tools else {})}

    def proof(self, mode: str) -> cases.Case:
        """Return the conversation as ``paddock verify`` has it; ``mode`` is on or off (thinking)."""
        roles: dict[str, cases.Role] = {"user": "user", "assistant": "assistant", "observation": "result"}
        turns = tuple(
            cases.Turn(
                "call" if turn.calls else roles[turn.role],
                turn.content,
                turn.thinking,
                tuple((call.name, call.arguments) for call in turn.calls),
            )
            for turn in self.turns
        )
        return cases.Case(self.name, turns, self.system or "", self.tools, False if mode == "off" else None)


def _user(text: str) -> Turn:
    return Turn("user", text)


def _answer(text: str, thinking: str = "") -> Turn:
    return Turn("assistant", text, thinking)


_SYSTEM = "You are a pirate. Answer in one line."
_TURNS = (
    _user("Who are you?"),
    _answer("Arr, a pirate."),
    _user("And your ship?"),
    _answer("The Pearl."),
    _user("Why?"),
)
_CALLED = (
    _user("What is the weather in São Paulo?"),
    Turn("assistant", calls=(Call("get_weather", {"city": "São Paulo", "days": 2, "unit": "celsius"}),)),
    Turn("observation", '{"sky": "clear", "wind": "<5 km/h & falling"}'),
)
_ODD = {
    "by": {"bus": True, "fast": None, "max": 2.5},
    "notes": 'line 1\nline 2\t"quoted" <b>&\'\\',
    "stops": ["Zürich", "東京", "a<b"],
}

CASES = (
    Case("user", (_user("Who are you?"),)),
    Case("system", (_user("Who are you?"),), _SYSTEM),
    Case("turns", _TURNS),
    Case("system, turns", _TURNS, _SYSTEM),
    Case(
        "unicode",
        (_user("你好，wie geht's? 😀👩‍👩‍👧 é́"), _answer("Très bien — 好的。"), _user("עברית ไทย")),
        "用中文回答。",
    ),
    Case(
        "blanks",
        (_user("  indented\n\n\tcode  \n"), _answer(" an answer \n"), _user("\n\nagain ")),
        "\n Keep my blanks. \n",
    ),
    Case("empty answer", (_user("Say nothing."), _answer(""), _user("Thanks."))),
    Case("braces", (_user("{{ .Content }} {% if x %} {{content}} }}{{"), _answer("{{ 1 }}"), _user("{")), "Use {{x}}."),
    Case("tools", (_user("What is the weather?"),), None, TOOLS),
    Case("system, tools", (_user("What is the weather?"),), _SYSTEM, TOOLS),
    Case("call", _CALLED, None, TOOLS),
    Case("call, answer", (*_CALLED, _answer("It is clear."), _user("And tomorrow?")), _SYSTEM, TOOLS),
    Case(
        "odd arguments",
        (_user("Go."), Turn("assistant", calls=(Call("find_route", _ODD),)), Turn("observation", "ok\n")),
        None,
        TOOLS,
    ),
    Case(
        "two calls",
        (
            _user("Compare."),
            Turn("assistant", calls=(Call("get_weather", {"city": "Oslo"}), Call("find_route", {"stops": []}))),
            Turn("observation", "rain"),
        ),
        None,
        TOOLS,
    ),
    Case("thoughts", (_user("2+2?"), _answer("4", "Two and two\nare four."), _user("Sure?")), _SYSTEM),
)
