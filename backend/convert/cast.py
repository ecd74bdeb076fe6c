"""Numbers from one type to another, bit for bit as llama.cpp does it, in numpy (which releases the GIL).

Sources: gguf-py `quants.py` (BF16, Q8_0), ggml `ggml-impl.h` ``ggml_compute_fp32_to_bf16``, `ggml-quants.c`
``quantize_row_q8_0_ref``. Arrays keep their raw form: bfloat16 is uint16, float16 is numpy's own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from backend.convert.plan import BF16, F16, F32, Q8_0

Raw = NDArray[np.generic]
Floats = NDArray[np.float32]
Blocks = NDArray[np.void]

RAW_TYPES: Final = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F64": np.dtype("<f8")}
_SAME: Final = {("F32", F32), ("F16", F16), ("BF16", BF16)}
# Per source type: the integers to view a number as, and the pattern of the exponent that only Inf and NaN have.
_EXPONENTS: Final = {
    "F32": (np.dtype("<u4"), np.dtype("<i4"), 0x7F800000),
    "F16": (np.dtype("<u2"), np.dtype("<i2"), 0x7C00),
    "BF16": (np.dtype("<u2"), np.dtype("<i2"), 0x7F80),
    "F64": (np.dtype("<u8"), np.dtype("<i8"), 0x7FF0000000000000),
}
_BLOCK: Final = 32
# ggml's block_q8_0. The numbers are one piece of 32 bytes: numpy then copies a block at a time, not a number at a time.
_Q8_0_BLOCK: Final = np.dtype([("d", "<f2"), ("qs", f"V{_BLOCK}")])
# Numbers at a time. Temporary arrays of smaller pieces stay nearer to a core, but the threads then wait for each other
# at every call of numpy: two threads made 340 million numbers a second of 2^17 into Q8_0, 570 million of 2^19.
_PIECE: Final = 1 << 19
_SIGN: Final = np.uint32(0x80000000)
# The largest float32 below a half: added to a number that is then cut, it rounds halves away from zero, no less up.
_ALMOST_HALF: Final = np.nextafter(np.float32(0.5), np.float32(0)).view(np.uint32)


class NotFiniteError(ValueError):
    """A tensor holds NaN or Inf: ``in_source`` says whether it did before the cast, or only became so."""

    def __init__(self, *, in_source: bool) -> None:
        super().__init__("NaN or Inf")
        self.in_source = in_source


def is_finite(raw: Raw, dtype: str) -> bool:
    """Say whether all numbers are finite: no pattern of bits above that of Inf, of either sign; nothing is copied."""
    unsigned, signed, infinite = _EXPONENTS[dtype]
    if raw.size == 0:
        return True
    sign = 1 << (8 * unsigned.itemsize - 1)
    return int(raw.view(signed).max()) < infinite and int(raw.view(unsigned).max()) < sign + infinite


def cast(raw: Raw, dtype: str, type_id: int, *, shift: float = 0.0) -> Raw:
    """Return ``raw`` (whole rows of the source type ``dtype``) in ggml's type ``type_id``.

    ``shift`` is added before: in half precision where the source has that, else in float32, as llama.cpp's script does.
    Raises NotFiniteError for NaN or Inf, and for numbers that the type cannot hold.
    """
    if type_id == Q8_0 and dtype != "F64" and not shift:
        return _quantised(raw, dtype)  # looks at the largest number of each block, not at all of them
    if not is_finite(raw, dtype):
        raise NotFiniteError(in_source=True)
    if shift:
        raw, dtype = _shifted(raw, dtype, shift)
    if (dtype, type_id) in _SAME:
        return raw
    if type_id == Q8_0:
        return _quantised(to_f32(raw, dtype), "F32")
    result = np.empty(raw.size, dtype=_STORED[type_id])
    for first in range(0, raw.size, _PIECE):
        floats = to_f32(raw[first : first + _PIECE], dtype)
        result[first : first + _PIECE] = _NARROWED[type_id](floats) if type_id in _NARROWED else floats
    return result


def _shifted(raw: Raw, dtype: str, shift: float) -> tuple[Raw, str]:
    if dtype == "F16":
        return raw.astype(np.float16, copy=False) + np.float16(shift), dtype
    return to_f32(raw, dtype) + np.float32(shift), "F32"


def to_f32(raw: Raw, dtype: str) -> Floats:
    """Return float32; exact for the 16-bit types."""
    if dtype == "BF16":
        bits = raw.astype(np.uint32)
        bits <<= np.uint32(16)
        return bits.view(np.float32)
    with np.errstate(over="ignore"):
        floats = raw.astype(np.float32, copy=False)
    if dtype == "F64" and not is_finite(floats, "F32"):
        raise NotFiniteError(in_source=False)
    return floats


def to_bf16(floats: Floats) -> NDArray[np.uint16]:
    """Return bfloat16 as uint16: rounded to nearest, ties to even. The numbers are finite."""
    bits = np.ascontiguousarray(floats).view(np.uint32)
    rounding = bits >> np.uint32(16)
    rounding &= np.uint32(1)
    rounding += np.uint32(0x7FFF)
    rounding += bits
    rounding >>= np.uint32(16)
    result = rounding.astype(np.uint16)
    if not is_finite(result, "BF16"):
        raise NotFiniteError(in_source=False)
    return result


def to_f16(floats: Floats) -> NDArray[np.float16]:
    """Return float16, rounded to nearest even; NotFiniteError where a number is too large for it (65504)."""
    with np.errstate(over="ignore"):
        result = floats.astype(np.float16)
    if not is_finite(result, "F16"):
        raise NotFiniteError(in_source=False)
    return result


_STORED: Final = {F32: np.float32, F16: np.float16, BF16: np.uint16}
_NARROWED: Final = {F16: to_f16, BF16: to_bf16}


def _quantised(raw: Raw, dtype: str) -> Blocks:
    """Return the Q8_0 blocks of ``raw``; NotFiniteError as ``cast`` has it."""
    blocks = np.empty(raw.size // _BLOCK, dtype=_Q8_0_BLOCK)
    for first in range(0, raw.size, _PIECE):
        _quantise(raw[first : first + _PIECE], dtype, blocks[first // _BLOCK : (first + _PIECE) // _BLOCK])
    return blocks


def _quantise(raw: Raw, dtype: str, blocks: Blocks) -> None:
    largest = _largest(raw, dtype)
    if not is_finite(largest, dtype):
        raise NotFiniteError(in_source=True)
    scales = to_f32(largest, dtype) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scales
        # No inverse: a block of zeros, or of numbers so small that their stored scale is zero all the same.
        inverse[~np.isfinite(inverse)] = 0
        stored = scales.astype(np.float16)
    if not is_finite(stored, "F16"):
        raise NotFiniteError(in_source=False)
    # Repeated, not broadcast: one long pass instead of one over each 32 numbers.
    scaled = to_f32(raw, dtype) * np.repeat(inverse, _BLOCK)
    halves = scaled.view(np.uint32) & _SIGN
    halves |= _ALMOST_HALF
    scaled += halves.view(np.float32)
    blocks["d"] = stored
    blocks["qs"] = scaled.astype(np.int8).view(_Q8_0_BLOCK["qs"])


def _largest(raw: Raw, dtype: str) -> Raw:
    """Return the largest absolute value of each block of 32 numbers, in their own type; NaN or Inf where one is in it.

    Without its sign, the pattern of a number grows with the number, so that integers are compared. The blocks are
    turned over word by word first: then a maximum is one pass over long rows, not many over short ones.
    """
    unsigned = _EXPONENTS[dtype][0]
    patterns = raw.view(unsigned) & unsigned.type((1 << (8 * unsigned.itemsize - 1)) - 1)
    words = np.ascontiguousarray(patterns.view(np.uint64).reshape(raw.size // _BLOCK, -1).T)
    lanes = words.view(unsigned).reshape(len(words), -1).max(axis=0).reshape(raw.size // _BLOCK, -1)
    largest = lanes[:, 0]
    for lane in range(1, lanes.shape[1]):
        largest = np.maximum(largest, lanes[:, lane])
    return largest.view(RAW_TYPES[dtype])
