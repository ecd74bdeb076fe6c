"""Cohere's Command-R (Cohere) and Command-R7B, Command-A, Aya Expanse of its second form (Cohere2).

Source: llama.cpp `conversion/command_r.py` ``CommandR2Model``, ``Cohere2Model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from backend.convert.decoder import ATTENTION, EMBEDDING, MLP, QK_NORMS, Decoder
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys

_DEFAULTS: Final = {
    "vocab_size": 256000,
    "hidden_size": 8192,
    "intermediate_size": 22528,
    "num_hidden_layers": 40,
    "num_attention_heads": 64,
    "max_position_embeddings": 8192,
    "layer_norm_eps": 1e-5,
    "logit_scale": 0.0625,
    "tie_word_embeddings": True,
}
_UNSCALED: Final = "none"


class Cohere(Decoder):
    """Command-R: attention and feed-forward side by side, behind one norm; the output is the embedding."""

    arch = "command-r"
    rules = ("command-r",)
    defaults: ClassVar[Mapping[str, object]] = {**_DEFAULTS, "rope_theta": 500_000.0}
    outside: ClassVar[Mapping[str, str]] = {"model.embed_tokens": EMBEDDING, "model.norm": "output_norm"}
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | QK_NORMS | MLP | {"input_layernorm": "attn_norm"}
    optional = frozenset(QK_NORMS.values())

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json; ``model_max_length`` is the context that the model was trained for."""
        hparams = super().hparams(folder)
        longest = hparams.whole_or_none("model_max_length")
        if longest is not None:
            hparams.put("max_position_embeddings", longest)
        return hparams

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the scale of the output."""
        keys.real(f"{self.arch}.logit_scale", hparams.real("logit_scale"))
        keys.text(f"{self.arch}.rope.scaling.type", _UNSCALED)


class Cohere2(Decoder):
    """Command-R7B: a sliding window in three layers of four."""

    arch = "cohere2"
    rules = ("command-r",)
    defaults: ClassVar[Mapping[str, object]] = {**_DEFAULTS, "sliding_window": 4096, "rotary_pct": 1.0}
    outside: ClassVar[Mapping[str, str]] = Cohere.outside
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | MLP | {"input_layernorm": "attn_norm"}
    head_dim_is_derived = True

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the scale of the output, the window and the width of the rope."""
        keys.real(f"{self.arch}.logit_scale", hparams.real("logit_scale"))
        keys.whole(f"{self.arch}.attention.sliding_window", hparams.whole("sliding_window"))
        keys.whole(f"{self.arch}.vocab_size", hparams.whole("vocab_size"))
        head = hparams.whole("hidden_size") // hparams.whole("num_attention_heads")
        keys.whole(f"{self.arch}.rope.dimension_count", int(hparams.real("rotary_pct") * head))
        keys.text(f"{self.arch}.rope.scaling.type", _UNSCALED)
