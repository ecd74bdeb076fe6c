"""A conversation as Ollama hands it to a Go template: ollama ``template/template.go`` and ``api/types.go``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from backend.gotemplate.value import Printed, Record, Value, encoded, quoted
from backend.parity.select import is_current

Json = Mapping[str, object]
_TOOL_KEYS: Final = ("type", "$defs", "items", "required", "properties")
_PROPERTY_KEYS: Final = ("anyOf", "type", "items", "description", "enum", "properties", "required")
_ANY_KEYS: Final = ("$defs", "items", "properties")
"""What Go leaves out only where it is not there: an empty one is written"""
_NO_TOOLS: Final = Printed((), "null")
_NO_SLICE: Final = Printed((), "[]", "null")
_NO_POINTER: Final = Printed({}, "<nil>", "null")


def messages_value(messages: Sequence[Json]) -> list[Value]:
    """Return ``.Messages``."""
    return [_message(message) for message in messages]


def tools_value(tools: Sequence[Json], version: str) -> Printed:
    """Return ``.Tools``; only the current line can print a single tool."""
    if not tools:
        return _NO_TOOLS
    made = [_tool(tool, version) for tool in tools]
    return Printed(made, "[" + ",".join(one.encoded for one in made) + "]")


def collated(messages: Sequence[Json]) -> tuple[str, list[dict[str, object]]]:
    """Return all system texts, and the messages with neighbours of one role joined (``collate``)."""
    system: list[str] = []
    found: list[dict[str, object]] = []
    for message in messages:
        role, content = message.get("role"), str(message.get("content") or "")
        if role == "system":
            system.append(content)
        if found and found[-1]["role"] == role and role != "tool":
            found[-1]["content"] = f"{found[-1]['content']}\n\n{content}"
        else:
            found.append({**message, "content": content})
    return "\n\n".join(system), found


def tool_for_llama_cpp(tool: Json) -> Json:
    """Return what llama.cpp gives to a Jinja template of a tool that Ollama has written again in its own order.

    Its ``common_chat_tools_parse_oaicompat`` keeps these three keys of a function, and a description always.
    """
    function = cast("Json", tool.get("function") or {})
    given = cast("Json", function.get("parameters") or {})
    properties = cast("Mapping[str, Json] | None", given.get("properties"))
    parameters: dict[str, object] = {"type": given.get("type") or ""}
    parameters |= {key: _in_gos_order(given[key]) for key in _TOOL_KEYS[1:4] if _is_written(key, given.get(key))}
    parameters["properties"] = properties and {name: _ordered_property(one) for name, one in properties.items()}
    described = {key: str(function.get(key) or "") for key in ("name", "description")}
    return {"type": "function", "function": {**described, "parameters": parameters}}


def _ordered_property(value: Json) -> Json:
    made: dict[str, object] = {}
    for key, given in _rewritten(value):
        if key == "properties":
            nested = cast("Mapping[str, Json]", given)
            made[key] = {name: _ordered_property(one) for name, one in nested.items()}
        elif key == "anyOf":
            made[key] = [_ordered_property(one) for one in cast("Sequence[Json]", given)]
        else:
            made[key] = _in_gos_order(given)
    return made


def _in_gos_order(value: object) -> object:
    """Return a value without a type of its own as Go writes it: objects have their names sorted."""
    return cast("object", json.loads(_as_given(value)))


def go(value: object) -> Value:
    """Return a value of JSON as Go decodes it: every number is a float64."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): go(one) for name, one in cast("Mapping[object, object]", value).items()}
    return [go(one) for one in cast("Sequence[object]", value)]


def _record(name: str, fields: Mapping[str, Value], text: str | None = None, code: str = "") -> Record:
    written = ",".join(f"{quoted(key)}:{encoded(value)}" for key, value in fields.items())
    return Record(name, fields, code or "{" + written + "}", text)


def _arguments(value: object) -> Printed:
    made = cast("Mapping[str, Value]", go(value or {}))
    return Printed(made, encoded(made))


def _message(message: Json) -> Record:
    calls: list[Value] = []
    for call in cast("Sequence[Json]", message.get("tool_calls") or ()):
        function = cast("Json", call["function"])
        fields: dict[str, Value] = {"Index": 0, "Name": str(function["name"])}
        fields["Arguments"] = _arguments(function.get("arguments"))
        inner = _record("template.templateToolCallFunction", fields)
        calls.append(_record("template.templateToolCall", {"ID": str(call.get("id") or ""), "Function": inner}))
    return _record(
        "*template.templateMessage",
        {
            "Role": str(message["role"]),
            "Content": str(message.get("content") or ""),
            "Thinking": str(message.get("thinking") or ""),
            "Images": _NO_SLICE,
            "ToolCalls": calls or _NO_SLICE,
            "ToolName": str(message.get("tool_name") or ""),
            "ToolCallID": str(message.get("tool_call_id") or ""),
        },
    )


