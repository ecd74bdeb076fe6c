"""Whether tensors have the shapes, and numbers the values, that llama.cpp needs: of a file, or of one to be written.

Both give plain mappings, so that what is checked before a conversion is what is checked before a server gets the file.
Source of the shapes: llama.cpp `src/models/*.cpp` (``load_arch_tensors``), of the defaults `src/llama-model.cpp`
(``llama_model_base::load_hparams``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from data.gguf.layout import Array

MAX_LAYERS: Final = 10_000
"""More than any model has"""

_WIDTH: Final = "embedding_length"
_HEADS: Final = "attention.head_count"
_GROUPS: Final = "attention.head_count_kv"
_KEY: Final = "attention.key_length"
_VALUE: Final = "attention.value_length"
_INNER: Final = "feed_forward_length"
_EXPERTS: Final = "expert_count"
_EXPERTS_USED: Final = "expert_used_count"
_EXPERT_INNER: Final = "expert_feed_forward_length"
_SHARED_INNER: Final = "expert_shared_feed_forward_length"
_SHARED: Final = "expert_shared_count"
_QUERY_RANK: Final = "attention.q_lora_rank"
_RANK: Final = "attention.kv_lora_rank"
_LATENT_KEY: Final = "attention.key_length_mla"
_LATENT_VALUE: Final = "attention.value_length_mla"
_TURNING: Final = "rope.dimension_count"

_OTHERWISE: Final = {
    _GROUPS: _HEADS,
    _LATENT_KEY: _KEY,
    _LATENT_VALUE: _VALUE,
    _EXPERT_INNER: _INNER,
    _SHARED_INNER: _INNER,
}
"""The key that llama.cpp takes where one is missing"""

_Dimension = tuple[tuple[str | int, ...], ...]
"""A sum of products, of keys and numbers"""
_Shape = tuple[_Dimension | None, ...]
"""The fastest dimension first; None for one that no key of the architecture decides"""


def _one(*factors: str | int) -> _Dimension:
    return (factors,)


_ACROSS: Final = _one(_WIDTH)
_QUERIES: Final = _one(_HEADS, _KEY)
_KEYS: Final = _one(_GROUPS, _KEY)
_VALUES: Final = _one(_GROUPS, _VALUE)
_IN_HEADS: Final[Mapping[str, _Shape]] = {
    "attn_q": (_ACROSS, _QUERIES),
    "attn_k": (_ACROSS, _KEYS),
    "attn_v": (_ACROSS, _VALUES),
    "attn_qkv": (_ACROSS, (*_QUERIES, *_KEYS, *_VALUES)),
    "attn_output": (_one(_HEADS, _VALUE), _ACROSS),
}
_NORMS: Final[Mapping[str, _Shape]] = dict.fromkeys(
    ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"), (_ACROSS,)
)
_NORMS_IN_HEADS: Final[Mapping[str, _Shape]] = dict.fromkeys(("attn_q_norm", "attn_k_norm"), (_one(_KEY),))
_FEED_FORWARD: Final[Mapping[str, _Shape]] = {
    "ffn_gate": (_ACROSS, _one(_INNER)),
    "ffn_up": (_ACROSS, _one(_INNER)),
    "ffn_down": (_one(_INNER), _ACROSS),
}
_STACKS: Final[Mapping[str, _Shape]] = {
    "ffn_gate_inp": (_ACROSS, _one(_EXPERTS)),
    "ffn_gate_exps": (_ACROSS, _one(_EXPERT_INNER), _one(_EXPERTS)),
    "ffn_up_exps": (_ACROSS, _one(_EXPERT_INNER), _one(_EXPERTS)),
    "ffn_down_exps": (_one(_EXPERT_INNER), _ACROSS, _one(_EXPERTS)),
}
_LATENT: Final[Mapping[str, _Shape]] = {
    "attn_q": (_ACROSS, _one(_HEADS, _LATENT_KEY)),
    "attn_q_a": (_ACROSS, _one(_QUERY_RANK)),
    "attn_q_b": (_one(_QUERY_RANK), _one(_HEADS, _LATENT_KEY)),
    "attn_q_a_norm": (_one(_QUERY_RANK),),
    "attn_kv_a_mqa": (_ACROSS, ((_RANK,), (_TURNING,))),
    "attn_kv_a_norm": (_one(_RANK),),
    "attn_k_b": (((_LATENT_KEY,), (-1, _TURNING)), _one(_RANK), _one(_HEADS)),
    "attn_v_b": (_one(_RANK), _one(_LATENT_VALUE), _one(_HEADS)),
    "attn_output": (_one(_HEADS, _LATENT_VALUE), _ACROSS),
}
_OUTSIDE: Final[Mapping[str, _Shape]] = {
    "token_embd": (_ACROSS, None),
    "output_norm": (_ACROSS,),
    "output": (_ACROSS, None),
}


def _shared(*inner: str | int) -> Mapping[str, _Shape]:
    """Return the matrices of the experts that every token meets, as wide as the product of ``inner``."""
    return {
        "ffn_gate_shexp": (_ACROSS, _one(*inner)),
        "ffn_up_shexp": (_ACROSS, _one(*inner)),
        "ffn_down_shexp": (_one(*inner), _ACROSS),
    }


_PLAIN: Final = {**_IN_HEADS, **_NORMS, **_FEED_FORWARD}
_FUSED: Final = {**_PLAIN, "ffn_up": (_ACROSS, _one(2, _INNER))}
_MIXED: Final = {**_PLAIN, **_STACKS}
_PLAIN_NORMED: Final = {**_PLAIN, **_NORMS_IN_HEADS}
_MIXED_NORMED: Final = {**_MIXED, **_NORMS_IN_HEADS}
_NORMED_WHOLE: Final[Mapping[str, _Shape]] = {"attn_q_norm": (_QUERIES,), "attn_k_norm": (_KEYS,)}
_NORMED_EACH: Final[Mapping[str, _Shape]] = {
    "attn_q_norm": (_one(_KEY), _one(_HEADS)),
    "attn_k_norm": (_one(_KEY), _one(_GROUPS)),
}
_IN_LAYER: Final[Mapping[str, Mapping[str, _Shape]]] = {
    **dict.fromkeys(("gemma", "gemma2", "granite", "internlm2", "mistral3", "olmo", "smollm3", "starcoder2"), _PLAIN),
    **dict.fromkeys(("qwen2", "qwen2vl", "cohere2"), _PLAIN),
    **dict.fromkeys(("qwen3", "qwen3vl", "gemma3"), _PLAIN_NORMED),
    **dict.fromkeys(("phi3", "glm4", "chatglm"), _FUSED),
    **dict.fromkeys(("llama", "granitemoe"), _MIXED),
    **dict.fromkeys(("qwen3moe", "qwen3vlmoe"), _MIXED_NORMED),
    "olmo2": {**_PLAIN, **_NORMED_WHOLE},
    "command-r": {**_PLAIN, **_NORMED_EACH},
    "qwen2moe": {**_MIXED, **_shared(_SHARED_INNER)},
    "llama4": {**_MIXED, **_shared(_EXPERT_INNER)},
    "deepseek2": {**_NORMS, **_LATENT, **_FEED_FORWARD, **_STACKS, **_shared(_SHARED, _EXPERT_INNER)},
}
"""The architectures whose shapes follow from their keys, and the tensors of a layer of each"""
_PLACE: Final = re.compile(r"(?:blk\.(\d{1,5})\.)?([a-z_]+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A tensor that llama.cpp would refuse: ``shape`` is not the ``wanted`` one, which follows from ``keys``."""

    tensor: str
    shape: tuple[int, ...]
    """The fastest dimension first, as everywhere in a GGUF"""
    wanted: tuple[int, ...]
    keys: tuple[str, ...]
    """Without the name of the architecture"""


