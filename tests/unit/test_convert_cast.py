"""Casting and quantising against gguf's own reference, bit for bit, on every number that could round the other way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backend.convert.cast import RAW_TYPES, NotFiniteError, cast, is_finite, to_f32
from backend.convert.plan import BF16, F16, F32, Q8_0

TYPES = {"F32": F32, "F16": F16, "BF16": BF16, "Q8_0": Q8_0}
COLUMNS = 64


def every_bfloat16() -> np.ndarray:
    """Return all finite patterns of 16 bits as bfloat16, in an order that mixes their sizes within a block."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    finite = patterns[(patterns & 0x7F80) != 0x7F80]
    return np.random.default_rng(5).permutation(finite)[: len(finite) // COLUMNS * COLUMNS]


def reference(floats: np.ndarray, type_id: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        return quantize(floats.reshape(-1, COLUMNS), GGMLQuantizationType(type_id)).reshape(-1).view(np.uint8)


def ours(raw: np.ndarray, dtype: str, type_id: int) -> np.ndarray:
    return cast(raw, dtype, type_id).reshape(-1).view(np.uint8)


def raw_of(floats: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (floats.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return floats.astype(RAW_TYPES[dtype])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F64"])
@pytest.mark.parametrize("name", TYPES)
def test_a_normal_matrix_is_that_of_the_reference(dtype: str, name: str) -> None:
    """More numbers than fit into one piece, so that the seams are crossed."""
    floats = np.random.default_rng(1).standard_normal(3 * (1 << 17) + 5 * COLUMNS) * 0.02
    raw = raw_of(floats, dtype)
    assert np.array_equal(ours(raw, dtype, TYPES[name]), reference(to_f32(raw, dtype), TYPES[name]))


def test_every_bfloat16_is_quantised_as_the_reference_does_it() -> None:
    raw = every_bfloat16()
    sorted_by_size = np.sort(raw & 0x7FFF)[: len(raw) // COLUMNS * COLUMNS]
    small = np.abs(to_f32(raw, "BF16")) < 60_000 * 127  # of those the scale fits float16
    for numbers in (raw[small], sorted_by_size[to_f32(sorted_by_size, "BF16") < 60_000 * 127]):
        whole = numbers[: len(numbers) // COLUMNS * COLUMNS]
        assert np.array_equal(ours(whole, "BF16", Q8_0), reference(to_f32(whole, "BF16"), Q8_0))


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0, 2.0**-20, 1.1e-3])
def test_halves_round_away_from_zero_and_their_neighbours_to_the_nearest(scale: float) -> None:
    halves = (np.arange(-127, 127, dtype=np.float32) + np.float32(0.5)) * np.float32(scale)
    around = np.concatenate([halves, np.nextafter(halves, np.float32(-9e9)), np.nextafter(halves, np.float32(9e9))])
    around = np.concatenate([around, np.array([0.49999997, -0.0, 0.0])]).astype(np.float32)
    blocks = np.resize(around, (len(around) // 31 + 1, 31))
    rows = np.concatenate([blocks, np.full((len(blocks), 1), 127 * scale, dtype=np.float32)], axis=1)
    flat = np.ascontiguousarray(rows[: len(rows) // 2 * 2]).reshape(-1)
    assert np.array_equal(ours(flat, "F32", Q8_0), reference(flat, Q8_0))


@given(
    arrays.arrays(
        np.float32,
        2 * COLUMNS,
        elements=st.floats(-6e4, 6e4, width=32, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-36),
    )
)
def test_any_numbers_are_quantised_and_narrowed_as_the_reference_does_it(numbers: Any) -> None:
    for type_id in (Q8_0, BF16, F16):
        assert np.array_equal(ours(numbers, "F32", type_id), reference(numbers, type_id))


def test_blocks_without_a_scale_become_zeros() -> None:
    assert not ours(np.zeros(COLUMNS, np.float32), "F32", Q8_0).any()
    assert not ours(np.full(COLUMNS, 1e-44, np.float32), "F32", Q8_0).any()


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F64"])
@pytest.mark.parametrize("number", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("background", [1.0, -1.0])
def test_one_number_that_is_not_finite_is_found_anywhere(dtype: str, number: float, background: float) -> None:
    for place in (0, 77, 1023):
        floats = np.full(1024, background)
        floats[place] = number
        assert not is_finite(raw_of(floats, dtype), dtype)
    limits = np.array([np.finfo(np.float16).max, -np.finfo(np.float16).max] * 512)
    assert is_finite(raw_of(limits, dtype), dtype)


@pytest.mark.parametrize("name", ["F16", "Q8_0"])
def test_numbers_beyond_the_type_are_told_from_those_that_were_never_finite(name: str) -> None:
    large = np.full(COLUMNS, 1e38, np.float32)
    with pytest.raises(NotFiniteError) as caught:
        cast(large, "F32", TYPES[name])
    assert not caught.value.in_source
    large[3] = np.inf
    with pytest.raises(NotFiniteError) as caught:
        cast(large, "F32", TYPES[name])
    assert caught.value.in_source


def test_a_shift_is_added_in_the_precision_of_the_source() -> None:
    half = np.full(COLUMNS, 0.0004, np.float16)
    assert np.array_equal(cast(half, "F16", F32, shift=1.0), (half + np.float16(1)).astype(np.float32))
    assert np.array_equal(cast(raw_of(half, "BF16"), "BF16", F32, shift=1.0), to_f32(raw_of(half, "BF16"), "BF16") + 1)
