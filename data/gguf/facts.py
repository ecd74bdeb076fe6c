"""What a person wants to know of a GGUF: its keys with long arrays cut short, sizes by type, the tokenizer's facts.

Everything comes from the header, whose reader has bounded it; texts are handed on as they are, so whoever shows them on
a terminal makes them inert first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from data.gguf.header import Header
from data.gguf.layout import Array, Scalar

SHOWN: Final = 8
"""Elements of an array that are shown"""
_TEMPLATE: Final = re.compile(r"tokenizer\.chat_template(?:\.(\w+))?")
_SPECIAL: Final = re.compile(r"tokenizer\.ggml\.(\w+)_token_id")
_ADDED: Final = re.compile(r"tokenizer\.ggml\.(add_\w+)")


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its value, or the first few elements of ``count`` where it is an array."""

    name: str
    type_name: str
    value: Scalar | str | tuple[Scalar | str, ...]
    count: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the key's object; an array has ``count`` and ``first`` instead of ``value``."""
        head: dict[str, object] = {"name": self.name, "type": self.type_name}
        if isinstance(self.value, tuple):
            return {**head, "count": self.count, "first": [_plain(element) for element in self.value]}
        return {**head, "value": _plain(self.value)}


@dataclass(frozen=True, slots=True)
class TypeShare:
    """What the tensors of one type come to."""

    type_name: str
    tensors: int
    weights: int
    size_bytes: int

    def as_json(self) -> dict[str, object]:
        """Return the share's object."""
        return {"type": self.type_name, "tensors": self.tensors, "weights": self.weights, "bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class Special:
    """A token with a role: eos, bos, eot, unknown …; ``text`` is None for an id without a token."""

    role: str
    id: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """How text becomes tokens."""

    model: str
    pre: str
    tokens: int
    merges: int
    specials: tuple[Special, ...]
    flags: tuple[tuple[str, bool], ...]
    """add_bos_token, add_eos_token, add_space_prefix …, where the file says something"""

    def as_json(self) -> dict[str, object]:
        """Return the tokenizer's object."""
        return {
            "model": self.model,
            "pre": self.pre,
            "tokens": self.tokens,
            "merges": self.merges,
            "special": [{"role": each.role, "id": each.id, "text": each.text} for each in self.specials],
            **dict(self.flags),
        }


def keys_of(header: Header) -> Iterator[Key]:
    """Yield the keys in the order of the file."""
    for name, value in header.keys.items():
        kind = header.types[name]
        if isinstance(value, Array):
            elements = (_text(element) for element in islice(value.values(), SHOWN))
            yield Key(name, kind, tuple(elements), value.count)
        else:
            yield Key(name, kind, value)


def shares_of(header: Header) -> tuple[TypeShare, ...]:
    """Return what each type of weights comes to, the largest first."""
    found: dict[str, TypeShare] = {}
    for tensor in header.tensors:
        name = tensor.type.name
        old = found.get(name, TypeShare(name, 0, 0, 0))
        weights = math.prod(tensor.shape)
        found[name] = TypeShare(name, old.tensors + 1, old.weights + weights, old.size_bytes + tensor.size_bytes)
    return tuple(sorted(found.values(), key=lambda share: -share.size_bytes))


def templates_of(header: Header) -> dict[str, str]:
    """Return the chat templates by name; the usual one has the empty name."""
    return {
        match[1] or "": value
        for name, value in header.keys.items()
        if (match := _TEMPLATE.fullmatch(name)) and isinstance(value, str)
    }


def tokenizer_of(header: Header) -> Tokenizer | None:
    """Return the facts of the tokenizer; None where the file has none."""
    model = header.text("tokenizer.ggml.model")
    tokens, merges = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.merges")
    if not model and tokens is None:
        return None
    roles = {
        match[1]: number
        for name in header.keys
        if (match := _SPECIAL.fullmatch(name)) and (number := header.whole(name)) is not None
    }
    texts = {number: str(_text(raw)) for number, raw in tokens.at(roles.values()).items()} if tokens else {}
    return Tokenizer(
        model=model,
        pre=header.text("tokenizer.ggml.pre"),
        tokens=tokens.count if tokens else 0,
        merges=merges.count if merges else 0,
        specials=tuple(Special(role, number, texts.get(number)) for role, number in roles.items()),
        flags=tuple(
            (match[1], value)
            for name, value in header.keys.items()
            if (match := _ADDED.fullmatch(name)) and isinstance(value, bool)
        ),
    )


def _text(element: Scalar | bytes) -> Scalar | str:
    return element.decode("utf-8", "replace") if isinstance(element, bytes) else element


def _plain(value: Scalar | str) -> Scalar | str:
    """Return a value that JSON has: NaN and Inf become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
