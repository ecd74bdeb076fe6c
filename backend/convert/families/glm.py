"""GLM-4 in transformers' own form: glm-4-9b-chat-hf (Glm) and GLM-4-0414, GLM-Z1 (Glm4).

Source: llama.cpp `conversion/glm.py` ``Glm4Model``, `conversion/chatglm.py` ``ChatGLMModel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from backend.convert import tokenizer
from backend.convert.decoder import ATTENTION, FUSED_MLP, NORMS, Decoder
from backend.convert.families.llama import rope_width
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.vocabulary import Vocabulary

_RULES: Final = ("glm4", "chatglm-bpe")
_ROLES: Final = {"eos": "<|endoftext|>", "eot": "<|user|>", "unk": "<|endoftext|>"}
_DEFAULTS: Final = {
    "vocab_size": 151552,
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1.5625e-07,
    "partial_rotary_factor": 0.5,
}


class Glm4(Decoder):
    """GLM-4-0414 and GLM-Z1: four norms a layer, half of each head turns with the position."""

    arch = "glm4"
    defaults: ClassVar[Mapping[str, object]] = _DEFAULTS
    in_layer: ClassVar[Mapping[str, str]] = (
        ATTENTION
        | FUSED_MLP
        | NORMS
        | {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}
    )

    def add_own_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add the width of the rope."""
        part = hparams.rope_real("partial_rotary_factor", 0.5)
        keys.whole(f"{self.arch}.rope.dimension_count", int(rope_width(hparams) * part))

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the byte-level BPE vocabulary; the turns of a conversation end with the name of the next speaker."""
        return _with_roles(folder, hparams, {**_ROLES, "bos": "<|endoftext|>"})


class Glm(Decoder):
    """glm-4-9b-chat-hf: llama.cpp calls it by its older name."""

    arch = "chatglm"
    defaults: ClassVar[Mapping[str, object]] = _DEFAULTS
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | FUSED_MLP | NORMS

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the keys as llama.cpp derives them for ChatGLM, whose configuration has other names."""
        width = hparams.whole("hidden_size")
        for name, value in (
            ("context_length", hparams.whole_or_none("seq_length") or width),
            ("embedding_length", width),
            ("feed_forward_length", hparams.whole("intermediate_size")),
            ("block_count", hparams.layers),
            ("attention.head_count", hparams.whole("num_attention_heads")),
            ("attention.head_count_kv", hparams.whole("num_key_value_heads")),
        ):
            keys.whole(f"{self.arch}.{name}", value)
        keys.real(f"{self.arch}.attention.layer_norm_rms_epsilon", hparams.real_or_none("layernorm_epsilon") or 1e-5)
        keys.whole("general.file_type", file_type)
        part = hparams.rope_real("partial_rotary_factor", 0.5)
        heads = hparams.whole("num_attention_heads")
        keys.whole(f"{self.arch}.rope.dimension_count", int(width // heads * part))
        keys.flag("tokenizer.ggml.add_bos_token", value=False)
        keys.real(f"{self.arch}.rope.freq_base", 10_000.0)

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the byte-level BPE vocabulary; the turns of a conversation end with the name of the next speaker."""
        return _with_roles(folder, hparams, _ROLES)


def _with_roles(folder: ModelFolder, hparams: HParams, roles: dict[str, str]) -> Vocabulary:
    found = tokenizer.read_byte_level(folder, hparams.whole("vocab_size"), _RULES)
    for role, text in roles.items():
        number = found.id_of(text)
        if number is not None:
            found.special.ids.setdefault(role, number)
    return found
