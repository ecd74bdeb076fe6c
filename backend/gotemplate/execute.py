"""Render a template that was read: Go's text/template/exec.go with the option missingkey=zero, as Ollama sets it.

Bounded: a template from elsewhere can neither run without end nor fill the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from backend.gotemplate import node
from backend.gotemplate.error import TemplateError, place
from backend.gotemplate.function import BUILTIN, SHORT_CIRCUIT, CallError, Function
from backend.gotemplate.parser import Parsed
from backend.gotemplate.value import (
    Printed,
    Record,
    UnknowableError,
    Value,
    bare,
    in_order,
    is_true,
    kind_name,
    rejoined,
    shown,
)
from data.i18n import Message, _

_MAX_STEPS: Final = 1_000_000
_MAX_OUTPUT: Final = 16 << 20  # characters
_MAX_DEPTH: Final = 150
_Missing: Final = object()


class _Jump(Exception):  # noqa: N818 - no error: break or continue
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def render(
    parsed: Parsed,
    data: Value,
    functions: Mapping[str, Function],
    nodes: tuple[node.Node, ...] | None = None,
) -> str:
    """Return the text that ``parsed`` (or ``nodes`` in its place) makes of ``data``; raises TemplateError.

    ``functions`` are called besides Go's own. Bytes of no letter are surrogate escapes. UnknowableError: the text
    depends on what cannot be known here.
    """
    run = _Run(parsed, {**BUILTIN, **functions})
    run.walk(parsed.nodes if nodes is None else nodes, data, [("$", data)])
    return rejoined("".join(run.out))


_Variables = list[tuple[str, Value]]


class _Run:
    def __init__(self, parsed: Parsed, functions: Mapping[str, Function]) -> None:
        self.out: list[str] = []
        self._parsed = parsed
        self._functions = functions
        self._steps = 0
        self._size = 0
        self._depth = 0

    def _wrong(self, position: int, why: Message) -> NoReturn:
        raise TemplateError(why, *place(self._parsed.source, position))

    def _step(self, position: int) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            self._wrong(position, _("The template does not come to an end."))

    def _write(self, text: str, position: int) -> None:
        self._size += len(text)
        if self._size > _MAX_OUTPUT:
            self._wrong(position, _("The template prints too much."))
        self.out.append(text)

    def walk(self, nodes: tuple[node.Node, ...], dot: Value, variables: _Variables) -> None:
        """Render ``nodes``; names that they give are left in ``variables``, as Go does within one block."""
        self._depth += 1
        if self._depth > _MAX_DEPTH and nodes:
            self._wrong(nodes[0].position, _("Templates call each other too deeply."))
        for one in nodes:
            self._step(one.position)
            match one:
                case node.Text():
                    self._write(one.text, one.position)
                case node.Action():
                    value = self._pipe(one.pipe, dot, variables)
                    if not one.pipe.declared:
                        self._write(shown(value), one.position)
                case node.Branch():
                    kept = len(variables)
                    if one.kind == "range":
                        self._range(one, dot, variables)
                    else:
                        self._choose(one, dot, variables)
                    del variables[kept:]
                case node.Call():
                    self._call(one, dot, variables)
                case node.Jump():
                    raise _Jump(one.kind)
        self._depth -= 1

    def _choose(self, one: node.Branch, dot: Value, variables: _Variables) -> None:
        value = self._pipe(one.pipe, dot, variables)
        if is_true(value):
            self.walk(one.body, value if one.kind == "with" else dot, variables)
        elif one.otherwise is not None:
            self.walk(one.otherwise, dot, variables)

    def _range(self, one: node.Branch, dot: Value, variables: _Variables) -> None:
        value = bare(self._pipe(one.pipe, dot, variables))
        mark = len(variables)
        depth = self._depth
        any_turn = False
        for key, item in self._turns(one, value):
            any_turn = True
            self._step(one.position)
            self._name_turn(one.pipe, key, item, variables, mark)
            try:
                self.walk(one.body, item, variables)
            except _Jump as jump:
                self._depth = depth
                del variables[mark:]
                if jump.kind == "break":
                    break
            del variables[mark:]
        if not any_turn and one.otherwise is not None:
            self.walk(one.otherwise, dot, variables)

    def _turns(self, one: node.Branch, value: Value) -> Sequence[tuple[Value, Value]]:  # noqa: RET503 - _wrong raises
        match value:
            case None:
                return ()
            case bool() | str() | Record() | Printed():
                self._wrong(one.position, _("A range cannot go over {type}.", type=kind_name(value)))
            case int():
                if len(one.pipe.declared) > 1:
                    self._wrong(one.position, _("A range over a number has no index."))
                if value > _MAX_STEPS:
                    self._wrong(one.position, _("The template does not come to an end."))
                return [(None, number) for number in range(value)]
            case float():
                self._wrong(one.position, _("A range cannot go over {type}.", type=kind_name(value)))
            case Mapping():
                return [(name, value[name]) for name in in_order(value)]
            case _:
                return list(enumerate(value))

    def _name_turn(self, pipe: node.Pipe, key: Value, item: Value, variables: _Variables, mark: int) -> None:
        """Give the names of ``range $key, $item`` their values of this turn."""
        names = pipe.declared
        if not names:
            return
        values = (item,) if len(names) == 1 else (key, item)
        for offset, (name, value) in enumerate(zip(names, values, strict=True)):
            if pipe.assigns:
                self._assign(name, value, variables, pipe.position)
            else:
                variables[mark - len(names) + offset] = (name, value)

    def _assign(self, name: str, value: Value, variables: _Variables, position: int) -> None:
        for at in range(len(variables) - 1, -1, -1):
            if variables[at][0] == name:
                variables[at] = (name, value)
                return
        self._wrong(position, _("There is no variable {name}.", name=name))

    def _call(self, one: node.Call, dot: Value, variables: _Variables) -> None:
        if one.name not in self._parsed.defined:
            self._wrong(one.position, _("There is no template {name}.", name=repr(one.name)))
        value = self._pipe(one.pipe, dot, variables) if one.pipe else None
        self.walk(self._parsed.defined[one.name], value, [("$", value)])

    def _pipe(self, pipe: node.Pipe, dot: Value, variables: _Variables) -> Value:
        value: object = _Missing
        for command in pipe.commands:
            value = self._command(command, dot, variables, value)
        result: Value = value  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] - there is a command
        for name in pipe.declared:
            if pipe.assigns:
                self._assign(name, result, variables, pipe.position)
            else:
                variables.append((name, result))
        return result

    def _command(self, command: node.Command, dot: Value, variables: _Variables, last: object) -> Value:
        """Return the value of a command; ``last`` is the value from before the ``|``, or _Missing."""
        self._step(command.position)
        first = command.operands[0]
        if isinstance(first, node.Function):
            return self._function(first, command.operands[1:], dot, variables, last)
        if len(command.operands) > 1 or last is not _Missing:
            self._wrong(first.position, _("Only a function can take values."))
        if isinstance(first, node.Nil):
            self._wrong(first.position, _("nil is no value of its own."))
        return self._operand(first, dot, variables)

    def _operand(self, operand: node.Operand, dot: Value, variables: _Variables) -> Value:  # noqa: PLR0911 - one a kind
        match operand:
            case node.Dot():
                return dot
            case node.Nil():
                return None
            case node.Constant():
                return operand.value
            case node.Field():
                return self._fields(dot, operand.names, operand.position)
            case node.Variable():
                name, *names = operand.names
                value = next((v for n, v in reversed(variables) if n == name), _Missing)
                if value is _Missing:
                    self._wrong(operand.position, _("There is no variable {name}.", name=name))
                return self._fields(value, names, operand.position)  # pyright: ignore[reportArgumentType] - not _Missing
            case node.Chain():
                return self._fields(self._pipe(operand.of, dot, variables), operand.names, operand.position)
            case node.Pipe():
                return self._pipe(operand, dot, variables)
            case node.Function():
                return self._function(operand, (), dot, variables, _Missing)

    def _fields(self, value: Value, names: Sequence[str], position: int) -> Value:
        if value is None:
            return None
        for name in names:
            plain = bare(value)
            match plain:
                case Record() if name in plain.fields:
                    value = plain.fields[name]
                case Mapping():
                    value = plain.get(name)
                case None:
                    self._wrong(position, _("{name} is asked of nothing.", name=f".{name}"))
                case _:
                    self._wrong(position, _("{type} has no field {name}.", type=kind_name(plain), name=name))
        return value

    def _function(
        self,
        function: node.Function,
        operands: Sequence[node.Operand],
        dot: Value,
        variables: _Variables,
        last: object,
    ) -> Value:
        if function.name in SHORT_CIRCUIT:
            return self._short_circuit(function, operands, dot, variables, last)
        values = [self._operand(operand, dot, variables) for operand in operands]
        if last is not _Missing:
            values.append(last)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a value
        try:
            value = self._functions[function.name](values)
        except CallError as error:
            self._wrong(function.position, error.why)
        return rejoined(value) if isinstance(value, str) else value

    def _short_circuit(
        self,
        function: node.Function,
        operands: Sequence[node.Operand],
        dot: Value,
        variables: _Variables,
        last: object,
    ) -> Value:
        if not operands and last is _Missing:
            self._wrong(
                function.position, _("{name} cannot be called with {count} values.", name=function.name, count=0)
            )
        value: Value = None
        for operand in operands:
            value = self._operand(operand, dot, variables)
            if is_true(value) == (function.name == "or"):
                return value
        return value if last is _Missing else last  # type: ignore[return-value] # pyright: ignore[reportReturnType] - a value


__all__ = ["UnknowableError", "render"]
