"""The functions that every Go template may call."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from backend.gotemplate.printing import sprint, sprintf, sprintln
from backend.gotemplate.value import NO_VALUE, Printed, Record, Value, bare, is_true, kind_name, received
from data.i18n import Message, _


class CallError(Exception):
    """A function that was called with what it cannot take."""

    def __init__(self, why: Message) -> None:
        super().__init__(why.english())
        self.why = why


Function = Callable[[Sequence[Value]], Value]


def _count(name: str, values: Sequence[Value], least: int, most: int | None = None) -> None:
    if len(values) < least or (most is not None and len(values) > most):
        raise CallError(_("{name} cannot be called with {count} values.", name=name, count=len(values)))


def _not(values: Sequence[Value]) -> Value:
    _count("not", values, 1, 1)
    return not is_true(values[0])


def _len(values: Sequence[Value]) -> Value:
    _count("len", values, 1, 1)
    value = bare(values[0])
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if value is None or isinstance(value, bool | int | float | Record | Printed):
        raise CallError(_("{type} has no length.", type=kind_name(value)))
    return len(value)


def _index(values: Sequence[Value]) -> Value:
    _count("index", values, 1)
    value = values[0]
    for key in values[1:]:
        value = _at(bare(value), key)
    return value


def _at(value: Value, key: Value) -> Value:
    match value:
        case str():
            raw = value.encode("utf-8", "surrogateescape")
            return raw[_position(key, len(raw), last=True)]
        case Mapping():
            if not isinstance(key, str):
                raise CallError(_("{type} is no key of a map.", type=kind_name(key)))
            return value.get(key)
        case None | bool() | int() | float() | Record() | Printed():
            raise CallError(_("{type} has no index.", type=kind_name(value)))
        case _:
            return value[_position(key, len(value), last=True)]


def _position(key: Value, length: int, *, last: bool = False) -> int:
    if not isinstance(key, int) or isinstance(key, bool):
        raise CallError(_("{type} is no position.", type=kind_name(key)))
    if not 0 <= key < length + (not last):
        raise CallError(_("The position {position} is out of range.", position=key))
    return key


def _slice(values: Sequence[Value]) -> Value:
    _count("slice", values, 1, 4)
    value = bare(values[0])
    if isinstance(value, str):
        _count("slice", values, 1, 3)
        raw = value.encode("utf-8", "surrogateescape")
        first, last = _span(values[1:], len(raw))
        return raw[first:last].decode("utf-8", "surrogateescape")
    if value is None or isinstance(value, bool | int | float | Record | Printed | Mapping):
        raise CallError(_("{type} cannot be sliced.", type=kind_name(value)))
    first, last = _span(values[1:3], len(value))
    return list(value)[first:last]


def _span(keys: Sequence[Value], length: int) -> tuple[int, int]:
    positions = [_position(key, length) for key in keys]
    first, last = (*positions, *((0, length)[len(positions) :]))
    if first > last:
        raise CallError(_("The slice ends before it begins: {first} to {last}.", first=first, last=last))
    return first, last


def _kind(value: Value) -> str:
    match value:
        case None:
            return "nil"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            return "other"


def _eq(values: Sequence[Value]) -> Value:
    _count("eq", values, 2)
    return any(_equal(values[0], other) for other in values[1:])


def _equal(one: Value, other: Value) -> bool:
    kinds = _kind(one), _kind(other)
    if "other" in kinds and kinds[0] == kinds[1]:
        raise CallError(_("{type} cannot be compared.", type=kind_name(one)))
    if kinds[0] == kinds[1]:
        return one == other
    if "nil" in kinds:
        return False
    raise CallError(_("{one} and {other} cannot be compared.", one=kind_name(one), other=kind_name(other)))


def _ne(values: Sequence[Value]) -> Value:
    _count("ne", values, 2, 2)
    return not _equal(values[0], values[1])


def _less(one: Value, other: Value) -> bool:
    if _kind(one) != _kind(other) or _kind(one) in ("nil", "other", "bool"):
        raise CallError(_("{one} and {other} have no order.", one=kind_name(one), other=kind_name(other)))
    if isinstance(one, str) and isinstance(other, str):
        return one.encode("utf-8", "surrogateescape") < other.encode("utf-8", "surrogateescape")
    assert isinstance(one, int | float)  # noqa: S101 - the kinds were looked at
    assert isinstance(other, int | float)  # noqa: S101
    return one < other


def _compared(name: str, judge: Callable[[Value, Value], bool]) -> Function:
    def function(values: Sequence[Value]) -> Value:
        _count(name, values, 2, 2)
        return judge(values[0], values[1])

    return function


def _printf(values: Sequence[Value]) -> Value:
    _count("printf", values, 1)
    form = values[0]
    if not isinstance(form, str):
        raise CallError(_("The format of printf is no string, but {type}.", type=kind_name(form)))
    return sprintf(form, values[1:])


_HTML: Final = str.maketrans(
    {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
)  # text/template's own escapes


def _joined(values: Sequence[Value]) -> str:
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return sprint([NO_VALUE if value is None else value for value in values])  # Go's evalArgs, unlike its print


def _html(values: Sequence[Value]) -> Value:
    return _joined(values).translate(_HTML)


_JS: Final = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D",
     **{chr(code): f"\\u{code:04X}" for code in range(32)}}
)  # fmt: skip


def _js(values: Sequence[Value]) -> Value:
    return "".join(
        f"\\u{ord(char):04X}" if not char.isprintable() and not char.isascii() and received(char) == char else char
        for char in _joined(values).translate(_JS)
    )


def _urlquery(values: Sequence[Value]) -> Value:
    return urllib.parse.quote_plus(_joined(values).encode("utf-8", "surrogateescape"), safe="")


BUILTIN: Final[Mapping[str, Function]] = {
    "not": _not,
    "len": _len,
    "index": _index,
    "slice": _slice,
    "eq": _eq,
    "ne": _ne,
    "lt": _compared("lt", _less),
    "le": _compared("le", lambda one, other: _less(one, other) or _equal(one, other)),
    "gt": _compared("gt", lambda one, other: not (_less(one, other) or _equal(one, other))),
    "ge": _compared("ge", lambda one, other: not _less(one, other)),
    "print": sprint,
    "println": sprintln,
    "printf": _printf,
    "html": _html,
    "js": _js,
    "urlquery": _urlquery,
}
SHORT_CIRCUIT: Final = frozenset({"and", "or"})
"""These evaluate their values one by one, and stop at the first that decides."""
