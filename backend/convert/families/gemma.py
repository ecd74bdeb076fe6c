"""The Gemma family, its text: Gemma 1 (and CodeGemma), 2 and 3.

Source: llama.cpp `conversion/gemma.py` ``GemmaModel``, ``Gemma2Model``, ``Gemma3Model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from backend.convert import hparams as common
from backend.convert import tokenizer
from backend.convert.decoder import ATTENTION, EMBEDDING, MLP, QK_NORMS, Decoder, TextPart
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor, single
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight

_CODE_TOKENS: Final = {"prefix": 67, "suffix": 69, "middle": 68, "fsep": 70, "eot": 107}
_FOUR_NORMS: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


class Gemma(Decoder):
    """Gemma 1: norms are kept as the difference to one, the output is the embedding."""

    arch = "gemma"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
    }
    outside: ClassVar[Mapping[str, str]] = {"model.embed_tokens": EMBEDDING, "model.norm": "output_norm"}

    def is_dropped(self, name: str, hparams: HParams) -> bool:
        """Drop the output matrix, which is the embedding again."""
        return name == "lm_head.weight"

    def outer_tensor(self, name: str, weight: Weight, folder: ModelFolder, hparams: HParams) -> Tensor:
        """Return the tensor, a norm raised by one."""
        return _shifted(name, weight)

    def inner_tensor(self, name: str, place: str, weight: Weight, hparams: HParams) -> Tensor:
        """Return the tensor, a norm raised by one."""
        return _shifted(name, weight)

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the keys of Gemma 1 and 2, which have an order of their own and no rope."""
        for name, value in (
            ("context_length", hparams.whole("max_position_embeddings")),
            ("embedding_length", hparams.whole("hidden_size")),
            ("block_count", hparams.layers),
            ("feed_forward_length", hparams.whole("intermediate_size")),
            ("attention.head_count", hparams.whole("num_attention_heads")),
            ("attention.head_count_kv", hparams.whole("num_key_value_heads")),
        ):
            keys.whole(f"{self.arch}.{name}", value)
        keys.real(f"{self.arch}.attention.layer_norm_rms_epsilon", hparams.real("rms_norm_eps"))
        keys.whole(f"{self.arch}.attention.key_length", hparams.whole("head_dim"))
        keys.whole(f"{self.arch}.attention.value_length", hparams.whole("head_dim"))
        keys.whole("general.file_type", file_type)
        self.add_own_keys(keys, hparams)

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the SentencePiece vocabulary with the tokens of CodeGemma, which llama.cpp gives to every Gemma 1."""
        found = tokenizer.read_pieces(folder, hparams.whole("vocab_size"))
        found.extra_ids.update(_CODE_TOKENS)
        found.last_flags["add_space_prefix"] = False
        return found


class Gemma2(Gemma):
    """Gemma 2: four norms a layer, soft caps, a sliding window in every second layer."""

    arch = "gemma2"
    defaults: ClassVar[Mapping[str, object]] = {
        **Gemma.defaults,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
    }
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | MLP | _FOUR_NORMS

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the soft caps and the window."""
        keys.real(f"{self.arch}.attn_logit_softcapping", hparams.real("attn_logit_softcapping"))
        keys.real(f"{self.arch}.final_logit_softcapping", hparams.real("final_logit_softcapping"))
        keys.whole(f"{self.arch}.attention.sliding_window", hparams.whole("sliding_window"))

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the SentencePiece vocabulary."""
        found = tokenizer.read_pieces(folder, hparams.whole("vocab_size"))
        found.last_flags["add_space_prefix"] = False
        return found


class Gemma3(TextPart, Gemma2):
    """Gemma 3, also the text of the larger ones: norms on queries and keys, another rope in layers with a window."""

    arch = "gemma3"
    defaults: ClassVar[Mapping[str, object]] = {
        **Gemma.defaults,
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
    }
    outside: ClassVar[Mapping[str, str]] = {
        "model.embed_tokens": EMBEDDING,
        "model.norm": "output_norm",
        "lm_head": "output",
    }
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | QK_NORMS | MLP | _FOUR_NORMS

    def is_dropped(self, name: str, hparams: HParams) -> bool:
        """Drop the output matrix of a tied model."""
        return name == "lm_head.weight" and hparams.flag("tie_word_embeddings")

    def outer_tensor(self, name: str, weight: Weight, folder: ModelFolder, hparams: HParams) -> Tensor:
        """Return the tensor; the embedding without rows beyond the vocabulary."""
        size = hparams.whole("vocab_size")
        if name == f"{EMBEDDING}.weight" and weight.shape and size < weight.shape[0]:
            return single(name, weight.rows(0, size))
        return super().outer_tensor(name, weight, folder, hparams)

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the common keys, then the soft cap and the window."""
        common.add_common(keys, self.arch, hparams, file_type)
        cap = hparams.real_or_none("final_logit_softcapping")
        if cap:
            keys.real(f"{self.arch}.final_logit_softcapping", cap)
        if hparams.find("sliding_window_pattern") != 1:
            keys.whole(f"{self.arch}.attention.sliding_window", hparams.whole("sliding_window"))


def _shifted(name: str, weight: Weight) -> Tensor:
    shift = 1.0 if weight.name.endswith("norm.weight") else 0.0
    return Tensor(name, weight.shape, (Part(weight, shift=shift),))