def _tool(tool: Json, version: str) -> Record:
    function = cast("Json", tool.get("function") or {})
    given = cast("Json", function.get("parameters") or {})
    properties = {str(n): _property(p) for n, p in cast("Mapping[str, Json]", given.get("properties") or {}).items()}
    codes: dict[str, str] = {"type": quoted(str(given.get("type") or ""))}
    for key in _TOOL_KEYS[1:4]:
        if _is_written(key, given.get(key)):
            codes[key] = _as_given(given[key])
    shown = encoded(cast("Mapping[str, Value]", properties)) if given.get("properties") is not None else "null"
    codes["properties"] = shown
    parameters = Record(
        "template.templateToolFunctionParameters",
        {
            "Type": str(given.get("type") or ""),
            "Defs": go(given.get("$defs")),
            "Items": go(given.get("items")),
            "Required": _slice(given.get("required")),
            "Properties": Printed(cast("Mapping[str, Value]", properties), shown if properties else "{}", shown),
        },
        _written(codes),
    )
    name, description = str(function.get("name") or ""), str(function.get("description") or "")
    described = {"name": quoted(name), "description": quoted(description), "parameters": parameters.encoded}
    inner = Record(
        "template.templateToolFunction",
        {"Name": name, "Description": description, "Parameters": parameters},
        _written(described),
    )
    kind = str(tool.get("type") or "")
    items = tool.get("items")
    written = {"items": _as_given(items)} if _is_written("items", items) else {}
    code = _written({"type": quoted(kind), **written, "function": inner.encoded})
    fields: dict[str, Value] = {"Type": kind, "Items": go(items), "Function": inner}
    return Record("template.templateTool", fields, code, code if is_current(version) else None)


def _property(value: Json) -> Record:
    kind = value.get("type", [])
    kinds = [str(one) for one in cast("list[object]", kind)] if isinstance(kind, list) else [str(kind or "")]
    codes: dict[str, str] = {}
    for key, given in _rewritten(value):
        if key == "properties":
            nested = cast("Mapping[str, Json]", given)
            codes[key] = _written({name: _property(one).encoded for name, one in nested.items()})
        elif key == "anyOf":
            codes[key] = "[" + ",".join(_property(one).encoded for one in cast("Sequence[Json]", given)) + "]"
        else:
            codes[key] = _as_given(given)
    shown = "" if not kinds else kinds[0] if len(kinds) == 1 else "[" + " ".join(kinds) + "]"
    fields: dict[str, Value] = {
        "AnyOf": [_property(one) for one in cast("Sequence[Json]", value.get("anyOf") or ())] or _NO_SLICE,
        "Type": Printed(kinds, shown, codes.get("type", "[]" if "type" in value else "null")),
        "Items": go(value.get("items")),
        "Description": str(value.get("description") or ""),
        "Enum": _slice(value.get("enum")),
        "Properties": _nested(value.get("properties"), codes),
        "Required": _slice(value.get("required")),
    }
    return Record("api.ToolProperty", fields, _written(codes))


def _nested(given: object, codes: Mapping[str, str]) -> Value:
    """Return a pointer to an ordered map: a method makes a plain map of it, and what it holds is a pointer again."""
    if given is None:
        return _NO_POINTER
    plain = {str(name): _property(one) for name, one in cast("Mapping[str, Json]", given).items()}
    inner = Record("*orderedmap.Map", {}, codes["properties"])
    return Record("*api.ToolPropertiesMap", {"om": inner, "ToMap": plain}, codes["properties"])


def _slice(given: object) -> Value:
    return _NO_SLICE if given is None else go(given)


def _rewritten(value: Json) -> Iterator[tuple[str, object]]:
    """Yield what Go writes again of a property; a type of null is an empty one to it."""
    for key in _PROPERTY_KEYS:
        given = value.get(key)
        if key == "type" and key in value and given is None:
            given = ""
        if _is_written(key, given) or (key == "type" and given == ""):
            yield key, given


def _is_written(key: str, value: object) -> bool:
    """Say whether Go's ``omitempty`` lets a value of JSON be written again."""
    return value is not None if key in _ANY_KEYS else bool(value)


def _as_given(value: object) -> str:
    return encoded(go(value))


def _written(codes: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{quoted(key)}:{code}" for key, code in codes.items()) + "}"
