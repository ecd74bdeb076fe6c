"""What is to be written: tensors of the GGUF, each made of parts of the source, and the types that they get.

Source of the type rules: llama.cpp `conversion/base.py` ``ModelBase.prepare_tensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Final

from backend.convert.weights import Weight
from data.gguf.layout import TENSOR_TYPES, TensorType

if TYPE_CHECKING:  # numpy is loaded only when tensors are worked on
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.generic]

F32: Final = 0
F16: Final = 1
Q8_0: Final = 8
BF16: Final = 30

QUANTIZATION_VERSION: Final = 2  # GGML_QNT_VERSION
OUT_TYPES: Final = {"f32": F32, "f16": F16, "bf16": BF16, "q8_0": Q8_0}
FILE_TYPES: Final = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
"""llama.cpp's ``LlamaFileType``"""
_ALWAYS_F32: Final = ("_norm.weight", ".ffn_gate_inp.weight", ".ffn_gate_inp_shexp.weight")
_MATRICES: Final = (".weight", ".lora_a", ".lora_b")


@dataclass(frozen=True, slots=True)
class Part:
    """A source tensor, or half of it, as rows of an output tensor."""

    weight: Weight
    block_rows: int = 1
    reorder: Callable[[Rows], Rows] | None = None
    """Gets ``block_rows`` rows at a time, (block_rows, columns), and returns as many numbers, in the output's order"""
    shift: float = 0.0
    """Added to every number: some models keep their norms as the difference to one"""
    keeps_half: bool = False
    """``reorder`` keeps half of a block: of two matrices that lie side by side, one"""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the GGUF: ``parts`` one behind the other, or ``values`` (float32 bytes) that were computed."""

    name: str
    shape: tuple[int, ...]
    """Slowest dimension first, as in the source"""
    parts: tuple[Part, ...] = ()
    values: bytes = b""
    """``count`` float32 numbers, little endian, in row-major order"""

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    def type_id(self, outtype: str) -> int:
        """Return ggml's number of the type: one-dimensional tensors and norms stay F32, odd rows fall back to F16."""
        if len(self.shape) <= 1 or self.name.endswith(_ALWAYS_F32) or not self.name.endswith(_MATRICES):
            return F32
        wanted = OUT_TYPES[outtype]
        return F16 if self.shape[-1] % TENSOR_TYPES[wanted].block_size else wanted

    def size_bytes(self, outtype: str) -> int:
        """Return the bytes that it takes in the GGUF."""
        packing: TensorType = TENSOR_TYPES[self.type_id(outtype)]
        return self.count // packing.block_size * packing.block_bytes


def single(name: str, weight: Weight) -> Tensor:
    """Return the tensor that takes ``weight`` as it is."""
    return Tensor(name, weight.shape, (Part(weight),))


def guess_outtype(weights: tuple[Weight, ...]) -> str:
    """Return the 16-bit type of the first matrix of the source, "f16" where it is neither (llama.cpp's ``auto``)."""
    for weight in weights:
        if len(weight.shape) >= 2 and weight.dtype in ("BF16", "F16"):
            return weight.dtype.lower()
    return "f16"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many numbers a model has: all, those that every token meets, those of one expert, and the experts."""

    total: int
    shared: int
    expert: int
    experts: int


def parameter_counts(tensors: Sequence[Tensor]) -> Counts:
    """Count as llama.cpp does for ``general.size_label`` (gguf-py ``GGUFWriter.get_total_parameter_count``)."""
    adapts = any(tensor.name.endswith(".lora_b") for tensor in tensors)
    if adapts:  # counted as what they change; the sign says that it is a guess
        columns = {tensor.name[:-1]: tensor.shape[-1] for tensor in tensors if tensor.name.endswith(".lora_a")}
        tensors = [
            replace(tensor, shape=(*tensor.shape[:-1], columns[tensor.name[:-1]]))
            for tensor in tensors
            if tensor.name.endswith(".lora_b")
        ]
    stacks = [tensor for tensor in tensors if "_exps." in tensor.name and len(tensor.shape) >= 3]
    total = sum(tensor.count for tensor in tensors)
    shared = total - sum(tensor.count for tensor in stacks)
    experts = sum(tensor.shape[-3] for tensor in stacks) // len(stacks) if stacks else 0
    return Counts(
        -total if adapts else total, shared, sum(tensor.count // tensor.shape[-3] for tensor in stacks), experts
    )