@dataclass(frozen=True, slots=True)
class _Size:
    value: int
    keys: tuple[str, ...]


def misfits(
    architecture: str, keys: Mapping[str, object], shapes: Iterable[tuple[str, tuple[int, ...]]]
) -> Iterator[Misfit]:
    """Yield the tensors, given by name and shape (fastest dimension first), that do not have the shape of ``keys``.

    Nothing is said of architectures and tensors whose shape no key decides, nor where a key is missing that has no
    default in llama.cpp. A key may be an array with a value for each layer.
    """
    in_layer = _IN_LAYER.get(architecture)
    if in_layer is None:
        return
    sizes = _Sizes(architecture, keys)
    for name, shape in shapes:
        found = _PLACE.fullmatch(name)
        promised = None if found is None else (in_layer if found[1] else _OUTSIDE).get(found[2])
        if found is None or promised is None or (found[3] == "bias" and len(promised) > 2):
            continue
        wanted = promised if found[3] == "weight" else promised[-1:]
        misfit = _misfit(name, shape, [sizes.of(each, int(found[1] or 0)) for each in wanted])
        if misfit is not None:
            yield misfit


def _misfit(name: str, shape: tuple[int, ...], wanted: Sequence[_Size | None]) -> Misfit | None:
    told = [size for size in wanted if size is not None]
    if len(told) < len(wanted) and len(shape) == len(wanted):  # what is not known is right as it is
        wanted = [size or _Size(given, ()) for size, given in zip(wanted, shape, strict=True)]
    values = tuple(size.value if size else 0 for size in wanted)
    if not told or values == shape:
        return None
    wrong = [size for size, given in zip(wanted, shape, strict=False) if size and size.value != given] or told
    return Misfit(name, shape, values, tuple(dict.fromkeys(key for size in wrong for key in size.keys)))


