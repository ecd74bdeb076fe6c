"""The conversations by which a model is proven: built in, or a person's own first rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from backend.parity.expression import OBSERVATIONS
from backend.parity.rowfile import Json, check, inner_json, read_rows, reason, unusable
from data.i18n import _

Role = Literal["user", "assistant", "call", "result"]
_ANSWER: Final = "Yes."


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; a ``call`` asks for ``calls``, a ``result`` answers one."""

    role: Role
    text: str = ""
    thinking: str = ""
    """Thoughts of an assistant before the text"""
    calls: tuple[tuple[str, Json], ...] = ()
    """Names and arguments"""


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation that ends where the model has to answer."""

    name: str
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Json, ...] = field(default=(), repr=False)
    """Functions: ``{name, description, parameters}``"""
    thinking: bool | None = None
    """None: as the run was trained, and as a client that says nothing gets it"""

    def messages(self) -> list[dict[str, object]]:
        """Return what is sent to Ollama's ``/api/chat``."""
        found: list[dict[str, object]] = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            match turn.role:
                case "call":
                    calls = [{"function": {"name": name, "arguments": dict(values)}} for name, values in turn.calls]
                    found.append({"role": "assistant", "content": turn.text, "tool_calls": calls})
                case "result":
                    found.append({"role": "tool", "content": turn.text})
                case role:
                    found.append({"role": role, "content": turn.text})
            if turn.thinking:
                found[-1]["thinking"] = turn.thinking
        return found

    def functions(self) -> list[dict[str, object]]:
        """Return the tools as Ollama takes them."""
        return [{"type": "function", "function": dict(tool)} for tool in self.tools]

    def training(self) -> dict[str, object]:
        """Return the row that LLaMA-Factory encodes: its own roles, and an answer behind the prompt."""
        roles = {"call": "function", "result": "observation"}
        rows: list[dict[str, str]] = []
        for turn in self.turns:
            role = roles.get(turn.role, turn.role)
            if rows and role == rows[-1]["role"] == "observation":
                rows[-1]["content"] += OBSERVATIONS + turn.text
                continue
            rows.append({"role": role, "content": _calls(turn) if turn.role == "call" else turn.text})
            if turn.thinking:
                rows[-1]["thinking"] = turn.thinking
        return {
            "messages": [*rows, {"role": "assistant", "content": _ANSWER}],
            "system": self.system,
            "tools": json.dumps(list(self.tools), ensure_ascii=False) if self.tools else "",
            "thinking": self.thinking,
        }


def _calls(turn: Turn) -> str:
    return json.dumps([{"name": name, "arguments": dict(values)} for name, values in turn.calls], ensure_ascii=False)


def _talk(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))


_TOOL: Final[Json] = {
    "name": "get_weather",
    "description": "Return the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
        "required": ["city"],
    },
}
COUNTED: Final = frozenset({"user", "system-turns", "unicode", "tools", "thinking-off"})
"""The conversations among ``built_in`` whose tokens a proof lets the server count: one of each shape"""
_SYSTEM: Final = "You are a careful assistant."
_TALK: Final = _talk("Who are you?", "I am a model.", "What can you do?", "I can answer.", "Then tell me more.")
_THOUGHTFUL: Final = (
    Turn("user", "How many legs have two spiders?"),
    Turn("assistant", "Sixteen.", "A spider has eight legs,\nso two have sixteen."),
    Turn("user", "And three?"),
)
_CALLED: Final = (
    Turn("user", "How is the weather in Oslo?"),
    Turn("call", calls=(("get_weather", {"city": "Oslo"}),)),
    Turn("result", '{"celsius": 4}'),
)


