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

RAW_TYPES: Final = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F64": np.dtype("<f8")}
_SAME: Final = {("F32", F32), ("F16", F16), ("BF16", BF16)}
# Per source type: the integer to view a number as, and the pattern of the exponent that only Inf and NaN have.
_EXPONENTS: Final = {
    "F32": (np.dtype("<u4"), 0x7FFFFFFF, 0x7F800000),
    "F16": (np.dtype("<u2"), 0x7FFF, 0x7C00),
    "BF16": (np.dtype("<u2"), 0x7FFF, 0x7F80),
    "F64": (np.dtype("<u8"), 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
}
_BLOCK: Final = 32


class NotFiniteError(ValueError):
    """A tensor holds NaN or Inf: ``in_source`` says whether it did before the cast, or only became so."""

    def __init__(self, *, in_source: bool) -> None:
        super().__init__("NaN or Inf")
        self.in_source = in_source


def is_finite(raw: Raw, dtype: str) -> bool:
    """Say whether all numbers are finite; two passes over the exponents, no conversion."""
    integer, mask, infinite = _EXPONENTS[dtype]
    if raw.size == 0:
        return True
    return int((raw.view(integer) & integer.type(mask)).max()) < infinite


def cast(raw: Raw, dtype: str, type_id: int) -> Raw:
    """Return ``raw`` (rows of the source type ``dtype``) in ggml's type ``type_id``; NotFiniteError for NaN or Inf."""
    if not is_finite(raw, dtype):
        raise NotFiniteError(in_source=True)
    if (dtype, type_id) in _SAME:
        return raw
    floats = to_f32(raw, dtype)
    if type_id == F32:
        return floats
    if type_id == BF16:
        return to_bf16(floats)
    if type_id == F16:
        return to_f16(floats)
    if type_id == Q8_0:
        return to_q8_0(floats)
    msg = f"type {type_id}"
    raise ValueError(msg)


def to_f32(raw: Raw, dtype: str) -> Floats:
    """Return float32; exact for the 16-bit types."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
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


def to_q8_0(floats: Floats) -> NDArray[np.uint8]:
    """Return blocks of 34 bytes for 32 numbers each: a float16 scale, then signed bytes rounded half away from zero.

    Halves are rounded in integers: twice the number, cut to an integer k, gives (k + 1) >> 1 for k >= 0, else k >> 1.
    """
    blocks = np.ascontiguousarray(floats).reshape(-1, _BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scales
        # No inverse: a block of zeros, or of numbers so small that their stored scale is zero all the same.
        inverse[~np.isfinite(inverse)] = 0
        stored = scales.astype(np.float16)
    if not is_finite(stored, "F16"):
        raise NotFiniteError(in_source=False)
    doubled = blocks * inverse
    doubled *= np.float32(2)
    whole = doubled.astype(np.int16)
    whole += np.int16(1) + (whole >> np.int16(15))
    whole >>= np.int16(1)
    result = np.empty((len(blocks), 2 + _BLOCK), dtype=np.uint8)
    result[:, :2] = stored.view(np.uint8)
    result[:, 2:] = whole.astype(np.int8).view(np.uint8)
    return result
