"""InternLM 2 (and 2.5) and 3, which come with code of their own.

Source: llama.cpp `conversion/internlm.py` ``InternLM2Model``, ``InternLM3Model``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from backend.convert import tokenizer
from backend.convert.decoder import EMBEDDING, Decoder
from backend.convert.families.llama import Llama, rotated_part
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

_QUERY_KEY_VALUE: Final = "attention.wqkv"


class InternLM2(Decoder):
    """InternLM 2: queries, keys and values in one matrix, group by group."""

    arch = "internlm2"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 103168,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
    }
    outside: ClassVar[Mapping[str, str]] = {
        "model.tok_embeddings": EMBEDDING,
        "model.norm": "output_norm",
        "output": "output",
    }
    in_layer: ClassVar[Mapping[str, str]] = {
        "attention.wo": "attn_output",
        "feed_forward.w1": "ffn_gate",
        "feed_forward.w2": "ffn_down",
        "feed_forward.w3": "ffn_up",
        "attention_norm": "attn_norm",
        "ffn_norm": "ffn_norm",
    }

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; queries, keys and values are taken apart."""
        if part == _QUERY_KEY_VALUE and kind == "weight":
            return _apart(weight, layer, hparams)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return queries, keys and values too."""
        return {*super().expected_in_layer(layer, hparams), "attn_q", "attn_k", "attn_v"}

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the SentencePiece vocabulary; a conversation's turns end with its own token, not with eos."""
        return tokenizer.read_internlm2(folder, hparams.whole("vocab_size"))


class InternLM3(Llama):
    """InternLM 3: Llama's form."""

    defaults: ClassVar[Mapping[str, object]] = {
        **InternLM2.defaults,
        "vocab_size": 128512,
        "max_position_embeddings": 32768,
    }
    head_dim_is_derived = False

    def extra_tensors(self, hparams: HParams) -> Iterable[Tensor]:
        """Return nothing: its rope is not scaled as Llama's."""
        return ()

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the SentencePiece vocabulary; a conversation's turns end with its own token, not with eos."""
        return tokenizer.read_internlm3(folder, hparams.whole("vocab_size"))

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add what Llama has."""
        super().add_own_keys(keys, hparams)


def _apart(weight: Weight, layer: int, hparams: HParams) -> Iterable[Tensor]:
    """Yield queries, keys and values: each group of the matrix holds its queries, then one key and one value."""
    heads, groups = hparams.whole("num_attention_heads"), hparams.whole("num_key_value_heads")
    width = hparams.whole("hidden_size") // heads
    queries = heads // groups
    group = (queries + 2) * width
    if len(weight.shape) != 2 or weight.shape[0] != groups * group:
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=weight.name),
            _("{rows} rows cannot be divided among {heads} heads.", rows=weight.shape[0], heads=heads),
            _("Export or download the model again."),
        )
    for place, first, count in (("attn_q", 0, queries), ("attn_k", queries, 1), ("attn_v", queries + 1, 1)):
        pieces = [weight.rows(number * group + first * width, count * width) for number in range(groups)]
        parts = tuple(Part(piece) if place == "attn_v" else rotated_part(piece, count) for piece in pieces)
        yield Tensor(f"blk.{layer}.{place}.weight", (groups * count * width, weight.shape[1]), parts)
