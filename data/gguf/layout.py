"""What a GGUF file consists of, as numbers: value types, tensor types, and the limits that a reader keeps.

Source of the format: ggml `docs/gguf.md` and `gguf.h`, version 3 (2 has the same layout).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

MAGIC: Final = b"GGUF"
VERSIONS: Final = frozenset({2, 3})
DEFAULT_ALIGNMENT: Final = 32

STRING: Final = 8
ARRAY: Final = 9
BOOL: Final = 7
SCALARS: Final[dict[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
VALUE_TYPES: Final = {
    0: "uint8",
    1: "int8",
    2: "uint16",
    3: "int16",
    4: "uint32",
    5: "int32",
    6: "float32",
    7: "bool",
    8: "string",
    9: "array",
    10: "uint64",
    11: "int64",
    12: "float64",
}


@dataclass(frozen=True, slots=True)
class TensorType:
    """How weights are packed: ``block_size`` weights in ``block_bytes`` bytes."""

    name: str
    block_size: int
    block_bytes: int


# ggml.h `enum ggml_type` with the sizes of ggml-common.h's blocks.
TENSOR_TYPES: Final = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

# Limits far above any real model (the largest vocabularies have some 262,000 tokens and 515,000 merges, the largest
# headers 30 MB), so low that a file which lies about its lengths is refused within a second and a few megabytes.
MAX_HEADER_BYTES: Final = 128 * 1024 * 1024
MAX_KEYS: Final = 4_096
MAX_TENSORS: Final = 16_384
MAX_DIMENSIONS: Final = 4  # GGML_MAX_DIMS
MAX_NAME_BYTES: Final = 63  # GGML_MAX_NAME less its ending zero
MAX_KEY_BYTES: Final = 1024
MAX_STRING_BYTES: Final = 4 * 1024 * 1024
MAX_TEXT_BYTES: Final = 8 * 1024 * 1024  # of all keys that are text
MAX_STRINGS: Final = 1_500_000  # in all arrays
MAX_ARRAY_BYTES: Final = 64 * 1024 * 1024
MAX_WEIGHTS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Array:
    """An array of a header that is decoded only when asked for, and then read from the file again."""

    element_type: int
    count: int
    offset: int
    pieces: Callable[[], Iterator[Sequence[Scalar | bytes]]]
    """Reads the elements, many at a time"""

    def values(self) -> Iterator[Scalar | bytes]:
        """Yield the elements: numbers, or strings as the bytes that the file holds."""
        return chain.from_iterable(self.pieces())

    def at(self, places: Iterable[int]) -> dict[int, Scalar | bytes]:
        """Return the elements at some places, without looking at each of the others; places outside are left out."""
        waiting = deque(sorted(place for place in set(places) if 0 <= place < self.count))
        found: dict[int, Scalar | bytes] = {}
        begin = 0
        for piece in self.pieces() if waiting else ():
            while waiting and waiting[0] < begin + len(piece):
                place = waiting.popleft()
                found[place] = piece[place - begin]
            begin += len(piece)
            if not waiting:
                break
        return found

    @property
    def type_name(self) -> str:
        """The name of the elements' type, e.g. ``string``."""
        return VALUE_TYPES[self.element_type]

    def texts(self) -> Iterator[str]:
        """Yield the strings of an array of strings; bytes that are not UTF-8 become U+FFFD."""
        for value in self.values():
            yield value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


Scalar = int | float | bool
Value = Scalar | str | Array


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it; ``offset`` counts from the start of the data section."""

    name: str
    shape: tuple[int, ...]
    """ggml's order: the fastest dimension first"""
    type: TensorType
    offset: int
    size_bytes: int
