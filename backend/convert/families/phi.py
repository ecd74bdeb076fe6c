"""Phi-3, Phi-3.5 and Phi-4 (also mini).

Source: llama.cpp `conversion/phi.py` ``Phi3MiniModel``; transformers 5.6 ``Phi3Config``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from backend.convert import sentencepiece, tokenizer
from backend.convert.decoder import FUSED_MLP, NORMS, Decoder
from backend.convert.folder import ModelFolder, unusable
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor
from backend.convert.vocabulary import Vocabulary
from data.errors import RequestError
from data.i18n import _

_LONG, _SHORT = "long_factor", "short_factor"
_OLDER_NAMES: Final = ("su", "yarn")


class Phi3(Decoder):
    """Phi-3: queries, keys and values in one matrix, gate and up in another, two sets of rope factors."""

    arch = "phi3"
    rules = ("dbrx",)
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "partial_rotary_factor": 1.0,
    }
    in_layer: ClassVar[Mapping[str, str]] = (
        {"self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output"} | FUSED_MLP | NORMS
    )

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json; the older names of the long rope are its own."""
        hparams = super().hparams(folder)
        if hparams.rope["rope_type"] in _OLDER_NAMES:
            hparams.rope["rope_type"] = "longrope"
        return hparams

    def extra_tensors(self, hparams: HParams) -> Iterable[Tensor]:
        """Return the rope's factors for long and for short texts, of a model that has them."""
        long, short = hparams.rope_reals(_LONG), hparams.rope_reals(_SHORT)
        if not long:
            return
        width = _rope_width(hparams)
        if len(long) != len(short) or len(long) * 2 != width:
            raise RequestError(
                _("config.json of the model has no usable {name}", name=f"rope_scaling.{_LONG}"),
                _("Both lists of factors need {count} numbers.", count=width // 2),
                _("Export or download the model again, or correct config.json."),
            )
        for name, factors in (("rope_factors_long", long), ("rope_factors_short", short)):
            yield Tensor(f"{name}.weight", (len(factors),), values=struct.pack(f"<{len(factors)}f", *factors))

    def add_early_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add by how much attention is scaled for the longer context."""
        if not hparams.rope_reals(_LONG):
            return
        original = _original_context(hparams)
        scale = hparams.whole("max_position_embeddings") / original
        factor = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        keys.real(f"{self.arch}.rope.scaling.attn_factor", factor)

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the keys of Phi-3, which have an order of their own."""
        for name, value in (
            ("context_length", hparams.whole("max_position_embeddings")),
            ("rope.scaling.original_context_length", _original_context(hparams)),
            ("embedding_length", hparams.whole("hidden_size")),
            ("feed_forward_length", hparams.whole("intermediate_size")),
            ("block_count", hparams.layers),
            ("attention.head_count", hparams.whole("num_attention_heads")),
            ("attention.head_count_kv", hparams.whole("num_key_value_heads")),
        ):
            keys.whole(f"{self.arch}.{name}", value)
        keys.real(f"{self.arch}.attention.layer_norm_rms_epsilon", hparams.real("rms_norm_eps"))
        keys.whole(f"{self.arch}.rope.dimension_count", _rope_width(hparams))
        keys.real(f"{self.arch}.rope.freq_base", hparams.rope_real("rope_theta"))
        keys.whole("general.file_type", file_type)
        # Zero tells llama.cpp that this is Phi-4, which has no window.
        keys.whole(f"{self.arch}.attention.sliding_window", hparams.whole_or_none("sliding_window") or 0)

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the SentencePiece vocabulary of Phi-3, or the byte-level BPE of Phi-4."""
        size = hparams.whole("vocab_size")
        settings = folder.json("tokenizer_config.json") or {}
        if settings.get("tokenizer_class") == "GPT2Tokenizer" or not tokenizer.has_pieces(folder):
            return tokenizer.read_byte_level(folder, size, self.rules)
        if not folder.has(sentencepiece.FILE):
            return tokenizer.read_pieces(folder, size)
        return tokenizer.read_phi(folder, size)


def _original_context(hparams: HParams) -> int:
    context = hparams.whole("original_max_position_embeddings")
    if context == 1:  # its logarithm divides
        raise unusable("original_max_position_embeddings", context)
    return context


def _rope_width(hparams: HParams) -> int:
    part = hparams.rope_real("partial_rotary_factor", 1.0)
    return int(part * hparams.whole("hidden_size")) // hparams.whole("num_attention_heads")