class _Sizes:
    """What the keys of an architecture say, layer by layer."""

    def __init__(self, architecture: str, keys: Mapping[str, object]) -> None:
        self._architecture = architecture
        self._keys = keys
        self._arrays: dict[str, list[object]] = {}

    def of(self, dimension: _Dimension | None, layer: int) -> _Size | None:
        """Return how large a dimension is in a layer; None where that is not known."""
        if dimension is None:
            return None
        total, names = 0, dict[str, None]()
        for factors in dimension:
            product = 1
            for factor in factors:
                size = _Size(factor, ()) if isinstance(factor, int) else self._read(factor, layer)
                if size is None:
                    return None
                product *= size.value
                names |= dict.fromkeys(size.keys)
            total += product
        return _Size(total, tuple(names))

    def _read(self, name: str, layer: int) -> _Size | None:
        value = self._keys.get(f"{self._architecture}.{name}")
        if value is None:
            return self._default(name, layer)
        if isinstance(value, (Array, list, tuple)):
            value = self._element(name, cast("Array | Sequence[object]", value), layer)
        return _Size(value, (name,)) if isinstance(value, int) and not isinstance(value, bool) else None

    def _element(self, name: str, array: Array | Sequence[object], layer: int) -> object:
        """Return what an array says of a layer; None where it has no such layer, or far too many."""
        if name not in self._arrays:
            count = array.count if isinstance(array, Array) else len(array)
            self._arrays[name] = [
                *((array.values() if isinstance(array, Array) else array) if count <= MAX_LAYERS else ())
            ]
        return self._arrays[name][layer] if layer < len(self._arrays[name]) else None

    def _default(self, name: str, layer: int) -> _Size | None:
        """Return what llama.cpp takes where a key is missing."""
        if name in (_KEY, _VALUE):
            return self._quotient(_WIDTH, _HEADS, 0)
        if name == _EXPERT_INNER and self._architecture.startswith("qwen"):
            return self._quotient(_INNER, _EXPERTS_USED, layer)
        other = _OTHERWISE.get(name)
        return self._read(other, layer) if other else None

    def _quotient(self, name: str, by: str, layer: int) -> _Size | None:
        size, parts = self._read(name, layer), self._read(by, layer)
        if size is None or parts is None:
            return None
        return _Size(size.value // parts.value if parts.value else 0, (*size.keys, *parts.keys))


def impossible_numbers(architecture: str, keys: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Yield the keys of the architecture that no model can have: numbers that are none, epsilons below zero.

    llama.cpp aborts on some of them while it runs (``GGML_ASSERT(eps >= 0.0f)``). Arrays may hold infinities: those of
    Gemma 3n do.
    """
    for name, value in keys.items():
        if name.startswith(f"{architecture}.") and isinstance(value, float) and _is_impossible(name, value):
            yield name, value


def _is_impossible(name: str, value: float) -> bool:
    return not math.isfinite(value) or (name.endswith("epsilon") and value < 0)
