"""Go's values as a template sees them: what is true, and how a value is printed and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from data.i18n import Message, _


@dataclass(frozen=True, slots=True)
class Record:
    """A Go struct, by pointer or not: only its fields can be asked for."""

    name: str
    """The Go type, for errors; begins with * for one by pointer"""
    fields: Mapping[str, Value]
    """In Go's order, in which fmt prints them"""
    encoded: str
    """What Go's json.Marshal makes of it"""
    text: str | None = None
    """What its method String returns; None where it has none"""


@dataclass(frozen=True, slots=True)
class Printed:
    """A Go slice or map whose type has a method String."""

    value: Sequence[Value] | Mapping[str, Value]
    text: str
    encoded: str = field(default="")
    """What Go's json.Marshal makes of it; empty: the same as ``text``"""


NO_VALUE: Final = "<no value>"
"""What an action prints of nil"""

Value = bool | float | str | Record | Printed | Sequence["Value"] | Mapping[str, "Value"] | None
"""None is Go's nil and what is not there; int and float are Go's int and float64."""


class UnknowableError(Exception):
    """A value whose printed form depends on the machine (an address), or that is not modelled here."""

    def __init__(self, why: Message) -> None:
        super().__init__(why.english())
        self.why = why


def bare(value: Value) -> Value:
    """Return the slice or map without its method String."""
    return value.value if isinstance(value, Printed) else value


def is_true(value: Value) -> bool:
    """Say whether ``if`` takes the value for true: not empty and not zero; a struct always."""
    value = bare(value)
    return True if isinstance(value, Record) else bool(value)


def kind_name(value: Value) -> str:  # noqa: PLR0911 - one a type
    """Return the Go type of ``value`` as errors name it."""
    match value:
        case None:
            return "nil"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Record():
            return value.name
        case Printed():
            return kind_name(value.value)
        case Mapping():
            return "map[string]interface {}"
        case _:
            return "[]interface {}"


def shown(value: Value) -> str:
    """Return what ``{{ value }}`` prints, which follows a pointer; raises UnknowableError."""
    if isinstance(value, Record) and value.text is None:
        return _struct(value)
    return NO_VALUE if value is None else spelled(value)


def _struct(value: Record) -> str:
    return "{" + " ".join(map(spelled, value.fields.values())) + "}"


def spelled(value: Value) -> str:  # noqa: PLR0911 - one a type
    """Return what fmt's ``%v`` prints; raises UnknowableError."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return decimal(value, -4, 6, two_digits=True)
        case str():
            return value
        case Printed():
            return value.text
        case Record():
            if value.text is None and value.name.startswith("*"):
                raise UnknowableError(_("A whole {type} is printed.", type=value.name))
            return _struct(value) if value.text is None else value.text
        case Mapping():
            return "map[" + " ".join(f"{name}:{spelled(value[name])}" for name in in_order(value)) + "]"
        case _:
            return "[" + " ".join(map(spelled, value)) + "]"


def encoded(value: Value) -> str:  # noqa: PLR0911 - one a type
    """Return what Go's json.Marshal makes of ``value``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return decimal(value, -6, 21, two_digits=False)
        case str():
            return quoted(value)
        case Record():
            return value.encoded
        case Printed():
            return value.encoded or value.text
        case Mapping():
            return "{" + ",".join(f"{quoted(name)}:{encoded(value[name])}" for name in in_order(value)) + "}"
        case _:
            return "[" + ",".join(map(encoded, value)) + "]"


def in_order(value: Mapping[str, Value]) -> list[str]:
    """Return the keys of a map as Go ranges over them: by their bytes."""
    return sorted(value, key=lambda name: name.encode("utf-8", "surrogateescape"))


_BYTES: Final = range(0xDC80, 0xDD00)
"""Surrogate escapes: bytes of a Go string that are no letter"""
_JSON_ESCAPES: Final = {
    **{ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"},
    **dict.fromkeys(_BYTES, "\\ufffd"),
}
_LOST: Final = dict.fromkeys(_BYTES, "\ufffd")


def rejoined(text: str) -> str:
    """Return ``text`` with bytes that are a letter together as that letter, since Go's strings are bytes."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def received(text: str) -> str:
    """Return ``text`` as it is behind Go's JSON (encoding/json, ``appendString``): U+FFFD for a byte of no letter."""
    return text.translate(_LOST)


def quoted(text: str) -> str:
    """Return ``text`` as Go's encoder writes it into JSON: with <, > and & escaped, other letters as they are."""
    return json.dumps(text, ensure_ascii=False).translate(_JSON_ESCAPES)


def decimal(value: float, low: int, high: int, *, two_digits: bool) -> str:
    """Return the shortest digits of ``value``, with an exponent where it is below ``low`` or at least ``high``."""
    if value != value:  # noqa: PLR0124 - not a number
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    sign = "-" if value < 0 else ""
    mantissa, _e, exponent_text = f"{abs(value)!r}".partition("e")
    whole, _dot, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    leading = len(whole + fraction) - len(digits)
    exponent = int(exponent_text or 0) + len(whole) - 1 - leading
    digits = digits.rstrip("0") or "0"
    if exponent < low or exponent >= high:
        shown_exponent = f"{abs(exponent):02d}" if two_digits else str(abs(exponent))
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if exponent < 0 else '+'}{shown_exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    digits = digits.ljust(exponent + 1, "0")
    tail = f".{digits[exponent + 1 :]}" if len(digits) > exponent + 1 else ""
    return f"{sign}{digits[: exponent + 1]}{tail}"
