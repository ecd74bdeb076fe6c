"""The types that llama-quantize makes of a GGUF in 16 bits, and what each needs.

Source: llama.cpp `tools/quantize/quantize.cpp` (names, bits), `src/llama-quant.cpp` ``tensor_requires_imatrix``.
"""

from __future__ import annotations

from typing import Final

BITS: Final = {
    "q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0,
    "q2_k_s": 2.8, "q2_k": 3.2, "q3_k_s": 3.5, "q3_k_m": 3.9, "q3_k_l": 4.3, "q4_k_s": 4.6, "q4_k_m": 4.9,
    "q5_k_s": 5.6, "q5_k_m": 5.7, "q6_k": 6.6,
    "iq1_s": 1.6, "iq1_m": 1.8, "iq2_xxs": 2.1, "iq2_xs": 2.4, "iq2_s": 2.5, "iq2_m": 2.7,
    "iq3_xxs": 3.1, "iq3_xs": 3.3, "iq3_s": 3.5, "iq3_m": 3.7, "iq4_xs": 4.3, "iq4_nl": 4.5,
}  # fmt: skip
"""Bits a weight takes in a large model, by the name that --outtype has for it"""
NEED_IMATRIX: Final = frozenset({"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "q2_k_s"})
"""Those that llama-quantize refuses to make without an importance matrix"""
SMALL_BLOCKS: Final = frozenset({"q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl"})
"""Those that pack 32 numbers of a row together; all others pack 256"""
USUAL: Final = ("q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q3_k_m", "iq4_xs", "iq3_m")
"""What people choose from when they have no importance matrix, largest first"""
WITH_IMATRIX: Final = ("iq3_xxs", "iq2_m", "iq2_xxs", "iq1_m")
"""What they choose from, too, when they have one"""
# Embedding and output get more bits, and rows that do not divide by 256 a larger type: most of a small model.
_ALLOWANCE: Final = 1.5


def forecast_bytes(outtype: str, source_bytes: int) -> int:
    """Return about how large the file gets that is made of ``source_bytes`` of weights in 16 bits; rather too large."""
    return min(source_bytes, int(source_bytes * BITS[outtype] / 16 * _ALLOWANCE))