def built_in(*, tools: bool = True, thinking: bool = False) -> tuple[Case, ...]:
    """Return the conversations of every proof; ``tools`` and ``thinking`` add those of templates that know them."""
    found = [
        Case("user", _talk("Who are you?")),
        Case("system", _talk("Who are you?"), _SYSTEM),
        Case("turns", _TALK),
        Case("system-turns", _TALK, _SYSTEM),
        Case(
            "unicode",
            _talk("Grüß dich, 世界! 🦙 Здравствуй", "你好，我是模型。", "Ça va ? e\u0301 ﬁ"),
            "Réponds en français 🙂",
        ),
        Case(
            "blanks",
            _talk("  two before, two behind  ", " one before, a line behind\n", "\n\nlines and a tab\t"),
            " s ",
        ),
        Case(
            "lines", _talk("def f(x):\n    return x  # <b>&amp;</b>\n\n", "```\n{{ x }}\n```", "'quoted' \"twice\" \\n")
        ),
    ]
    if tools:
        found += [
            Case("tools", _talk("How is the weather in Oslo?"), tools=(_TOOL,)),
            Case("system-tools", _talk("How is the weather in Oslo?"), _SYSTEM, (_TOOL,)),
            Case("tool-call", _CALLED, tools=(_TOOL,)),
        ]
    if thinking:
        found += [
            Case("thinking-off", _talk("Who are you?"), thinking=False),
            Case("thinking-off-turns", _TALK, _SYSTEM, thinking=False),
            Case("thinking-turns", _THOUGHTFUL, _SYSTEM),  # the run says whether thoughts stay in the history
        ]
    return tuple(found)


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read the first rows of a person's own file (``rowfile.MAX_ROWS``); raises RequestError with the row.

    A row has ``messages`` (openai), ``conversations`` (sharegpt) or ``instruction`` (alpaca) as in LLaMA-Factory's
    data, and one that LLaMA-Factory would not train on as it stands is refused. A last answer is left out: the model
    has to give it.
    """
    found: list[Case] = []
    for number, row in enumerate(read_rows(path), start=1):
        try:
            found.append(_case(f"row-{number}", row))
        except ValueError as error:
            raise unusable(path, _("row {number}: {why}", number=number, why=reason(error))) from error
    if not found:
        raise unusable(path, _("It has no rows."))
    return tuple(found)


def first_rows(path: Path, name: str, usual: Callable[[Json], Json], count: int) -> tuple[Case, ...]:
    """Read the first ``count`` rows of a run's own data that a training takes, named NAME:ROW.

    ``usual`` gives a row the names that ``read_cases`` knows. A row that is no conversation is passed over, as
    LLaMA-Factory does. Raises RequestError for a file that cannot be read.
    """
    found: list[Case] = []
    for number, row in enumerate(read_rows(path), start=1):
        if len(found) == count:
            break
        with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
            found.append(_case(f"{name}:{number}", usual(row)))
    return tuple(found)


_ROLES: Final[Mapping[str, Role | Literal["system"]]] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
    "observation": "result",
    "tool": "result",
    "function_call": "call",
    "function": "call",
}
_MEDIA: Final = ("images", "videos", "audios")


def _case(name: str, row: Json) -> Case:
    """Return a row as a conversation; raises ValueError with a Message where LLaMA-Factory would not train on it so.

    Source: LLaMA-Factory ``data/converter.py`` and ``data/formatter.py``.
    """
    check(row)
    media = next((key for key in _MEDIA if row.get(key)), None)
    if media is not None:
        raise ValueError(_("it has {what}, and only text can be compared", what=media))
    said: str | None = None
    if "instruction" in row or "prompt" in row:
        turns = _asked(row)
    elif row.get("messages"):
        said, turns = _spoken(row["messages"], is_openai=True)
    elif "messages" in row or "conversations" in row:
        said, turns = _spoken(row.get("conversations") or (), is_openai=False)
    else:
        raise ValueError(_("it has neither messages nor conversations nor an instruction"))
    system = _text(row.get("system") or "", "system") if said is None else said
    return Case(name, turns, system, _tools(row.get("tools"), system))


def _asked(row: Json) -> tuple[Turn, ...]:
    """Return the turns of a row in alpaca's form; a history that is no list is passed over."""
    texts: list[str] = []
    history = row.get("history")
    for pair in cast("list[object]", history) if isinstance(history, list) else ():
        both = cast("list[object]", pair) if isinstance(pair, list) else []
        if len(both) != len(("question", "answer")):
            raise ValueError(_("its history is no list of pairs"))
        texts += [_text(one, "history") for one in both]
    asked = ((row.get(name) or row.get(other), name) for name, other in (("instruction", "prompt"), ("input", "query")))
    return _talk(*texts, "\n".join(_text(part, name) for part, name in asked if part))


