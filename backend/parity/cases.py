"""The conversations by which a model is proven: built in, or a person's own first rows."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from data.errors import RequestError
from data.i18n import Message, _
from data.jsontext import parse_json

Json = Mapping[str, object]
Role = Literal["user", "assistant", "call", "result"]
MAX_ROWS: Final = 20
_LIMIT_BYTES: Final = 16 << 20
_MOST_LEVELS: Final = 64
_BETWEEN: Final = re.compile(r"[\s,]*")
_DECODER: Final = json.JSONDecoder()
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
        rows = [
            {
                "role": roles.get(turn.role, turn.role),
                "content": _calls(turn) if turn.role == "call" else turn.text,
                **({"thinking": turn.thinking} if turn.thinking else {}),
            }
            for turn in self.turns
        ]
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
    """Read the first rows of a person's own file (MAX_ROWS); raises RequestError with the row.

    JSON (a list) or JSONL. A row has ``messages`` (openai), ``conversations`` (sharegpt) or ``instruction`` (alpaca)
    as in LLaMA-Factory's data. A last answer is left out: the model has to give it.
    """
    found: list[Case] = []
    for number, row in enumerate(_rows(path), start=1):
        try:
            found.append(_case(f"row-{number}", row))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _wrong(path, _("row {number}: {why}", number=number, why=_why(error))) from error
    if not found:
        raise _wrong(path, _("It has no rows."))
    return tuple(found)


def first_rows(path: Path, name: str, usual: Callable[[Json], Json], count: int) -> tuple[Case, ...]:
    """Read the first ``count`` rows of a run's own data that a training takes, named NAME:ROW.

    ``usual`` gives a row the names that ``read_cases`` knows. A row that is no conversation is passed over, as
    LLaMA-Factory does. Raises RequestError for a file that cannot be read.
    """
    found: list[Case] = []
    for number, row in enumerate(_rows(path), start=1):
        try:
            case = _case(f"{name}:{number}", usual(row))
        except (LookupError, TypeError, ValueError, AttributeError):
            continue
        asks = [turn.role in ("user", "result") for turn in case.turns]
        if asks == [place % 2 == 0 for place in range(len(asks))] and len(found) < count:
            found.append(case)
    return tuple(found)


def _rows(path: Path) -> Iterator[Json]:
    try:
        with path.open("rb") as stream:
            rows = _documents(stream.read(_LIMIT_BYTES + 1))
    except (OSError, ValueError) as error:
        raise _wrong(path, _why(error)) from error
    for number, row in enumerate(rows[:MAX_ROWS], start=1):
        if not isinstance(row, dict):
            raise _wrong(path, _("row {number} is no object", number=number))
        yield cast("Json", row)


def _documents(raw: bytes) -> list[object]:
    """Return the rows of a list, or of JSONL, of which the beginning is enough; raises ValueError."""
    is_list = raw.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    if len(raw) > _LIMIT_BYTES:
        too_large = ValueError(_("it is larger than {size}", size="16 MiB"))
        if is_list:
            return _beginning(raw, too_large)
        lines = raw.split(b"\n")[:-1][:MAX_ROWS]  # the last line is cut off
        if len(lines) < MAX_ROWS:
            raise too_large
        raw = b"\n".join(lines)
    text = raw.decode("utf-8-sig")
    if is_list:
        return cast("list[object]", _json(text))
    return [_json(line) for line in [line for line in text.split("\n") if line.strip()][:MAX_ROWS]]


def _beginning(raw: bytes, too_large: ValueError) -> list[object]:
    """Return the first rows of a list whose end is cut off; raises ``too_large`` where they are not whole."""
    text = codecs.getincrementaldecoder("utf-8-sig")().decode(raw)
    at, found = text.index("[") + 1, list[object]()
    while len(found) < MAX_ROWS:
        at = cast("re.Match[str]", _BETWEEN.match(text, at)).end()
        try:
            _value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise too_large from None
        found.append(_json(text[at:end]))
        at = end
    return found


def _why(error: Exception) -> object:
    """Return what is wrong, as a message where it is one of ours."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def _json(text: str) -> object:
    """Return the value of a document that Ollama takes, too; raises ValueError with a Message or JSON's own words."""
    value = parse_json(text)
    level: list[object] = [value]
    for _depth in range(_MOST_LEVELS):
        if any(isinstance(one, float) and not math.isfinite(one) for one in level):
            raise ValueError(_("NaN and infinity are no numbers of JSON"))
        inner = [
            list(cast("Mapping[str, object]", one).values()) if isinstance(one, dict) else cast("list[object]", one)
            for one in level
            if isinstance(one, dict | list)
        ]
        if not inner:
            return value
        level = [one for many in inner for one in many]
    raise ValueError(_("it nests deeper than {count} levels", count=_MOST_LEVELS))


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


def _case(name: str, row: Json) -> Case:
    system = str(row.get("system") or "")
    if "instruction" in row or "prompt" in row:
        texts: list[str] = []
        for pair in cast("Sequence[Sequence[object]]", row.get("history") or ()):
            texts += [str(pair[0]), str(pair[1])]
        asked = [
            str(row.get("instruction") or row.get("prompt") or ""),
            str(row.get("input") or row.get("query") or ""),
        ]
        return Case(name, _talk(*texts, "\n".join(part for part in asked if part)), system)
    turns: list[Turn] = []
    for message in cast("Sequence[Json]", row.get("messages") or row["conversations"]):
        role = _ROLES.get(str(message.get("role", message.get("from"))))
        text = message.get("content", message.get("value"))
        if role is None:
            raise ValueError(f"role {message.get('role', message.get('from'))!r}")  # noqa: EM102 - becomes the detail
        if role == "system":
            system = str(text)
        elif role == "call" or message.get("tool_calls"):
            turns.append(Turn("call", calls=_called(message.get("tool_calls") or _json(str(text)))))
        else:
            turns.append(Turn(role, str(text or "")))
    if turns and turns[-1].role in ("assistant", "call"):
        turns.pop()
    if not turns or turns[-1].role not in ("user", "result"):
        raise ValueError("no question")
    return Case(name, tuple(turns), system, _tools(row.get("tools")))


def _called(value: object) -> tuple[tuple[str, Json], ...]:
    calls = cast("list[Json]", value if isinstance(value, list) else [value])
    found: list[tuple[str, Json]] = []
    for call in calls:
        function = cast("Json", call.get("function") or call)
        values = function.get("arguments")
        found.append((str(function["name"]), cast("Json", _json(values) if isinstance(values, str) else values or {})))
    return tuple(found)


def _tools(value: object) -> tuple[Json, ...]:
    tools = cast("list[Json]", _json(value) if isinstance(value, str) and value else value or [])
    return tuple(cast("Json", tool.get("function") or tool) for tool in tools)


def _wrong(path: Path, why: object) -> RequestError:
    return RequestError(
        _("The file of conversations cannot be used"),
        _("{path}: {why}", path=str(path), why=why),
        _("Write JSON or JSONL with messages, conversations or instruction in each row, as in LLaMA-Factory's data."),
    )
