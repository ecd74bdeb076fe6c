"""Go's fmt.Sprintf, for the verbs and flags that a template may use.

Source: Go ``fmt/print.go`` (``doPrintf``, ``printArg``, ``doPrint``) and ``fmt/format.go``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from backend.gotemplate.value import Record, UnknowableError, Value, bare, decimal, kind_name, spelled
from data.i18n import _

_VERB: Final = re.compile(r"%([-+# 0]*)(\*|[0-9]+)?(?:\.(\*|[0-9]+)?)?(\[|.)?", re.DOTALL)
_BASES: Final = {"d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_MAX_WIDTH: Final = 10_000
_ESCAPED: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"
}  # fmt: skip


def sprint(values: Sequence[Value]) -> str:
    """Return fmt.Sprint: a blank between two values of which neither is a string."""
    out: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            out.append(" ")
        out.append(spelled(value))
    return "".join(out)


def sprintln(values: Sequence[Value]) -> str:
    """Return fmt.Sprintln."""
    return " ".join(map(spelled, values)) + "\n"


def sprintf(form: str, values: Sequence[Value]) -> str:
    """Return fmt.Sprintf; raises UnknowableError for what is not modelled."""
    out: list[str] = []
    at = used = 0
    while at < len(form):
        start = form.find("%", at)
        if start < 0:
            break
        out.append(form[at:start])
        found = _VERB.match(form, start)
        if found is None or found[4] is None:
            out.append("%!(NOVERB)")
            at = len(form)
            break
        flags, width, precision, verb = found.groups()
        if verb == "[" or "*" in (width, precision):
            raise UnknowableError(_("The format {form} takes its values out of turn.", form=repr(form)))
        at = found.end()
        if verb == "%":
            out.append("%")
            continue
        if used >= len(values):
            out.append(f"%!{verb}(MISSING)")
            continue
        has_precision = "." in found[0]
        text = _formatted(values[used], verb, flags, int(precision or 0) if has_precision else None)
        out.append(_padded(text, flags, int(width or 0), is_number=_is_number(values[used])))
        used += 1
    out.append(form[at:])
    if used < len(values):
        extra = ", ".join(f"{kind_name(v)}={spelled(v)}" if v is not None else "<nil>" for v in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _padded(text: str, flags: str, width: int, *, is_number: bool) -> str:
    if width > _MAX_WIDTH:
        raise UnknowableError(_("A width of {width} is too much.", width=width))
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and is_number:
        sign = text[:1] if text[:1] in "+-" else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width, "0" if "0" in flags else " ")


def _formatted(value: Value, verb: str, flags: str, precision: int | None) -> str:  # noqa: PLR0911 - one a verb
    plain = bare(value)
    if "#" in flags or (verb == "v" and "+" in flags and not _is_number(value)):
        raise UnknowableError(_("The flags {flags} of printf are not known here.", flags=flags))
    if verb == "T":
        return "<nil>" if value is None else kind_name(value)
    if verb != "v" and _has_struct(value):
        raise UnknowableError(_("A whole {type} is printed.", type=kind_name(value)))
    if verb == "v":
        return spelled(value) if not _is_number(value) else _signed(spelled(value), flags)
    if verb in "sq" and isinstance(value, str):
        text = value if precision is None else value[:precision]
        return go_quoted(text) if verb == "q" else text
    if verb == "s" and not _is_number(value) and not isinstance(plain, bool | None):
        return spelled(value)
    if verb == "t" and isinstance(value, bool):
        return spelled(value)
    if verb in _BASES and isinstance(value, int) and not isinstance(value, bool):
        return _signed(("0o" if verb == "O" else "") + format(value, _BASES[verb]), flags)
    if verb in "xX" and isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape").hex()
        return raw if verb == "x" else raw.upper()
    if verb == "c" and isinstance(value, int) and not isinstance(value, bool):
        return chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"
    if verb in "eEfFgG" and isinstance(value, float):
        return _signed(_real(value, verb, precision), flags)
    return f"%!{verb}({kind_name(value)}={spelled(value)})" if value is not None else f"%!{verb}(<nil>)"


def _has_struct(value: Value) -> bool:
    """Say whether fmt would apply a verb to the fields of a struct, one by one."""
    if isinstance(value, Record):
        return value.text is None
    return isinstance(value, Sequence) and not isinstance(value, str) and any(map(_has_struct, value))


def _real(value: float, verb: str, precision: int | None) -> str:
    if verb in "gG" and precision is None:
        return decimal(value, -4, 6, two_digits=True)
    return format(value, f".{6 if precision is None else precision}{verb}")


def _signed(text: str, flags: str) -> str:
    if text[:1] in "+-":
        return text
    return "+" + text if "+" in flags else " " + text if " " in flags else text


def go_quoted(text: str) -> str:
    """Return ``text`` as strconv.Quote writes it."""
    out: list[str] = []
    for char in text:
        point = ord(char)
        if char in _ESCAPED:
            out.append(_ESCAPED[char])
        elif 0xDC80 <= point <= 0xDCFF:  # a byte that is not UTF-8
            out.append(f"\\x{point - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        elif point < 0x80:
            out.append(f"\\x{point:02x}")
        else:
            out.append(f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}")
    return '"' + "".join(out) + '"'
