"""StarCoder 2.

Source: llama.cpp `conversion/starcoder.py` ``StarCoder2Model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from backend.convert.decoder import ATTENTION, NORMS, Decoder


class StarCoder2(Decoder):
    """StarCoder 2: biases everywhere, no gate, norms with a mean."""

    arch = "starcoder2"
    rules = ("starcoder",)
    defaults: ClassVar[Mapping[str, object]] = {
        "vocab_size": 49152,
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    }
    in_layer: ClassVar[Mapping[str, str]] = ATTENTION | NORMS | {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
