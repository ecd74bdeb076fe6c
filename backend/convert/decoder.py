"""What all families have in common: the road of a decoder's weights and keys from config.json to GGUF.

A family module says only what is its own: the names of its weights, its additional keys, its tokenizer, and which
matrices are cut, stacked or reordered. Sources: llama.cpp `conversion/base.py` ``TextModel`` (order and types of keys
and tensors), `gguf-py/gguf/tensor_mapping.py` (names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import ClassVar, Final, cast

from backend.convert import hparams as common
from backend.convert import tokenizer
from backend.convert.experts import Experts
from backend.convert.folder import Json, ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor, single
from backend.convert.refusal import UnknownHereError
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

EMBEDDING: Final = "token_embd"
ATTENTION: Final[dict[str, str]] = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
}
MLP: Final[dict[str, str]] = {
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
FUSED_MLP: Final[dict[str, str]] = {"mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
NORMS: Final[dict[str, str]] = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
QK_NORMS: Final[dict[str, str]] = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
STACKED: Final[dict[str, str]] = {
    "down_proj": "ffn_down_exps",
    "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps",
}
"""The matrices of an expert, in the order in which llama.cpp stacks them"""
_LAYER: Final = re.compile(r"model\.layers\.(\d{1,5})\.(.+?)(?:\.(weight|bias))?")
_UNUSED: Final = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


EYES: Final = ("visual.", "vision_tower.", "vision_model.", "multi_modal_projector.", "model.connector.")
"""What the names of weights hold that belong to the pictures of a model of several media"""


class Decoder:
    """The road through the converter that most families take; stateless. A family overrides what it does otherwise."""

    arch: ClassVar[str]
    """``general.architecture``"""
    defaults: ClassVar[Mapping[str, object]] = {}
    """What transformers' class of the configuration takes where config.json says nothing"""
    outside: ClassVar[Mapping[str, str]] = {
        "model.embed_tokens": EMBEDDING,
        "model.norm": "output_norm",
        "lm_head": "output",
    }
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | MLP | NORMS
    optional: ClassVar[frozenset[str]] = frozenset()
    """Tensors of a layer (llama.cpp's names) that not every model of the family has"""
    expert: ClassVar[re.Pattern[str]] = re.compile(r"mlp\.experts\.(\d{1,4})\.(down_proj|gate_proj|up_proj)\.weight")
    stacked: ClassVar[Mapping[str, str]] = STACKED
    rules: ClassVar[tuple[str, ...]] = ()
    """llama.cpp's names for the pre-tokenizer of the family's models, where several mean the same rule"""
    head_dim_is_derived: ClassVar[bool] = False
    """Whether transformers' class sets ``head_dim`` to the width divided by the heads"""

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json with the defaults of its class, the part about the text on top."""
        hparams = HParams(text_config(folder.config or {}), self.defaults)
        if hparams.find("num_key_value_heads") is None and hparams.find("num_attention_heads") is not None:
            hparams.put("num_key_value_heads", hparams.find("num_attention_heads"))
        if self.head_dim_is_derived and hparams.find("head_dim") is None:
            hparams.put("head_dim", hparams.whole("hidden_size") // hparams.whole("num_attention_heads"))
        return hparams

    def tensors(self, folder: ModelFolder, weights: tuple[Weight, ...], hparams: HParams) -> Iterable[Tensor]:
        """Yield the tensors in llama.cpp's order; RequestError for one without a place, or one that is missing."""
        yield from self.extra_tensors(hparams)
        found: set[str] = set()
        for tensor in self.placed(folder, weights, hparams):
            found.add(tensor.name)
            yield tensor
        missing = list(islice((name for name in self.expected(hparams) if name not in found), 5))
        if missing:
            raise RequestError(
                _("The model lacks weights that its config.json promises"),
                _("Missing: {names}", names=", ".join(missing)),
                _("Export or download the model again."),
            )

    def placed(self, folder: ModelFolder, weights: Iterable[Weight], hparams: HParams) -> Iterator[Tensor]:
        """Yield the tensors that ``weights`` become, complete or not; experts when a layer has all of them."""
        experts = Experts(self.stacked, hparams.whole_or_none(*common.EXPERT_COUNTS) or 0)
        for weight in weights:
            name = self.source_name(weight.name)
            if name is None or self.is_dropped(name, hparams):
                continue
            found = _LAYER.fullmatch(name)
            if found and int(found[1]) < hparams.layers:
                layer, inner = int(found[1]), name.split(".", 3)[3]
                matched = self.expert.fullmatch(inner)
                if matched:
                    yield from experts.add(weight, layer, int(matched[1]), matched[2])
                else:
                    yield from self.layer_tensors(weight, layer, found[2], found[3] or "", hparams)
                continue
            outside = self.outside.get(name.rpartition(".")[0])
            if outside is None or not name.endswith((".weight", ".bias")):
                raise self.no_place(weight)
            yield self.outer_tensor(f"{outside}.{name.rpartition('.')[2]}", weight, folder, hparams)
        experts.refuse_rest()

    def source_name(self, name: str) -> str | None:
        """Return the weight's name as the family's table has it; None for one that a text model does not need."""
        return None if name.endswith(_UNUSED) else name

    def is_dropped(self, name: str, hparams: HParams) -> bool:
        """Say whether a weight is left out although it has a name of the family."""
        return name == "lm_head.weight" and hparams.flag("tie_word_embeddings")

    def outer_tensor(self, name: str, weight: Weight, folder: ModelFolder, hparams: HParams) -> Tensor:
        """Return the tensor of a weight outside the layers."""
        return single(name, weight)

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors that one weight of a layer becomes; ``kind`` is weight, bias, or empty."""
        place = self.in_layer.get(part)
        if place is None or not kind:
            raise self.no_place(weight)
        return (self.inner_tensor(f"blk.{layer}.{place}.{kind}", place, weight, hparams),)

    def inner_tensor(self, name: str, place: str, weight: Weight, hparams: HParams) -> Tensor:
        """Return the tensor of a weight of a layer that becomes one tensor; ``place`` is its name in the layer."""
        return single(name, weight)

    def extra_tensors(self, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors that are computed, before all others."""
        return ()

    def expected(self, hparams: HParams) -> Iterator[str]:
        """Yield the names of the tensors without which the model is not whole."""
        places = set(self.outside.values())
        if hparams.flag("tie_word_embeddings"):
            places.discard("output")
        yield from (f"{place}.weight" for place in sorted(places))
        for layer in range(hparams.layers):
            for place in sorted(self.expected_in_layer(layer, hparams)):
                yield f"blk.{layer}.{place}.weight"

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return the tensors that ``layer`` must have, without the layer's number."""
        return set(self.in_layer.values()) - self.optional

    def no_place(self, weight: Weight) -> UnknownHereError:
        """Return the refusal of a weight that the family does not know."""
        return UnknownHereError(
            _("The weight {name} has no place in a model of the family {arch}", name=weight.name, arch=self.arch),
            _("The folder may hold a different architecture, or parts of an adapter."),
            _("Merge the adapter first (paddock export), or name a recent llama.cpp in the setting llama_cpp_dir."),
        )

    def add_early_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add what llama.cpp writes before everything else, because it finds it while it makes the tensors."""

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the keys of the architecture: the common ones, then the family's own."""
        common.add_common(keys, self.arch, hparams, file_type)
        self.add_own_keys(keys, hparams)

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the keys that the family has beyond the common ones."""

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return a byte-level BPE vocabulary."""
        return tokenizer.read_byte_level(folder, hparams.whole("vocab_size"), self.rules)


class TextPart(Decoder):
    """The text of a model of several media; stands before the family of that text among the bases."""

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json as the family does; whether the output is the embedding, the whole model decides."""
        hparams = super().hparams(folder)
        ties = (folder.config or {}).get("tie_word_embeddings")
        if isinstance(ties, bool):  # the text's own says True in some models whose output is not the embedding
            hparams.put("tie_word_embeddings", ties)
        return hparams

    def source_name(self, name: str) -> str | None:
        """Return the name of a text model's weight; None for the eyes."""
        if any(part in name for part in EYES):
            return None
        return super().source_name(name.replace("language_model.", "").replace("text_model.", ""))


def text_config(config: Json) -> Json:
    """Return config.json with the part about the text, where a model of several media has one, on top."""
    inner = config.get("text_config")
    return {**config, **cast("Json", inner)} if isinstance(inner, dict) else config
