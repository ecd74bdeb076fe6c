"""The keys of a GGUF stand in the file as the format says: what is packed is read back as it was set."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.convert.keys import Keys

_TEXT = st.text(max_size=40) | st.sampled_from(["", "\0", "Ġ日本", "x" * 255, "x" * 256, "é" * 40_000])


def _unpacked(raw: bytes) -> list[bytes]:
    """Return the strings of the only key of ``raw``, an array, read one by one."""
    (name,) = struct.unpack_from("<Q", raw)
    kind, element, count = struct.unpack_from("<IIQ", raw, 8 + name)
    assert (kind, element) == (9, 8)
    at, found = 8 + name + 16, list[bytes]()
    for _number in range(count):
        (length,) = struct.unpack_from("<Q", raw, at)
        found.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    assert at == len(raw)
    return found


@given(st.lists(_TEXT | st.binary(max_size=300), min_size=1, max_size=20))
def test_an_array_of_strings_reads_back(values: list[str | bytes]) -> None:
    keys = Keys()
    keys.array("tokens", values)
    assert _unpacked(keys.packed()) == [value.encode() if isinstance(value, str) else value for value in values]


@pytest.mark.parametrize("values", [[True, False], [1, -2, 3], [0.5, -1.5]])
def test_numbers_read_back(values: list[int] | list[float] | list[bool]) -> None:
    keys = Keys()
    keys.array("n", values)
    form = {bool: "?", int: "i", float: "f"}[type(values[0])]
    assert list(struct.unpack(f"<{len(values)}{form}", keys.packed()[8 + 1 + 16 :])) == values


def test_a_key_that_is_set_again_keeps_its_place() -> None:
    keys = Keys()
    keys.text("a", "old")
    keys.whole("b", 1)
    keys.text("a", "new")
    assert list(keys.each_packed()) == ["a", "b"]
    assert keys.packed().endswith(struct.pack("<Q", 1) + b"b" + struct.pack("<II", 4, 1))
