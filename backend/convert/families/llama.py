"""The Llama family: Llama 1 to 3.x, Mistral, Mixtral, Yi, SmolLM2 and 3, and everything saved as LlamaForCausalLM.

Source: llama.cpp `conversion/llama.py` ``LlamaModel`` (permute, rope factors, keys, vocabulary). Models that have eyes
over such a text are in `llama_text.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from backend.convert import tokenizer
from backend.convert.decoder import ATTENTION, NORMS, Decoder
from backend.convert.folder import ModelFolder, unusable
from backend.convert.hparams import MOST_IN_A_HEAD, HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

if TYPE_CHECKING:
    from backend.convert.plan import Rows

_CODE_LLAMA_TOKENS: Final = 32016
_GRANITE_TOKENS: Final = 49152


class Llama(Decoder):
    """Llama, and the many models that took its form."""

    arch = "llama"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
    }
    head_dim_is_derived = True

    def extra_tensors(self, hparams: HParams) -> Iterable[Tensor]:
        """Return the frequency factors of Llama 3's rope, where it has them."""
        factors = rope_factors(hparams, rope_width(hparams))
        return () if factors is None else (Tensor("rope_freqs.weight", (len(factors) // 4,), values=factors),)

    def inner_tensor(self, name: str, place: str, weight: Weight, hparams: HParams) -> Tensor:
        """Return the tensor, with the heads of queries and keys interleaved."""
        if place == "attn_q":
            return rotated(name, weight, hparams.whole("num_attention_heads"))
        if place == "attn_k":
            return rotated(name, weight, hparams.whole("num_key_value_heads"))
        return super().inner_tensor(name, place, weight, hparams)

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the size of the vocabulary and the width of the rope."""
        keys.whole(f"{self.arch}.vocab_size", hparams.whole("vocab_size"))
        keys.whole(f"{self.arch}.rope.dimension_count", rope_width(hparams))

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return a SentencePiece or a byte-level BPE vocabulary, whichever the folder has."""
        size = hparams.whole("vocab_size")
        found = tokenizer.read_llama(folder, size, self.rules)
        if size == _CODE_LLAMA_TOKENS:
            found.extra_ids["eot"] = 32010
        if size == _GRANITE_TOKENS:  # llama.cpp tells Granite by its vocabulary's size; SmolLM2 has the same
            found.last_flags["add_bos_token"] = False
        return found


class Mistral(Llama):
    """Mistral: Llama's form with other defaults."""

    defaults: ClassVar[Mapping[str, object]] = {
        **Llama.defaults,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 4096 * 32,
    }


class Mixtral(Llama):
    """Mixtral: Mistral with experts."""

    defaults: ClassVar[Mapping[str, object]] = {
        **Mistral.defaults,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    }
    head_dim_is_derived = False
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | NORMS | {"block_sparse_moe.gate": "ffn_gate_inp"}
    expert: ClassVar[re.Pattern[str]] = re.compile(r"block_sparse_moe\.experts\.(\d{1,4})\.(w[123])\.weight")
    stacked: ClassVar[Mapping[str, str]] = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return the experts too."""
        return {*super().expected_in_layer(layer, hparams), *self.stacked.values()}


class SmolLM3(Llama):
    """SmolLM3: Llama's form, with layers that have no rope."""

    arch = "smollm3"
    defaults: ClassVar[Mapping[str, object]] = {
        **Llama.defaults,
        "vocab_size": 128256,
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rope_theta": 2e6,
        "tie_word_embeddings": True,
    }
    head_dim_is_derived = False


def rope_width(hparams: HParams) -> int:
    """Return how many numbers of a head turn with the position."""
    given = hparams.whole_or_none("head_dim")
    return given or hparams.whole("hidden_size") // hparams.whole("num_attention_heads")


def rotated(name: str, weight: Weight, heads: int) -> Tensor:
    """Return the tensor of queries or keys as llama.cpp's rope wants them; RequestError where the rows do not fit."""
    return Tensor(name, weight.shape, (rotated_part(weight, heads),))


def rotated_part(weight: Weight, heads: int) -> Part:
    """Return the rows of ``heads`` heads, interleaved; RequestError where the rows cannot be divided among them."""
    rows = weight.shape[0] if weight.shape else 0
    if rows == 0 or rows % (2 * heads):
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=weight.name),
            _("{rows} rows cannot be divided among {heads} heads.", rows=rows, heads=heads),
            _("Export or download the model again."),
        )
    return Part(weight, rows // heads, partial(permute, head_rows=rows // heads))


def permute(rows: Rows, *, head_rows: int) -> Rows:
    """Interleave the two halves of each head, as llama.cpp's rope wants them; ``rows`` are those of whole heads."""
    halves = rows.reshape(-1, 2, head_rows // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def rope_factors(hparams: HParams, width: int) -> bytes | None:
    """Return Llama 3's frequency factors as float32 bytes; None for a model without that scaling.

    The arithmetic is float32 throughout, as in ``LlamaModel.generate_extra_tensors``, so that the bytes are equal.
    """
    if str(hparams.rope.get("rope_type")).lower() != "llama3":
        return None
    if width > MOST_IN_A_HEAD:
        raise unusable("head_dim", width)
    import numpy as np  # noqa: PLC0415 - loaded only when tensors are worked on

    single_precision = np.float32
    base = hparams.rope_positive("rope_theta", 10_000.0)
    factor = hparams.rope_positive("factor", 8.0)
    low, high = hparams.rope_positive("low_freq_factor", 1.0), hparams.rope_positive("high_freq_factor", 4.0)
    context = hparams.rope_positive("original_max_position_embeddings", 8192)
    exponents = np.arange(0, width, 2, dtype=single_precision) / single_precision(width)
    frequencies = single_precision(1.0) / np.power(single_precision(base), exponents)
    factors: list[float] = []
    for frequency in frequencies:
        wavelength = single_precision(2 * math.pi) / frequency
        if wavelength < context / high:
            factors.append(1.0)
        elif wavelength > context / low:
            factors.append(factor)
        else:
            smooth = (single_precision(context) / wavelength - single_precision(low)) / single_precision(high - low)
            one = single_precision(1.0)
            factors.append(float(one / ((one - smooth) / single_precision(factor) + smooth)))
    return np.array(factors, dtype="<f4").tobytes()
