"""How a tool format writes tools and calls, found in what LLaMA-Factory made of the bridge's probes.

The prompts themselves are never written down here: they are what stands around the probes. A format that writes them
in a way that is not known is refused, whatever its name is.
Source: LLaMA-Factory ``data/tool_utils.py`` (``ToolUtils`` and its children).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from backend.parity.template import ToolFormat

Json = Mapping[str, object]
Body = Literal["wrapped", "bare", "wrapped4", "bare4", "lines", "declaration"]
"""JSON of ``{type, function}`` or of the function alone, in one line or indented by four; or a format of its own."""
NAME: Final = "\x00name\x00"
NAMES: Final = "\x00names\x00"
"""Stand for the name of the tool, and for all names with a comma between"""

# The probes of bridge/templates.py.
TOOLS: Final[Sequence[Json]] = (
    {
        "name": "probe_alpha",
        "description": "First probe.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "A city."}},
            "required": ["city"],
        },
    },
    {
        "name": "probe_beta",
        "description": "Second probe.",
        "parameters": {"type": "object", "properties": {"count": {"type": "integer", "description": "How many."}}},
    },
)
CALLS: Final[Sequence[Sequence[tuple[str, Json]]]] = (
    (("probe_alpha", {"city": "Oslo"}),),
    (("probe_beta", {"city": "Bergen", "count": 2, "deep": {"flags": [True, None, "x"]}}),),
    (("probe_alpha", {"city": "Oslo"}), ("probe_beta", {"count": 3})),
)
_LINES: Final = (
    "> Tool Name: probe_alpha\nTool Description: First probe.\nTool Args:\n  - city (string, required): A city.\n\n",
    "> Tool Name: probe_beta\nTool Description: Second probe.\nTool Args:\n  - count (integer): How many.\n\n",
)
_DECLARATIONS: Final = (
    (
        'declaration:probe_alpha{description:<|"|>First probe.<|"|>,parameters:{properties:{city:{description:'
        '<|"|>A city.<|"|>,type:<|"|>STRING<|"|>}},required:[<|"|>city<|"|>],type:<|"|>OBJECT<|"|>}}'
    ),
    (
        'declaration:probe_beta{description:<|"|>Second probe.<|"|>,parameters:{properties:{count:{description:'
        '<|"|>How many.<|"|>,type:<|"|>INTEGER<|"|>}},type:<|"|>OBJECT<|"|>}}'
    ),
)


@dataclass(frozen=True, slots=True)
class ToolShape:
    """``head`` body ``between`` body … ``tail``; head and between may hold ``NAME`` of the tool that follows.

    All may hold ``DATE``, and tail ``NAMES``.
    """

    head: str
    body: Body
    between: str
    tail: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Arguments one by one: ``before`` key ``middle`` value ``after``; texts bare (in ``quote``), others as JSON."""

    before: str
    middle: str
    after: str
    between: str = ""
    quote: str = ""
    own: bool = False
    """Values in a notation without quoted keys, where texts stand in ``quote`` at any depth (gemma4)"""


@dataclass(frozen=True, slots=True)
class CallShape:
    """``head``, for each call ``before`` name ``middle`` arguments ``after``, with ``between`` them, ``tail``."""

    before: str
    middle: str
    after: str
    arguments: Pairs | None = None
    """None: one JSON object"""
    head: str = ""
    between: str = "\n"
    tail: str = ""
    many: tuple[str, str] = ("", "")
    """Around the calls where there are several"""
    several: bool = True
    """False: LLaMA-Factory refuses several calls at once"""


_OBJECT: Final = ('{"name": "', '", "arguments": ', "}")
_CALL_SHAPES: Final[Sequence[CallShape]] = (
    CallShape("Action: ", "\nAction Input: ", ""),
    CallShape("", "\n", "", several=False),
    CallShape('{"name": "', '", "parameters": ', "}", between=", ", many=("[", "]")),
    CallShape(*_OBJECT, head="[", between=", ", tail="]"),
    CallShape(f"<tool_call>\n{_OBJECT[0]}", _OBJECT[1], "}\n</tool_call>"),
    CallShape(*_OBJECT, head="<tool_calls>\n", tail="\n</tool_calls>"),
    CallShape("\n<tool_call>", "", "", arguments=Pairs("\n<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>")),
    CallShape('<invoke name="', '">', "\n</invoke>", arguments=Pairs('\n<parameter name="', '">', "</parameter>")),
    CallShape(
        "<tool_call>\n<function=",
        ">",
        "\n</function>\n</tool_call>",
        arguments=Pairs("\n<parameter=", ">\n", "\n</parameter>"),
    ),
    CallShape(
        "\n<seed:tool_call>\n<function=",
        "",
        "\n</function>\n</seed:tool_call>",
        arguments=Pairs("\n<parameter=", ">", "</parameter>"),
    ),
    CallShape(
        "",
        "(",
        ")",
        arguments=Pairs("", "=", "", between=", ", quote='"'),
        head="<|tool_call_start|>[",
        between=", ",
        tail="]<|tool_call_end|>",
    ),
    CallShape(
        "<|tool_call>call:",
        "{",
        "}<tool_call|>",
        arguments=Pairs("", ":", "", between=",", quote='<|"|>', own=True),
        between="",
    ),
)


