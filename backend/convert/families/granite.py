"""Granite 3, dense and with experts.

Source: llama.cpp `conversion/granite.py` ``GraniteModel``, ``GraniteMoeModel``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from backend.convert.decoder import ATTENTION, NORMS, STACKED
from backend.convert.families.llama import Llama
from backend.convert.families.qwen import stacked_halves
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor
from backend.convert.weights import Weight

_SCALES: Final = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


class Granite(Llama):
    """Granite: Llama's form with four multipliers."""

    arch = "granite"
    rules = ("refact",)
    defaults: ClassVar[Mapping[str, object]] = {**Llama.defaults, **dict.fromkeys(_SCALES.values(), 1.0)}
    head_dim_is_derived = False

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add what Llama has, then the multipliers."""
        super().add_own_keys(keys, hparams)
        for name, source in _SCALES.items():
            scale = hparams.real_or_none(source)
            if scale:
                keys.real(f"{self.arch}.{name}", scale)


class GraniteMoe(Granite):
    """Granite with experts: gate and up of all experts in one stack."""

    arch = "granitemoe"
    defaults: ClassVar[Mapping[str, object]] = {**Granite.defaults, "num_local_experts": 8, "num_experts_per_tok": 2}
    in_layer: ClassVar[Mapping[str, str]] = (
        ATTENTION
        | NORMS
        | {
            "block_sparse_moe.router.layer": "ffn_gate_inp",
            "block_sparse_moe.output_linear": STACKED["down_proj"],
        }
    )

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; the stack of gate and up is cut."""
        if part == "block_sparse_moe.input_linear" and kind == "weight":
            return stacked_halves(weight, layer)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return gate and up too."""
        return {*super().expected_in_layer(layer, hparams), STACKED["gate_proj"], STACKED["up_proj"]}
