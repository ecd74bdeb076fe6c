"""OLMo 1, 2 and 3.

Source: llama.cpp `conversion/olmo.py` ``OlmoModel``, ``Olmo2Model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, cast

from backend.convert.decoder import ATTENTION, EMBEDDING, MLP, QK_NORMS, Decoder
from backend.convert.families.llama import rotated
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor, single
from backend.convert.weights import Weight

_DEFAULTS: Final = {
    "vocab_size": 50304,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}
_WINDOW_PERIOD: Final = 4


class Olmo(Decoder):
    """OLMo 1: norms without weights, heads as Llama's."""

    arch = "olmo"
    rules = ("olmo",)
    defaults: ClassVar[Mapping[str, object]] = _DEFAULTS
    outside: ClassVar[Mapping[str, str]] = {"model.embed_tokens": EMBEDDING, "lm_head": "output"}
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | MLP

    def inner_tensor(self, name: str, place: str, weight: Weight, hparams: HParams) -> Tensor:
        """Return the tensor, with the heads of queries and keys interleaved."""
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
        return rotated(name, weight, hparams.whole(heads[place])) if place in heads else single(name, weight)

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the norm's epsilon, which config.json does not have, and the bound of queries, keys and values."""
        keys.real(f"{self.arch}.attention.layer_norm_epsilon", 1e-5)
        bound = hparams.real_or_none("clip_qkv")
        if bound is not None:
            keys.real(f"{self.arch}.attention.clamp_kqv", bound)


class Olmo2(Decoder):
    """OLMo 2 and 3: norms behind attention and feed-forward, and on queries and keys."""

    arch = "olmo2"
    rules = ("dbrx",)
    defaults: ClassVar[Mapping[str, object]] = {**_DEFAULTS, "rms_norm_eps": 1e-5}
    in_layer: ClassVar[Mapping[str, str]] = (
        ATTENTION
        | QK_NORMS
        | MLP
        | {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}
    )

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add OLMo 3's window and the layers that have it."""
        window = hparams.whole_or_none("sliding_window")
        if window is None:
            return
        keys.whole(f"{self.arch}.attention.sliding_window", window)
        kinds = hparams.find("layer_types")
        layers = hparams.layers
        pattern = (
            [kind == "sliding_attention" for kind in cast("list[object]", kinds)]
            if isinstance(kinds, list)
            else [(layer + 1) % _WINDOW_PERIOD != 0 for layer in range(layers)]
        )
        keys.array(f"{self.arch}.attention.sliding_window_pattern", pattern)


class Olmo3(Olmo2):
    """OLMo 3: OLMo 2's form with a window in three layers of four."""

    defaults: ClassVar[Mapping[str, object]] = {**Olmo2.defaults, "sliding_window": 4096}
