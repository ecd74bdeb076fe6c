"""The Llama family: Llama 1 to 3.x, Mistral, and everything saved as LlamaForCausalLM (SmolLM2, Yi, …).

Source: llama.cpp `conversion/llama.py` ``LlamaModel`` (permute, rope factors, keys), `gguf-py/gguf/tensor_mapping.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from backend.convert import hparams as common
from backend.convert import vocabulary
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor, single
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

if TYPE_CHECKING:
    from backend.convert.plan import Rows

_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "LlamaForCausalLM": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
    },
    "MistralForCausalLM": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 4096 * 32,
        "rms_norm_eps": 1e-6,
    },
}
_OUTSIDE: Final = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_LAYER: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
}
_LAYER: Final = re.compile(r"model\.layers\.(\d{1,5})\.(.+)\.(weight|bias)")
_UNUSED: Final = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
_CODE_LLAMA_TOKENS: Final = 32016
_GRANITE_TOKENS: Final = 49152


class Llama:
    """The family's road through the converter."""

    arch = "llama"

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json with the defaults of its class; heads of keys and their width are derived as there."""
        config = dict(folder.config or {})
        defaults = dict(_DEFAULTS[folder.architecture])
        values = {**defaults, **{name: value for name, value in config.items() if value is not None}}
        heads, width = values["num_attention_heads"], values["hidden_size"]
        if isinstance(heads, int) and isinstance(width, int) and heads > 0:
            defaults.setdefault("num_key_value_heads", heads)
            defaults["head_dim"] = width // heads
        known = {name: value for name, value in config.items() if value is not None or name not in defaults}
        return HParams(known, defaults)

    def tensors(self, weights: tuple[Weight, ...], hparams: HParams) -> Iterable[Tensor]:
        """Yield the rope factors, where there are any, then every weight under llama.cpp's name."""
        factors = rope_factors(hparams)
        if factors is not None:
            yield Tensor("rope_freqs.weight", (len(factors) // 4,), values=factors)
        expected = set(self._expected(hparams))
        for weight in weights:
            if weight.name.endswith(_UNUSED) or (
                hparams.flag("tie_word_embeddings") and weight.name == "lm_head.weight"
            ):
                continue
            tensor = self._tensor(weight, hparams)
            expected.discard(tensor.name)
            yield tensor
        if expected:
            names = ", ".join(sorted(expected)[:5])
            raise RequestError(
                _("The model lacks weights that its config.json promises"),
                _("Missing: {names}", names=names),
                _("Export or download the model again."),
            )

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the common keys, the size of the vocabulary and the width of the rope."""
        common.add_common(keys, self.arch, hparams, file_type)
        keys.whole(f"{self.arch}.vocab_size", hparams.whole("vocab_size"))
        keys.whole(f"{self.arch}.rope.dimension_count", hparams.whole("head_dim"))

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return a SentencePiece or a byte-level BPE vocabulary, whichever the folder has."""
        size = hparams.whole("vocab_size")
        found = vocabulary.read_llama(folder, size)
        if size == _CODE_LLAMA_TOKENS:
            found.extra_ids["eot"] = 32010
        if size == _GRANITE_TOKENS:  # llama.cpp tells Granite by its vocabulary's size; SmolLM2 has the same
            found.add_bos_last = False
        return found

    def _expected(self, hparams: HParams) -> Iterator[str]:
        yield "token_embd.weight"
        yield "output_norm.weight"
        if not hparams.flag("tie_word_embeddings"):
            yield "output.weight"
        for layer in range(hparams.whole("num_hidden_layers")):
            for part in _IN_LAYER.values():
                yield f"blk.{layer}.{part}.weight"

    def _tensor(self, weight: Weight, hparams: HParams) -> Tensor:
        found = _LAYER.fullmatch(weight.name)
        if found and found[2] in _IN_LAYER and int(found[1]) < hparams.whole("num_hidden_layers"):
            name = f"blk.{int(found[1])}.{_IN_LAYER[found[2]]}.{found[3]}"
            if found[2] == "self_attn.q_proj":
                return _rotated(name, weight, hparams.whole("num_attention_heads"))
            if found[2] == "self_attn.k_proj":
                return _rotated(name, weight, hparams.whole("num_key_value_heads"))
            return single(name, weight)
        outside = _OUTSIDE.get(weight.name.removesuffix(".weight"))
        if outside and weight.name.endswith(".weight"):
            return single(f"{outside}.weight", weight)
        raise RequestError(
            _("The weight {name} has no place in a Llama model", name=weight.name),
            _("The folder may hold a different architecture, or parts of an adapter."),
            _("Merge the adapter first (paddock export), or use llama.cpp's convert_hf_to_gguf.py."),
        )


def _rotated(name: str, weight: Weight, heads: int) -> Tensor:
    rows = weight.shape[0] if weight.shape else 0
    if rows == 0 or rows % (2 * heads):
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=weight.name),
            _("{rows} rows cannot be divided among {heads} heads.", rows=rows, heads=heads),
            _("Export or download the model again."),
        )
    return Tensor(name, weight.shape, (Part(weight, rows // heads, partial(permute, head_rows=rows // heads)),))


def permute(rows: Rows, *, head_rows: int) -> Rows:
    """Interleave the two halves of each head, as llama.cpp's rope wants them; ``rows`` are those of whole heads."""
    halves = rows.reshape(-1, 2, head_rows // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def rope_factors(hparams: HParams) -> bytes | None:
    """Return Llama 3's frequency factors as float32 bytes; None for a model without that scaling.

    The arithmetic is float32 throughout, as in ``LlamaModel.generate_extra_tensors``, so that the bytes are equal.
    """
    if str(hparams.rope.get("rope_type")).lower() != "llama3":
        return None
    import numpy as np  # noqa: PLC0415 - loaded only when tensors are worked on

    single_precision = np.float32
    width = hparams.whole("head_dim")
    base = hparams.rope_real("rope_theta", 10_000.0)
    factor = hparams.rope_real("factor", 8.0)
    low, high = hparams.rope_real("low_freq_factor", 1.0), hparams.rope_real("high_freq_factor", 4.0)
    context = hparams.rope_real("original_max_position_embeddings", 8192)
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