def _spoken(messages: object, *, is_openai: bool) -> tuple[str | None, tuple[Turn, ...]]:
    """Return the text of a system message, if there is one, and the turns."""
    system: str | None = None
    turns: list[Turn] = []
    for place, message in enumerate(_objects(messages, "messages")):
        named = message.get("role", message.get("from"))
        role = _ROLES.get(named) if isinstance(named, str) else None
        content = message.get("content", message.get("value"))
        if role is None:
            raise ValueError(_("the role {role} is unknown", role=repr(named)))
        if role == "system":
            if place:
                raise ValueError(_("a system message is not the first one, so LLaMA-Factory drops the row"))
            system = _text(content or "", "system")
        elif is_openai and role in ("assistant", "call") and message.get("tool_calls"):
            calls = _objects(message["tool_calls"], "tool_calls")
            turns.append(Turn("call", calls=_called([call.get("function") for call in calls])))
        elif role == "call":
            value = inner_json(_text(content, str(named)), str(named))
            turns.append(Turn("call", calls=_called(cast("object", value) if isinstance(value, list) else [value])))
        else:
            turns.append(Turn(role, _text(content, str(named))))
    if turns and turns[-1].role in ("assistant", "call"):
        turns.pop()
    _alternate(turns, joins_results=is_openai)
    return system, tuple(turns)


def _alternate(turns: Sequence[Turn], *, joins_results: bool) -> None:
    """Refuse a conversation in which questions and answers do not take turns; LLaMA-Factory drops it."""
    if not turns:
        raise ValueError(_("it asks nothing"))
    asks = [
        turn.role in ("user", "result")
        for before, turn in zip((None, *turns), turns, strict=False)
        if not (joins_results and before is not None and before.role == turn.role == "result")
    ]
    if len(asks) % 2 == 0 or asks != [place % 2 == 0 for place in range(len(asks))]:
        raise ValueError(_("questions and answers do not take turns in it, so LLaMA-Factory drops it"))


def _called(calls: object) -> tuple[tuple[str, Json], ...]:
    found: list[tuple[str, Json]] = []
    for call in _objects(calls, "tool_calls"):
        name, values = _text(call.get("name"), "name"), call.get("arguments")
        if not isinstance(values, dict):
            why = _("the arguments of a call are no object, and Ollama knows no others")
            raise ValueError(why)  # noqa: TRY004 - of a row, like all that is wrong with one
        found.append((name, cast("Json", values)))
    return tuple(found)


def _tools(value: object, system: str) -> tuple[Json, ...]:
    tools = _objects(inner_json(value, "tools") if isinstance(value, str) and value else value or (), "tools")
    if value and not tools and not system:
        raise ValueError(_("its list of tools is empty, for which LLaMA-Factory trains an empty system prompt"))
    for tool in tools:
        if "function" in tool and (list(tool) != ["type", "function"] or tool["type"] != "function"):
            raise ValueError(_("a tool in OpenAI's form has type: function, then function, and nothing else"))
    found = _objects([tool.get("function", tool) for tool in tools], "tools")
    for tool in found:
        _text(tool.get("name"), "name")
    return found


def _objects(value: object, name: str) -> tuple[Json, ...]:
    found = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (None,)
    if not all(isinstance(one, dict) for one in found):
        raise ValueError(_("{name} is no list of objects", name=name))
    return tuple(cast("Sequence[Json]", found))


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(_("{name} is no text, and LLaMA-Factory encodes nothing else", name=name))  # noqa: TRY004 - as above
    return value
