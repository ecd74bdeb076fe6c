"""What Ollama loses of tools before any template sees them, and whether a prompt differs by nothing else.

Source: ollama `api/types.go` (``Tool``, ``ToolFunctionParameters``, ``ToolProperty``, ``ToolCallFunctionArguments``): a
schema keeps the keys that these have, properties and arguments come sorted, numbers are Go's ``float64``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from backend.parity.cases import Case
from data.i18n import Message, _

Json = Mapping[str, object]
_FUNCTION: Final = frozenset({"name", "description", "parameters"})
_PARAMETERS: Final = frozenset({"type", "properties", "required"})
_PROPERTY: Final = frozenset({"anyOf", "type", "items", "description", "enum", "properties", "required"})


@dataclass(frozen=True, slots=True)
class Loss:
    """What a conversation has that Ollama does not hand on."""

    keys: tuple[tuple[str, object], ...]
    """Keys of schemas, with their values"""
    sorts: bool
    """Properties or arguments that are not in the order of their names"""
    numbers: tuple[float, ...]
    """Whole numbers that are written with a point"""

    def __bool__(self) -> bool:
        return bool(self.keys or self.sorts or self.numbers)

    def explains(self, trained: str, sent: str) -> bool:
        """Say whether ``sent`` is ``trained`` without what is lost, in whatever order."""
        before, after = ("".join(text.split()) for text in (trained, sent))
        for key, value in self.keys:
            entry = "".join(json.dumps({key: value}, ensure_ascii=False).split())[1:-1]
            for text in (f",{entry}", f"{entry},", entry):
                if before.count(text) > after.count(text):
                    before = before.replace(text, "")
        for number in self.numbers:
            before = re.sub(rf"(?<![\d.]){re.escape(repr(number))}(?!\d)", f"{number:.0f}", before)
        return sorted(before) == sorted(after)

    def message(self) -> Message:
        """Return what is lost, in words."""
        parts: list[Message] = []
        if self.keys:
            names = ", ".join(dict.fromkeys(key for key, _value in self.keys))
            parts.append(_("keys of the schema ({keys})", keys=names))
        if self.sorts:
            parts.append(_("the order of properties and arguments, which it sorts by name"))
        if self.numbers:
            number = self.numbers[0]
            parts.append(_("the form of {number}, which it writes as {whole}", number=number, whole=f"{number:.0f}"))
        joined = parts[0]
        for part in parts[1:]:
            joined = _("{first}; {then}", first=joined, then=part)
        return joined


def loss_of(case: Case) -> Loss:
    """Return what Ollama does not hand on of the tools and calls of ``case``."""
    values: list[object] = [list(case.tools), *(dict(given) for turn in case.turns for _name, given in turn.calls)]
    keys: list[tuple[str, object]] = []
    for tool in case.tools:
        keys += _unknown(tool, _FUNCTION)
        parameters = tool.get("parameters")
        if isinstance(parameters, Mapping):
            schema = cast("Json", parameters)
            keys += _unknown(schema, _PARAMETERS)
            keys += [one for inner in _inner(schema) for one in _of_property(inner)]
    named = [given for turn in case.turns for _name, given in turn.calls]
    named += [
        cast("Json", one["properties"]) for one in _mappings(values) if isinstance(one.get("properties"), Mapping)
    ]
    return Loss(
        tuple(keys),
        any(list(one) != sorted(one) for one in named),
        tuple(dict.fromkeys(one for one in _leaves(values) if isinstance(one, float) and one.is_integer())),
    )


def _unknown(schema: Json, known: frozenset[str]) -> list[tuple[str, object]]:
    """Return the entries that are not handed on; empty ones of known names are lost as well."""
    return [(key, value) for key, value in schema.items() if key not in known or value in ("", [], None)]


def _of_property(schema: Json) -> Iterator[tuple[str, object]]:
    yield from _unknown(schema, _PROPERTY)
    for inner in _inner(schema):
        yield from _of_property(inner)


def _inner(schema: Json) -> list[Json]:
    properties, choices = schema.get("properties"), schema.get("anyOf")
    found = list(cast("Json", properties).values()) if isinstance(properties, Mapping) else []
    found += cast("list[object]", choices) if isinstance(choices, list) else []
    return [cast("Json", one) for one in found if isinstance(one, Mapping)]


def _mappings(value: object) -> Iterator[Json]:
    """Yield every object in a value of JSON."""
    if isinstance(value, Mapping):
        yield cast("Json", value)
        for one in cast("Json", value).values():
            yield from _mappings(one)
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _mappings(one)


def _leaves(value: object) -> Iterator[object]:
    """Yield every value of JSON that has no others in it."""
    inner: Sequence[object]
    if isinstance(value, Mapping):
        inner = list(cast("Json", value).values())
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        yield value
        return
    for one in inner:
        yield from _leaves(one)
