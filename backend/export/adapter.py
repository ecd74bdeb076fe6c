"""What a PEFT adapter acts on, read from its headers: which tensors of the base must differ once it has been merged.

Source: peft 0.18 ``save_and_load.py`` (names in adapter_model.safetensors), ``tuners/lora``, ``tuners/oft``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from backend.convert.cast import RAW_TYPES, to_f32
from backend.convert.weights import ITEM_BYTES, Weight, read_file
from backend.lf.peft import ADAPTER_WEIGHTS
from data.errors import RequestError
from data.i18n import _

_PREFIX: Final = "base_model.model."
# A module's factors. A LoRA's B is zero until the first step that trains it; OFT's R likewise.
_FACTOR: Final = re.compile(
    r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|oft_R|oft_r)(\.weight)?$"
)
_ZERO_AT_FIRST: Final = ("lora_B", "lora_embedding_B", "oft_R", "oft_r")
_MOST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter's reach."""

    path: Path
    modules: frozenset[str]
    """Modules with trained factors, under the base model's names, without ``.weight``"""
    idle: frozenset[str]
    """Modules whose factors are still zero: merging them changes nothing"""
    replaced: frozenset[str]
    """Tensors that the adapter holds whole (modules_to_save, biases), under the base model's names"""


def read_adapter(folder: Path) -> Adapter:
    """Read what the adapter in ``folder`` acts on; raises RequestError where that cannot be told."""
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        raise RequestError(
            _("{path} holds no adapter that can be compared", path=str(folder)),
            _("There is no {name} in it; older ones are pickled.", name=ADAPTER_WEIGHTS),
            _("Save the adapter as safetensors, or leave the comparison out."),
        )
    trained: dict[str, bool] = {}
    replaced: set[str] = set()
    with file.open("rb") as stream:
        for weight in read_file(file):
            name = weight.name.removeprefix(_PREFIX)
            found = _FACTOR.search(name)
            if found is None:
                replaced.add(name.replace(".modules_to_save.", ".").replace(".base_layer.", "."))
                continue
            module = name[: found.start()]
            trained.setdefault(module, False)
            if found[1] in _ZERO_AT_FIRST:
                stream.seek(weight.offset)
                trained[module] |= _has_values(weight, stream.read(min(weight.size_bytes, _MOST_BYTES)))
    return Adapter(
        folder,
        frozenset(module for module, is_trained in trained.items() if is_trained),
        frozenset(module for module, is_trained in trained.items() if not is_trained),
        frozenset(replaced),
    )


def _has_values(weight: Weight, raw: bytes) -> bool:
    if weight.dtype not in ITEM_BYTES:
        return True  # whatever it is, it is not a plain zero matrix
    numbers = np.frombuffer(raw, RAW_TYPES[weight.dtype])
    return bool(np.any(to_f32(numbers, weight.dtype)))