def tool_shape(form: ToolFormat) -> ToolShape | None:
    """Return how ``form`` writes tools; None where its way is not known."""
    one, two = form.tools
    for body in ("wrapped", "bare", "wrapped4", "bare4", "lines", "declaration"):
        first, second = (body_text(body, number) for number in range(2))
        head, found, tail = one.partition(first)
        if not found or not two.startswith(head + first) or not two.endswith(second + _all_names(tail)):
            continue
        between = two[len(head + first) : len(two) - len(second + _all_names(tail))]
        shape = ToolShape(
            head.replace(str(TOOLS[0]["name"]), NAME),
            body,
            between.replace(str(TOOLS[1]["name"]), NAME),
            tail.replace(str(TOOLS[0]["name"]), NAMES),
        )
        if write_tools(shape, 1) == one and write_tools(shape, 2) == two:
            return shape
    return None


def call_shape(form: ToolFormat) -> CallShape | None:
    """Return how ``form`` writes calls; None where its way is not known."""
    for shape in _CALL_SHAPES:
        texts = [None if len(calls) > 1 and not shape.several else write_calls(shape, calls) for calls in CALLS]
        if texts == list(form.calls):
            return shape
    return None


def body_text(body: Body, probe: int) -> str:
    """Return what a body is for one of the probes."""
    tool = TOOLS[probe]
    match body:
        case "wrapped" | "wrapped4":
            value: Json = {"type": "function", "function": tool}
        case "bare" | "bare4":
            value = tool
        case "lines":
            return _LINES[probe]
        case "declaration":
            return _DECLARATIONS[probe]
    return json.dumps(value, ensure_ascii=False, indent=4 if body.endswith("4") else None)


def write_tools(shape: ToolShape, count: int) -> str:
    """Return what the shape makes of the first ``count`` probes; the date stays ``DATE``."""
    names = [str(tool["name"]) for tool in TOOLS[:count]]
    text = ""
    for number, name in enumerate(names):
        text += (shape.between if number else shape.head).replace(NAME, name) + body_text(shape.body, number)
    return text + shape.tail.replace(NAMES, ", ".join(names))


def write_calls(shape: CallShape, calls: Sequence[tuple[str, Json]]) -> str:
    """Return what LLaMA-Factory writes for these calls."""
    texts = [f"{shape.before}{name}{shape.middle}{_arguments(shape, args)}{shape.after}" for name, args in calls]
    text = shape.between.join(texts)
    if len(calls) > 1:
        text = text.join(shape.many)
    return f"{shape.head}{text}{shape.tail}"


def _arguments(shape: CallShape, arguments: Json) -> str:
    pairs = shape.arguments
    if pairs is None:
        return json.dumps(arguments, ensure_ascii=False)
    written = [
        f"{pairs.before}{key}{pairs.middle}{_value(pairs, value)}{pairs.after}" for key, value in arguments.items()
    ]
    return pairs.between.join(written)


def _value(pairs: Pairs, value: object) -> str:
    if isinstance(value, str):
        return f"{pairs.quote}{value}{pairs.quote}"
    if pairs.own and isinstance(value, dict):
        items = sorted(cast("dict[str, object]", value).items())
        return "{" + ",".join(f"{key}:{_value(pairs, one)}" for key, one in items) + "}"
    if pairs.own and isinstance(value, list):
        return "[" + ",".join(_value(pairs, one) for one in cast("list[object]", value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _all_names(tail: str) -> str:
    """Return the end of what is made of both probes, from the end of what is made of the first."""
    return tail.replace(str(TOOLS[0]["name"]), ", ".join(str(tool["name"]) for tool in TOOLS))
