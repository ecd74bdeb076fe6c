"""The keys of a GGUF to be written: names in order, each with its type, and their bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from backend.convert.folder import unusable
from data.gguf import layout

_UINT8, _UINT32, _INT32, _FLOAT32 = 0, 4, 5, 6
_LENGTH = struct.Struct("<Q")
_TYPE = struct.Struct("<I")
LARGEST_REAL: Final = (2 - 2**-23) * 2.0**127
"""The largest float of 32 bits"""
Item = int | float | bool | str | bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: int
    value: Item | Sequence[Item]
    item_kind: int | None = None
    """Of an array, where its items do not say it"""


class Keys:
    """An ordered collection; setting a key again keeps its place, as llama.cpp's writer does."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def value(self, name: str) -> Item | Sequence[Item] | None:
        """Return what was set; None where nothing was."""
        entry = self._entries.get(name)
        return entry.value if entry else None

    def values(self) -> dict[str, Item | Sequence[Item]]:
        """Return all values by their keys, without their types."""
        return {name: entry.value for name, entry in self._entries.items()}

    def update(self, other: Keys) -> None:
        """Set all of ``other``'s."""
        self._entries.update(other._entries)

    def whole(self, name: str, value: int) -> None:
        """Set an unsigned number of 32 bits; RequestError for another, which only an absurd config.json asks for."""
        if not 0 <= value < 2**32:
            raise unusable(name, value)
        self._entries[name] = _Entry(_UINT32, value)

    def signed(self, name: str, value: int) -> None:
        """Set a number of 32 bits that may be negative."""
        self._entries[name] = _Entry(_INT32, value)

    def real(self, name: str, value: float) -> None:
        """Set a float of 32 bits."""
        self._entries[name] = _Entry(_FLOAT32, float(value))

    def flag(self, name: str, value: bool) -> None:
        """Set a truth value."""
        self._entries[name] = _Entry(layout.BOOL, value)

    def text(self, name: str, value: str) -> None:
        """Set a text; an empty one is left out, as llama.cpp does."""
        if value:
            self._entries[name] = _Entry(layout.STRING, value)

    def array(self, name: str, values: Sequence[Item]) -> None:
        """Set an array of one type: text, whole numbers (int32), floats (float32) or truth values; not an empty one."""
        if values:
            self._entries[name] = _Entry(layout.ARRAY, values)

    def wholes(self, name: str, values: Sequence[int]) -> None:
        """Set an array of unsigned numbers of 32 bits; not an empty one."""
        if values:
            self._entries[name] = _Entry(layout.ARRAY, values, _UINT32)

    def blob(self, name: str, value: bytes) -> None:
        """Set an array of bytes (uint8); not an empty one."""
        if value:
            self._entries[name] = _Entry(layout.ARRAY, bytearray(value))

    def packed(self) -> bytes:
        """Return all keys as they stand in the file."""
        return b"".join(self.each_packed().values())

    def each_packed(self) -> dict[str, bytes]:
        """Return each key, with its name, as it stands in the file."""
        return {name: _string(name) + _pack(entry) for name, entry in self._entries.items()}


def _string(value: str | bytes) -> bytes:
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return _LENGTH.pack(len(raw)) + raw


def _pack(entry: _Entry) -> bytes:
    head = _TYPE.pack(entry.kind)
    match entry.value:
        case str() | bytes() as text:
            return head + _string(text)
        case int() | float() as number:
            return head + layout.SCALARS[entry.kind].pack(number)
        case values:
            return head + _pack_array(values, entry.item_kind)


def _pack_array(values: Sequence[Item], kind: int | None) -> bytes:
    first = values[0]
    head = _LENGTH.pack(len(values))
    if isinstance(values, bytearray):
        return _TYPE.pack(_UINT8) + head + bytes(values)
    if isinstance(first, (str, bytes)):
        return _TYPE.pack(layout.STRING) + head + _packed_strings(cast("Sequence[str | bytes]", values))
    if kind is None:
        kind = layout.BOOL if isinstance(first, bool) else _FLOAT32 if isinstance(first, float) else _INT32
    code = layout.SCALARS[kind].format.lstrip("<")
    return _TYPE.pack(kind) + head + struct.pack(f"<{len(values)}{code}", *values)


def _packed_strings(values: Sequence[str | bytes]) -> bytes:
    """Return strings, each behind its length: joined with gaps that the lengths are then put into, a byte at a time.

    There may be half a million, and a call of ``struct`` for each takes twice as long.
    """
    raw = [value.encode("utf-8") if isinstance(value, str) else value for value in values]
    gap = bytes(_LENGTH.size)
    packed = bytearray(gap + gap.join(raw))
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    steps = lengths + len(gap)
    gaps, into = np.cumsum(steps) - steps, np.frombuffer(packed, np.uint8)
    for place in range((int(lengths.max()).bit_length() + 7) // 8):
        into[gaps + place] = lengths >> (8 * place) & 0xFF
    return bytes(packed)
