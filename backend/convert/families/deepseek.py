"""DeepSeek-V2 and V3 (also R1, V2-Lite): latent attention and experts.

Source: llama.cpp `conversion/deepseek.py` ``DeepseekV2Model``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from backend.convert.decoder import NORMS, STACKED, Decoder
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Part, Tensor
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import _

if TYPE_CHECKING:
    from backend.convert.plan import Rows

_LAYER: Final = re.compile(r"model\.layers\.(\d{1,5})\.")
_DENSE: Final = ("ffn_gate", "ffn_up", "ffn_down")
_SHARED: Final = ("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp")


class DeepseekV2(Decoder):
    """DeepSeek-V2: keys and values are kept as one low-rank vector, which llama.cpp reads as one head."""

    arch = "deepseek2"
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "first_k_dense_replace": 0,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "routed_scaling_factor": 1.0,
        "moe_intermediate_size": 1407,
    }
    in_layer: ClassVar[Mapping[str, str]] = NORMS | {
        "self_attn.q_proj": "attn_q",
        "self_attn.q_a_proj": "attn_q_a",
        "self_attn.q_a_layernorm": "attn_q_a_norm",
        "self_attn.q_b_proj": "attn_q_b",
        "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm": "attn_kv_a_norm",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "mlp.gate": "ffn_gate_inp",
        "mlp.gate.e_score_correction": "exp_probs_b",
        "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
        "mlp.shared_experts.up_proj": "ffn_up_shexp",
        "mlp.shared_experts.down_proj": "ffn_down_shexp",
    }

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json; a null of q_lora_rank says that queries have no low rank."""
        hparams = super().hparams(folder)
        hparams.put("head_dim", hparams.whole("qk_rope_head_dim"))
        return hparams

    def source_name(self, name: str) -> str | None:
        """Return the name with the bias of the router as a bias."""
        return super().source_name(name.replace("e_score_correction_bias", "e_score_correction.bias"))

    def is_dropped(self, name: str, hparams: HParams) -> bool:
        """Drop the layers that predict further tokens, behind the last one that the model needs."""
        found = _LAYER.match(name)
        beyond = found is not None and int(found[1]) >= hparams.layers
        return beyond or super().is_dropped(name, hparams)

    def layer_tensors(self, weight: Weight, layer: int, part: str, kind: str, hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors of a weight; the matrix that unfolds keys and values is cut, and that of keys turned."""
        if part == "self_attn.kv_b_proj" and kind == "weight":
            return _unfolding(weight, layer, hparams)
        return super().layer_tensors(weight, layer, part, kind, hparams)

    def expected_in_layer(self, layer: int, hparams: HParams) -> Iterable[str]:
        """Return what a dense layer, or one with experts, must have."""
        names = {"attn_norm", "ffn_norm", "attn_kv_a_mqa", "attn_kv_a_norm", "attn_k_b", "attn_v_b", "attn_output"}
        names |= {"attn_q"} if hparams.find("q_lora_rank") is None else {"attn_q_a", "attn_q_a_norm", "attn_q_b"}
        if layer < _dense_layers(hparams):
            return names.union(_DENSE)
        shared = _SHARED if hparams.find("n_shared_experts") else ()
        return names.union(("ffn_gate_inp", *STACKED.values(), *shared))

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the common keys, with one head of keys, then those of latent attention and of the experts."""
        heads = hparams.whole("num_key_value_heads")
        hparams.put("num_key_value_heads", 1)
        super().add_keys(keys, hparams, file_type)
        hparams.put("num_key_value_heads", heads)

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the keys of latent attention and of the experts."""
        rank, turning = hparams.whole("kv_lora_rank"), hparams.whole("qk_rope_head_dim")
        query_rank = hparams.whole_or_none("q_lora_rank")
        keys.whole(f"{self.arch}.leading_dense_block_count", _dense_layers(hparams))
        keys.whole(f"{self.arch}.vocab_size", hparams.whole("vocab_size"))
        if query_rank is not None:
            keys.whole(f"{self.arch}.attention.q_lora_rank", query_rank)
        for name, value in (
            ("attention.kv_lora_rank", rank),
            ("attention.key_length", rank + turning),
            ("attention.value_length", rank),
            ("attention.key_length_mla", hparams.whole("qk_nope_head_dim") + turning),
            ("attention.value_length_mla", hparams.whole("v_head_dim")),
            ("expert_feed_forward_length", hparams.whole("moe_intermediate_size", "intermediate_size")),
            ("expert_count", hparams.whole_or_none("n_routed_experts")),
            ("expert_shared_count", hparams.whole_or_none("n_shared_experts") or 0),
        ):
            if value is not None:
                keys.whole(f"{self.arch}.{name}", value)
        scale = hparams.real_or_none("routed_scaling_factor")
        if scale is not None:
            keys.real(f"{self.arch}.expert_weights_scale", scale)
        if hparams.flag("norm_topk_prob"):
            keys.flag(f"{self.arch}.expert_weights_norm", value=True)
        keys.whole(f"{self.arch}.rope.dimension_count", turning)
        if hparams.rope.get("mscale_all_dim") is not None:
            keys.real(f"{self.arch}.rope.scaling.yarn_log_multiplier", 0.1 * hparams.rope_real("mscale_all_dim"))


class DeepseekV3(DeepseekV2):
    """DeepSeek-V3 and R1: V2's form with other defaults, and a bias on the choice of experts."""

    defaults: ClassVar[Mapping[str, object]] = {
        **DeepseekV2.defaults,
        "vocab_size": 129280,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "max_position_embeddings": 4096,
        "moe_intermediate_size": 2048,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "routed_scaling_factor": 2.5,
        "n_group": 8,
        "topk_group": 4,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "norm_topk_prob": True,
    }


def _dense_layers(hparams: HParams) -> int:
    count = hparams.find("first_k_dense_replace")
    if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        return count
    return hparams.layers if hparams.find("n_routed_experts") is None else 0


def _unfolding(weight: Weight, layer: int, hparams: HParams) -> tuple[Tensor, Tensor]:
    """Return the matrices that unfold keys (turned) and values, a stack of heads each.

    ``weight`` is (heads · (key + value rows), rank); keys become (heads, rank, key rows), values (heads, value rows,
    rank). llama.cpp ``convert_hf_to_gguf.py``, ``DeepseekV2Model.modify_tensors`` (``kv_b_proj``).
    """
    heads = hparams.whole("num_key_value_heads")
    key_rows, value_rows = hparams.whole("qk_nope_head_dim"), hparams.whole("v_head_dim")
    both = key_rows + value_rows
    if len(weight.shape) != 2 or weight.shape[0] != heads * both:
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=weight.name),
            _("{rows} rows cannot be divided among {heads} heads.", rows=weight.shape[0], heads=heads),
            _("Export or download the model again."),
        )
    rank = weight.shape[1]
    keys = tuple(Part(weight.rows(head * both, key_rows), rank, _turned) for head in range(heads))
    values = tuple(Part(weight.rows(head * both + key_rows, value_rows)) for head in range(heads))
    return (
        Tensor(f"blk.{layer}.attn_k_b.weight", (heads, rank, key_rows), keys),
        Tensor(f"blk.{layer}.attn_v_b.weight", (heads, value_rows, rank), values),
    )


def _turned(rows: Rows) -> Rows:
    """Return the first two dimensions of one head's block, (rows, rank), the other way round."""
    return rows.swapaxes(0, 1)
