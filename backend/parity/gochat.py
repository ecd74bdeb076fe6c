"""Ollama's way with a Go template: which names it uses, what it is able to, and the prompt that it makes.

Source: ollama ``template/template.go`` (Parse, Vars, Execute), ``thinking/template.go`` (InferTags).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from backend.gotemplate import node, parse, render
from backend.gotemplate.error import TemplateError, place
from backend.gotemplate.function import BUILTIN, SHORT_CIRCUIT, CallError, Function
from backend.gotemplate.value import Record, Value, encoded, received, rejoined, spelled
from backend.parity.govalue import Json, collated, messages_value, tools_value
from data.i18n import _

_RESPONSE: Final = node.Action(
    0, node.Pipe(0, (), assigns=False, commands=(node.Command(0, (node.Field(0, ("Response",)),)),))
)
_TYPES: Final = {
    "string": "string", "number": "number", "integer": "number", "boolean": "boolean", "array": "any[]",
    "object": "Record<string, any>", "null": "null",
}  # fmt: skip


class GoChat:
    """A template of a Modelfile; raises TemplateError, also for what only Ollama refuses."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._parsed = parse(source, [*BUILTIN, *SHORT_CIRCUIT, *_FUNCTIONS])
        lists = [self._parsed.nodes, *self._parsed.defined.values()]
        self.names = frozenset(name.lower() for nodes in lists for one in nodes for name in self._names(one))
        self._nodes = self._parsed.nodes
        if not self.names & {"messages", "response"}:
            self._nodes = (*self._nodes, _RESPONSE)

    def _names(self, one: node.Node) -> Iterator[str]:
        """Yield the fields and variables that a node uses, as far as Ollama looks (``Identifiers``)."""
        match one:
            case node.Action():
                yield from _pipe_names(one.pipe)
            case node.Branch():
                yield from _pipe_names(one.pipe)
                for inner in (*one.body, *(one.otherwise or ())):
                    yield from self._names(inner)
            case node.Call():
                if one.pipe is None:
                    why = _("Ollama refuses a template clause without a value.")
                    raise TemplateError(why, *place(self.source, one.position))
                yield from _pipe_names(one.pipe)
            case node.Text() | node.Jump():
                return

    def abilities(self) -> frozenset[str]:
        """Return tools, insert and thinking as far as the template shows them (``goTemplateCapabilities``)."""
        found = {name for name, mark in (("tools", "tools"), ("insert", "suffix")) if mark in self.names}
        return frozenset(found | ({"thinking"} if all(self.thinking_tags()) else set()))

    def round_trips(self) -> bool:
        """Say whether calls and results of tools go through it (``goTemplateHasToolRoundTrip``)."""
        marks = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
        return {"tools", "toolcalls"} <= self.names and any(mark in self.source for mark in marks)

    def thinking_tags(self) -> tuple[str, str]:
        """Return the texts around ``.Thinking`` in a range over ``.Messages``; empty where there are none."""
        tags = _Tags()
        tags.look(self._nodes, None)
        return tags.found

    def prompt(self, messages: Sequence[Json], tools: Sequence[Json], *, think: bool | None, version: str) -> str:
        """Return the prompt as the runner gets it, through JSON; raises TemplateError and UnknowableError."""
        system, joined = collated(messages)
        common: dict[str, Value] = {"Think": bool(think), "ThinkLevel": "", "IsThinkSet": think is not None}
        if "messages" in self.names:
            data: dict[str, Value] = {"System": system, "Messages": messages_value(joined), "Response": "", **common}
            data["Tools"] = tools_value(tools, version)
            return received(render(self._parsed, data, _FUNCTIONS, self._nodes))
        return self._turn_by_turn(joined, common)

    def _turn_by_turn(self, messages: Sequence[Json], common: Mapping[str, Value]) -> str:
        """Render a template of the old kind, that knows one turn only, once a turn."""
        out: list[str] = []
        turn = {"System": "", "Prompt": "", "Response": ""}

        def flush() -> None:
            out.append(render(self._parsed, {**turn, **common}, _FUNCTIONS, self._nodes))
            turn.update(System="", Prompt="", Response="")

        for message in messages:
            content = str(message.get("content") or "")
            match message.get("role"):
                case "system":
                    if turn["Prompt"] or turn["Response"]:
                        flush()
                    turn["System"] = content
                case "user":
                    if turn["Response"]:
                        flush()
                    turn["Prompt"] = content
                case "assistant":
                    turn["Response"] = content
                case _:
                    pass
        out.append(render(self._parsed, {**turn, **common}, {}, _Cut().nodes(self._nodes)))
        return received(rejoined("".join(out)))


