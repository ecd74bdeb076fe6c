"""The Qwen family: Qwen2 (and 1.5, 2.5), Qwen3, the mixtures of both, and the text of Qwen2-VL and Qwen3-VL.

Source: llama.cpp `conversion/qwen.py` ``Qwen2Model``, ``Qwen2MoeModel``, ``Qwen3Model``, ``Qwen3MoeModel``,
`conversion/qwenvl.py` ``Qwen2VLModel``, `conversion/qwen3vl.py` ``Qwen3VLTextModel``, ``Qwen3VLMoeTextModel``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, cast

from backend.convert import tokenizer
from backend.convert.decoder import ATTENTION, MLP, NORMS, QK_NORMS, STACKED, Decoder, TextPart
from backend.convert.experts import turned, turned_halves
from backend.convert.folder import Json, ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor, single
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

_DEEPSTACK_LAYERS: Final = 3
"""transformers' default"""


class Qwen2(Decoder):
    """Qwen2: biases on queries, keys and values."""

    arch = "qwen2"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
    }

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return a byte-level BPE vocabulary, or the SentencePiece one of models that took Qwen2's form."""
        return tokenizer.read_pieces_or_byte_level(folder, hparams.whole("vocab_size"))


class Qwen2VL(TextPart, Qwen2):
    """Qwen2-VL and Qwen2.5-VL: their text, whose positions have three parts."""

    arch = "qwen2vl"


class Qwen3(Qwen2):
    """Qwen3: norms on queries and keys instead of biases."""

    arch = "qwen3"
    defaults: ClassVar[Mapping[str, object]] = {**Qwen2.defaults, "head_dim": 128}
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | QK_NORMS | MLP | NORMS


class Qwen2Moe(Decoder):
    """Qwen1.5-MoE and Qwen2-MoE: every layer a mixture, with one shared expert."""

    arch = "qwen2moe"
    defaults: ClassVar[Mapping[str, object]] = {
        **Qwen2.defaults,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts_per_tok": 4,
        "num_experts": 60,
    }
    in_layer: ClassVar[Mapping[str, str]] = (
        ATTENTION
        | NORMS
        | {
            "mlp.gate": "ffn_gate_inp",
            "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
            "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
            "mlp.shared_expert.up_proj": "ffn_up_shexp",
            "mlp.shared_expert.down_proj": "ffn_down_shexp",
        }
    )

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; experts that were stacked already are cut into gate and up."""
        if part == "mlp.experts.down_proj" and kind in ("", "weight"):
            return (single(f"blk.{layer}.{STACKED['down_proj']}.weight", weight),)
        if part == "mlp.experts.gate_up_proj" and kind in ("", "weight"):
            return stacked_halves(weight, layer)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return the experts too."""
        return {*super().expected_in_layer(layer, hparams), *STACKED.values()}

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the widths of the experts."""
        for name, value in (
            ("expert_feed_forward_length", hparams.whole_or_none("moe_intermediate_size")),
            ("expert_shared_feed_forward_length", hparams.whole_or_none("shared_expert_intermediate_size")),
        ):
            if value is not None:
                keys.whole(f"{self.arch}.{name}", value)


class Qwen3Moe(Qwen2Moe):
    """Qwen3-MoE: norms on queries and keys, no shared expert."""

    arch = "qwen3moe"
    defaults: ClassVar[Mapping[str, object]] = {
        **Qwen2.defaults,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 24,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 768,
        "num_experts_per_tok": 8,
        "num_experts": 128,
    }
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | QK_NORMS | NORMS | {"mlp.gate": "ffn_gate_inp"}


class Qwen3VL(TextPart, Qwen3):
    """Qwen3-VL: its text, which takes in what the eyes see in its first layers, too."""

    arch = "qwen3vl"
    defaults: ClassVar[Mapping[str, object]] = {
        **Qwen3.defaults,
        "max_position_embeddings": 128000,
        "rope_theta": 500_000.0,
    }

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add in how many layers that is."""
        super().add_own_keys(keys, hparams)
        keys.whole(f"{self.arch}.n_deepstack_layers", deepstack_layers(hparams))


class Qwen3VLMoe(TextPart, Qwen3Moe):
    """Qwen3-VL as a mixture: the stacks of its experts lie transposed as it was published.

    transformers 5 saves them the other way, as it has them in memory (``conversion_mapping.py``); llama.cpp's script
    makes a file of those that llama.cpp refuses. Both come out right here: their shapes tell them apart.
    """

    arch = "qwen3vlmoe"
    defaults: ClassVar[Mapping[str, object]] = {
        **Qwen3Moe.defaults,
        "intermediate_size": 5632,
        "num_key_value_heads": 16,
        "max_position_embeddings": 128000,
        "moe_intermediate_size": 1408,
        "num_experts_per_tok": 4,
        "num_experts": 60,
        "rope_theta": 500_000.0,
    }
    head_dim_is_derived = True

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; stacks of experts are turned where they lie so, and cut into gate and up."""
        names = {matrix: f"blk.{layer}.{place}.weight" for matrix, place in STACKED.items()}
        width, inner = hparams.whole("hidden_size"), hparams.whole("moe_intermediate_size")
        if part == "mlp.experts.down_proj" and weight.shape[1:] == (inner, width):
            return (turned(names["down_proj"], weight),)
        if part == "mlp.experts.gate_up_proj" and weight.shape[1:] == (width, 2 * inner):
            return turned_halves((names["gate_proj"], names["up_proj"]), weight)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the widths of the experts, and how many layers take in what the eyes see."""
        super().add_own_keys(keys, hparams)
        keys.whole(f"{self.arch}.n_deepstack_layers", deepstack_layers(hparams))


def deepstack_layers(hparams: HParams) -> int:
    """Return how many layers of the text take in what the eyes of Qwen3-VL see."""
    vision = hparams.find("vision_config")
    indexes = cast("Json", vision).get("deepstack_visual_indexes") if isinstance(vision, dict) else None
    return len(cast("list[object]", indexes)) if isinstance(indexes, list) else _DEEPSTACK_LAYERS


def stacked_halves(weight: Weight, layer: int) -> tuple[Tensor, Tensor]:
    """Return gate and up out of a stack (experts, 2 x width, ...) that holds one above the other in each expert."""
    if len(weight.shape) != 3 or weight.shape[1] % 2:
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=weight.name),
            _("It should hold two matrices of each expert."),
            _("Export or download the model again."),
        )
    experts, rows, columns = weight.shape
    half = rows // 2
    gate, up = (
        Tensor(
            f"blk.{layer}.{STACKED[matrix]}.weight",
            (experts, half, columns),
            tuple(Part(weight.rows(expert * rows + first, half)) for expert in range(experts)),
        )
        for matrix, first in (("gate_proj", 0), ("up_proj", half))
    )
    return gate, up
