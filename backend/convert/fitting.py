"""Whether weights have the shapes that config.json promises: by the rule for finished files, before there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backend.convert.folder import unusable
from backend.convert.hparams import EXPERT_COUNTS, HParams
from backend.convert.keys import Keys
from backend.convert.plan import FILE_TYPES, Tensor
from data.gguf.shapes import impossible_numbers, misfits

if TYPE_CHECKING:
    from backend.convert.family import Family

# Where a family gives another name to what it writes under a key, that comes first.
_ENTRIES: Final[Mapping[str, tuple[str, ...]]] = {
    "embedding_length": ("hidden_size",),
    "feed_forward_length": ("intermediate_size_mlp", "intermediate_size"),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",),
    "attention.value_length": ("head_dim",),
    "attention.key_length_mla": ("qk_nope_head_dim",),
    "attention.value_length_mla": ("v_head_dim",),
    "attention.q_lora_rank": ("q_lora_rank",),
    "attention.kv_lora_rank": ("kv_lora_rank",),
    "rope.dimension_count": ("qk_rope_head_dim",),
    "expert_count": EXPERT_COUNTS,
    "expert_used_count": ("num_experts_per_tok",),
    "expert_shared_count": ("n_shared_experts",),
    "expert_feed_forward_length": ("moe_intermediate_size", "intermediate_size"),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps", "layernorm_epsilon"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
}
"""The entries of config.json that say what stands under a key; the first that is there"""

_WITHOUT_HEAD_DIM: Final = ("hidden_size", "num_attention_heads")
"""What most classes divide where config.json has no head_dim"""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A tensor that llama.cpp would refuse: its shapes have the slowest dimension first, as in the source."""

    weight: str
    """The first of those that it is made of"""
    tensor: str
    shape: tuple[int, ...]
    wanted: tuple[int, ...]
    entries: tuple[str, ...]
    """Of config.json"""


def misplaced_of(family: Family, hparams: HParams, tensors: Iterable[Tensor]) -> Misplaced | None:
    """Return the first of ``tensors`` that has not the shape which config.json promises; None where all have.

    Raises RequestError for a number in config.json that no model can have.
    """
    keys = Keys()
    family.add_keys(keys, hparams, FILE_TYPES["f16"])
    values = keys.values()
    for key, number in impossible_numbers(family.arch, values):
        raise unusable(_entries(key.removeprefix(f"{family.arch}."), hparams)[0], number)
    made = {tensor.name: tensor for tensor in tensors if tensor.parts}
    misfit = next(misfits(family.arch, values, ((name, tensor.shape[::-1]) for name, tensor in made.items())), None)
    if misfit is None:
        return None
    tensor = made[misfit.tensor]
    entries = dict.fromkeys(entry for key in misfit.keys for entry in _entries(key, hparams))
    return Misplaced(tensor.parts[0].weight.name, tensor.name, tensor.shape, misfit.wanted[::-1], tuple(entries))


def _entries(key: str, hparams: HParams) -> tuple[str, ...]:
    names = _ENTRIES.get(key, (key,))
    found = next((name for name in names if hparams.find(name) is not None), names[0])
    return _WITHOUT_HEAD_DIM if found == "head_dim" and not hparams.is_given(found) else (found,)