def _pipe_names(pipe: node.Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for operand in command.operands:
            match operand:
                case node.Field() | node.Variable():
                    yield from operand.names
                case node.Pipe():
                    yield from _pipe_names(operand)
                case _:
                    pass


class _Cut:
    """Removes what stands behind ``.Response``: there the model goes on (``deleteNode``)."""

    def __init__(self) -> None:
        self._cut = False

    def nodes(self, nodes: Sequence[node.Node]) -> tuple[node.Node, ...]:
        kept: list[node.Node] = []
        for one in nodes:
            if self._cut:
                break
            if isinstance(one, node.Branch):
                body = self.nodes(one.body)
                otherwise = None if self._cut or one.otherwise is None else self.nodes(one.otherwise)
                kept.append(dataclasses.replace(one, body=body, otherwise=otherwise))
                continue
            if isinstance(one, node.Action) and "Response" in _field_names(one.pipe):
                self._cut = True
            kept.append(one)
        return tuple(kept)


def _field_names(pipe: node.Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for operand in command.operands:
            if isinstance(operand, node.Field):
                yield from operand.names
            elif isinstance(operand, node.Pipe):
                yield from _field_names(operand)


class _Tags:
    """Finds ``.Thinking``, the range around it, and the texts at both ends of the list that it stands in."""

    def __init__(self) -> None:
        self.found = ("", "")

    def look(self, nodes: Sequence[node.Node], around: node.Branch | None) -> None:
        for one in nodes:
            match one:
                case node.Action():
                    self._see(one.pipe, nodes, around)
                case node.Branch():
                    inner = one if one.kind == "range" else around
                    self._see(one.pipe, nodes, inner)
                    self.look(one.body, inner)
                    self.look(one.otherwise or (), inner)
                case node.Call() if one.pipe is not None:
                    self._see(one.pipe, nodes, around)
                case _:
                    pass

    def _see(self, pipe: node.Pipe, nodes: Sequence[node.Node], around: node.Branch | None) -> None:
        uses = sum(1 for first in _first_fields(pipe) if first == "Thinking")
        if not uses or around is None or "Messages" not in _first_fields(around.pipe):
            return
        first, last = self.found
        if isinstance(nodes[0], node.Text):
            first = nodes[0].text.strip()
        if isinstance(nodes[-1], node.Text):
            last = nodes[-1].text.strip()
        self.found = (first, last)


def _first_fields(pipe: node.Pipe) -> list[str]:
    found: list[str] = []
    for command in pipe.commands:
        for operand in command.operands:
            if isinstance(operand, node.Field):
                found.append(operand.names[0])
            elif isinstance(operand, node.Pipe):
                found += _first_fields(operand)
    return found


def _json(values: Sequence[Value]) -> Value:
    if len(values) != 1:
        raise CallError(_("{name} cannot be called with {count} values.", name="json", count=len(values)))
    return encoded(values[0])


def _date(values: Sequence[Value]) -> Value:
    del values
    return dt.datetime.now().astimezone().strftime("%Y-%m-%d")


def _day_before(values: Sequence[Value]) -> Value:
    del values
    return (dt.datetime.now().astimezone() - dt.timedelta(days=1)).strftime("%Y-%m-%d")


def _type(values: Sequence[Value]) -> Value:
    value = values[0] if values else None
    if not isinstance(value, Record) or value.name != "api.ToolProperty":
        return "any"
    kinds = spelled(value.fields["Type"]).strip("[]").split()
    return " | ".join(_TYPES.get(kind, "any") for kind in kinds) or "any"


_FUNCTIONS: Final[Mapping[str, Function]] = {
    "json": _json,
    "currentDate": _date,
    "yesterdayDate": _day_before,
    "toTypeScriptType": _type,
}
