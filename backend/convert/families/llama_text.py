"""The texts of the Llama family under eyes: Mistral Small 3.1 and Ministral 3, SmolVLM and Idefics 3, and Llama 4.

Source: llama.cpp `conversion/mistral3.py` ``Mistral3Model``, `conversion/llama.py` ``LlamaModel``, ``Llama4Model``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, cast

from backend.convert import tokenizer
from backend.convert.decoder import ATTENTION, NORMS, STACKED, TextPart
from backend.convert.experts import turned, turned_halves
from backend.convert.families.llama import Llama, Mistral
from backend.convert.folder import Json, ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor, single
from backend.convert.refusal import UnknownHereError
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.i18n import _


class Mistral3(TextPart, Mistral):
    """Mistral Small 3.1, and Ministral 3 with a scaling of its own."""

    arch = "mistral3"

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json with the defaults of its class."""
        hparams = super().hparams(folder)
        require_text(folder, hparams, "mistral", "ministral3")
        return hparams

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add Llama's keys, and how Ministral 3 scales positions and attention."""
        super().add_own_keys(keys, hparams)
        if hparams.find("model_type") == "ministral3":
            keys.real(f"{self.arch}.rope.scaling.yarn_log_multiplier", hparams.rope_real("mscale_all_dim"))
            keys.real(f"{self.arch}.attention.temperature_scale", hparams.rope_real("llama_4_scaling_beta"))


class SmolVLM(TextPart, Llama):
    """SmolVLM and Idefics 3: a Llama under eyes."""

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json with the defaults of its class."""
        hparams = super().hparams(folder)
        require_text(folder, hparams, "llama")
        return hparams


class Llama4(TextPart, Llama):
    """Llama 4: experts whose stacks lie transposed, a shared one beside them, and plain layers between."""

    arch = "llama4"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 202048,
        "hidden_size": 5120,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 4096 * 32,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "num_experts_per_tok": 1,
        "num_local_experts": 16,
        "interleave_moe_layer_step": 1,
    }
    head_dim_is_derived = False
    in_layer: ClassVar[Mapping[str, str]] = (
        ATTENTION
        | NORMS
        | {
            "feed_forward.gate_proj": "ffn_gate",
            "feed_forward.up_proj": "ffn_up",
            "feed_forward.down_proj": "ffn_down",
            "feed_forward.router": "ffn_gate_inp",
            "feed_forward.shared_expert.gate_proj": "ffn_gate_shexp",
            "feed_forward.shared_expert.up_proj": "ffn_up_shexp",
            "feed_forward.shared_expert.down_proj": "ffn_down_shexp",
        }
    )

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json; its ``intermediate_size`` is that of an expert, and gets another name."""
        hparams = super().hparams(folder)
        hparams.put("intermediate_size_moe", hparams.whole("intermediate_size"))
        hparams.put("intermediate_size", hparams.whole("intermediate_size_mlp"))
        return hparams

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; stacks of experts are turned, and cut into gate and up."""
        names = {matrix: f"blk.{layer}.{place}.weight" for matrix, place in STACKED.items()}
        if part == "feed_forward.experts.down_proj" and not kind:
            return (turned(names["down_proj"], weight),)
        if part == "feed_forward.experts.gate_up_proj" and not kind:
            return turned_halves((names["gate_proj"], names["up_proj"]), weight)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def inner_tensor(self, name: str, place: str, weight: Weight, hparams: HParams) -> Tensor:
        """Return the tensor as it is: the heads stay in order."""
        return single(name, weight)

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return the experts of a layer that has them, or the plain feed-forward of one that has not."""
        places = {place for place in self.in_layer.values() if not place.startswith("ffn_")} | {"ffn_norm"}
        if is_mixed(layer, hparams):
            shared = {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"}
            return places | shared | {"ffn_gate_inp", *STACKED.values()}
        return places | {"ffn_gate", "ffn_up", "ffn_down"}

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add Llama's keys, where the experts are and how wide, and that no layer has a window, where none has."""
        super().add_own_keys(keys, hparams)
        keys.whole(f"{self.arch}.interleave_moe_layer_step", hparams.whole("interleave_moe_layer_step"))
        keys.whole(f"{self.arch}.expert_feed_forward_length", hparams.whole("intermediate_size_moe"))
        if not has_windows(hparams):
            keys.whole(f"{self.arch}.attention.sliding_window", 0)

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return a byte-level BPE vocabulary."""
        return tokenizer.read_byte_level(folder, hparams.whole("vocab_size"), self.rules)


def is_mixed(layer: int, hparams: HParams) -> bool:
    """Say whether a layer of a Llama 4 has experts."""
    given = hparams.find("moe_layers")
    if isinstance(given, list):
        return layer in cast("list[object]", given)
    return (layer + 1) % hparams.whole("interleave_moe_layer_step") == 0


def has_windows(hparams: HParams) -> bool:
    """Say whether some layer of a Llama 4 looks at the tokens near to it only."""
    kinds = hparams.find("layer_types")
    if isinstance(kinds, list):
        return any(kind != "full_attention" for kind in cast("list[object]", kinds))
    turning = hparams.find("no_rope_layers")
    return not isinstance(turning, list) or any(cast("list[object]", turning))


def require_text(folder: ModelFolder, hparams: HParams, *known: str) -> None:
    """Raise UnknownHereError where a model of several media has another text than its family's."""
    text = (folder.config or {}).get("text_config")
    kind = cast("Json", text).get("model_type") if isinstance(text, dict) else hparams.find("model_type")
    if kind is not None and kind not in known:
        raise UnknownHereError(
            _("The text of this model is of a kind that this converter does not know ({kind})", kind=str(kind)),
            _("Known under {name} are: {names}", name=folder.architecture, names=", ".join(known)),
        )
