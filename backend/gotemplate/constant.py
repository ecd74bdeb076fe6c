"""Numbers and strings as a template writes them: Go's own forms."""

from __future__ import annotations

import math
import re
from typing import Final

_INTEGER: Final = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)"
)
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\'\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_PLAIN: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def number(text: str) -> float | None:
    """Return what ``text`` is: an int of 64 bits, a float, or None for neither."""
    if _INTEGER.fullmatch(text):
        digits = text.replace("_", "").lower()
        sign, digits = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
        base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2], 8 if digits.startswith("0") and digits != "0" else 10)
        value = int(sign + digits.removeprefix("0x").removeprefix("0b").removeprefix("0o"), base)
        return value if -(2**63) <= value < 2**63 else None
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else None
    return None


def unquoted(text: str) -> str | None:
    """Return the string that stands in quotes in ``text``; None where an escape is wrong.

    Bytes that are not UTF-8 are kept as Python's surrogate escapes.
    """
    quote, inner = text[0], text[1:-1]
    if quote == "`":
        return inner.replace("\r", "")
    out = bytearray()
    at = 0
    while at < len(inner):
        if inner[at] != "\\":
            out += inner[at].encode("utf-8", "surrogateescape")
            at += 1
            continue
        found = _ESCAPE.match(inner, at)
        if found is None:
            return None
        plain, octal, byte, short, long = found.groups()
        if plain is not None:
            if plain in "'\"" and plain != quote:
                return None
            out += _PLAIN.get(plain, plain).encode()
        elif octal is not None or byte is not None:
            value = int(octal, 8) if octal is not None else int(byte, 16)
            if value > 0xFF:
                return None
            out += bytes([value]) if quote == '"' else chr(value).encode()
        else:
            point = int(short or long, 16)
            if point > 0x10FFFF or 0xD800 <= point < 0xE000:
                return None
            out += chr(point).encode()
        at = found.end()
    return out.decode("utf-8", "surrogateescape")
