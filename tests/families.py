"""A tiny random model of every family that the converter knows, and the tokenizer that it gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import vocabularies

TYPES = ("bf16", "f16", "f32", "q8_0", "auto")
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
BASE: dict[str, Any] = {
    "vocab_size": 700,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": None,
}
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GLM = ("<|endoftext|>", "[MASK]", "[gMASK]", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
EXPERTS = {"num_experts": 5, "num_local_experts": 5, "num_experts_per_tok": 2}
MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 28,
}
DEEP_EYES = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 1,
    "out_hidden_size": 64,
    "patch_size": 14,
    "num_position_embeddings": 4,
    "deepstack_visual_indexes": [0],
}
LLAMA4 = {
    "intermediate_size_mlp": 160,
    "head_dim": 32,
    "num_local_experts": 3,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
}
LATENT = {
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 48,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "moe_intermediate_size": 64,
    "n_routed_experts": 6,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
}


@dataclass
class Model:
    """What transformers makes, and under which vocabulary: a small one of a rule, or a real one of llama.cpp's."""

    kind: str
    """transformers' class without its endings"""
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    dtype: str = "bfloat16"
    shard: str = "5GB"
    rule: str = "qwen2"
    """The pre-tokenizer of a small vocabulary"""
    control: tuple[str, ...] = CHAT
    real: str = ""
    """llama.cpp's name of a real vocabulary; SentencePiece ones come as tokenizer.model"""
    tokenizer: dict[str, Any] = field(default_factory=dict[str, Any])
    config_kind: str = ""
    head: str = "ForCausalLM"
    added_at: int | None = None
    """Id of the first token that is added to a SentencePiece vocabulary; behind its pieces where it is not given"""
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Of a model whose code transformers does not have"""
    eyes: dict[str, Any] = field(default_factory=dict[str, Any])
    """vision_config of a model that is more than its text"""
    whole: dict[str, Any] = field(default_factory=dict[str, Any])
    """What its config.json says beside the two"""
    types: tuple[str, ...] = TYPES

    @property
    def is_byte_level(self) -> bool:
        return not self.real or self.real in vocabularies.PRE

    def order(self, folder: Path) -> dict[str, object]:
        """Return what tests/programs/tiny_models.py is to make."""
        config = {**BASE, **self.config}
        if self.real and "vocab_size" not in self.config:
            config["vocab_size"] = vocabularies.size(self.real) + 4
        common = {"folder": str(folder), "dtype": self.dtype, "shard": self.shard}
        if self.weights:
            return {**common, "weights": self.weights, "config": {**config, "architectures": [self.kind + self.head]}}
        config_class, model_class = f"{self.config_kind or self.kind}Config", f"{self.kind}{self.head}"
        if self.eyes:
            config = {"text_config": config, "vision_config": self.eyes, **self.whole}
        elif self.head == "ForConditionalGeneration":
            text = {**config, "sliding_window": 32}
            config = {"text_config": text, "vision_config": VISION, "mm_tokens_per_image": 4}
        return {**common, "config_class": config_class, "model_class": model_class, "config": config}

    def write_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files beside the weights."""
        if not self.real:
            vocabularies.write_small(folder, self.rule, self.control, self.tokenizer)
        elif self.is_byte_level:
            vocabularies.write_bpe(self.real, folder, template=self.real == "llama-bpe", config=self.tokenizer)
        else:
            vocab = vocabularies.write_pieces(self.real, folder)
            count = self.added_at or len(vocab.tokens)
            decoder = {
                "0": {"content": vocab.tokens[0], "special": True},
                str(count): {"content": "<|im_start|>", "special": True},
                str(count + 1): {"content": "▁<tool>", "special": False},
                str(count + 2): {"content": "<|im_end|>", "special": True},
            }
            settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}
            settings |= {**vocab.roles(), "added_tokens_decoder": decoder, **self.tokenizer}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
            if self.added_at is None:
                added = {"<|im_start|>": count, "▁<tool>": count + 1}
                (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")


def qwen2_vl() -> dict[str, tuple[int, ...]]:
    """Return the weights of a tiny Qwen2-VL as they were published: the text has no name of its own."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (700, 64),
        "model.norm.weight": (64,),
        "visual.patch_embed.proj.weight": (16, 3, 2, 14, 14),
        "visual.merger.mlp.0.bias": (16,),
    }
    for layer in range(2):
        inside = f"model.layers.{layer}."
        found |= {
            f"{inside}self_attn.{part}_proj.{kind}": ((rows, 64) if kind == "weight" else (rows,))
            for part, rows in (("q", 64), ("k", 32), ("v", 32))
            for kind in ("weight", "bias")
        }
        found |= {
            f"{inside}self_attn.o_proj.weight": (64, 64),
            f"{inside}mlp.gate_proj.weight": (96, 64),
            f"{inside}mlp.up_proj.weight": (96, 64),
            f"{inside}mlp.down_proj.weight": (64, 96),
            f"{inside}input_layernorm.weight": (64,),
            f"{inside}post_attention_layernorm.weight": (64,),
        }
    return found


def qwen3_vl_moe() -> dict[str, tuple[int, ...]]:
    """Return the weights of a tiny Qwen3-VL-MoE as they were published: the stacks of experts lie transposed."""
    found: dict[str, tuple[int, ...]] = {
        "model.language_model.embed_tokens.weight": (700, 64),
        "model.language_model.norm.weight": (64,),
        "lm_head.weight": (700, 64),
        "model.visual.patch_embed.proj.weight": (16, 3, 2, 14, 14),
        "model.visual.merger.norm.weight": (16,),
    }
    for layer in range(2):
        inside = f"model.language_model.layers.{layer}."
        rows = {"q": 128, "k": 64, "v": 64}
        found |= {f"{inside}self_attn.{part}_proj.weight": (count, 64) for part, count in rows.items()}
        found |= {f"{inside}self_attn.{part}_norm.weight": (32,) for part in ("q", "k")}
        found |= {
            f"{inside}self_attn.o_proj.weight": (64, 128),
            f"{inside}mlp.gate.weight": (5, 64),
            f"{inside}mlp.experts.gate_up_proj": (5, 64, 192),
            f"{inside}mlp.experts.down_proj": (5, 96, 64),
            f"{inside}input_layernorm.weight": (64,),
            f"{inside}post_attention_layernorm.weight": (64,),
        }
    return found


def internlm2() -> dict[str, tuple[int, ...]]:
    """Return the weights of a tiny InternLM 2: 4 heads, 2 groups, width 64."""
    found: dict[str, tuple[int, ...]] = {
        "model.tok_embeddings.weight": (32000, 64),
        "model.norm.weight": (64,),
        "output.weight": (32000, 64),
    }
    for layer in range(2):
        inside = f"model.layers.{layer}."
        found |= {
            f"{inside}attention.wqkv.weight": (128, 64),
            f"{inside}attention.wo.weight": (64, 64),
            f"{inside}feed_forward.w1.weight": (96, 64),
            f"{inside}feed_forward.w2.weight": (64, 96),
            f"{inside}feed_forward.w3.weight": (96, 64),
            f"{inside}attention_norm.weight": (64,),
            f"{inside}ffn_norm.weight": (64,),
        }
    return found


def internlm3() -> dict[str, tuple[int, ...]]:
    """Return the weights of a tiny InternLM 3: Llama's, with biases of queries, keys and values."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (32004, 64),
        "model.norm.weight": (64,),
        "lm_head.weight": (32004, 64),
    }
    rows = {"q_proj": 64, "k_proj": 32, "v_proj": 32}
    for layer in range(2):
        inside = f"model.layers.{layer}."
        for name, count in rows.items():
            found[f"{inside}self_attn.{name}.weight"] = (count, 64)
            found[f"{inside}self_attn.{name}.bias"] = (count,)
        found |= {
            f"{inside}self_attn.o_proj.weight": (64, 64),
            f"{inside}mlp.gate_proj.weight": (96, 64),
            f"{inside}mlp.up_proj.weight": (96, 64),
            f"{inside}mlp.down_proj.weight": (64, 96),
            f"{inside}input_layernorm.weight": (64,),
            f"{inside}post_attention_layernorm.weight": (64,),
        }
    return found


REMOTE = {"bos_token_id": 1, "eos_token_id": 2, "rms_norm_eps": 1e-5, "rope_theta": 1000000, "vocab_size": 32004}
MODELS = {
    "qwen2": Model("Qwen2", {"num_hidden_layers": 11}, shard="150KB"),
    "qwen2-tied-f16": Model("Qwen2", {"tie_word_embeddings": True}, dtype="float16", real="qwen2"),
    "qwen3": Model("Qwen3", {"head_dim": 32, "rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
    "llama-3.1": Model(
        "Llama", {"rope_parameters": LLAMA3, "head_dim": 64}, rule="llama-bpe", real="llama-bpe", types=("q8_0", "auto")
    ),
    "llama-3.2-tied": Model(
        "Llama",
        {"rope_parameters": {**LLAMA3, "factor": 32.0}, "head_dim": 128, "tie_word_embeddings": True},
        real="llama-bpe",
        tokenizer={"chat_template": "{{ messages[0]['content'] }}"},
        types=("bf16",),
    ),
    "llama-2": Model("Llama", {"num_key_value_heads": 4}, real="llama-spm"),
    "smollm-biased-sharded": Model(
        "Llama",
        {
            "attention_bias": True,
            "mlp_bias": True,
            "num_hidden_layers": 11,
            "vocab_size": 49152,
            "hidden_size": 48,
            "intermediate_size": 80,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        },
        shard="1MB",
        real="starcoder",
    ),
    "llama-f32-yarn": Model(
        "Llama",
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6, "beta_fast": 32.0}},
        dtype="float32",
        real="gpt-2",
        types=("q8_0", "auto"),
    ),
    "gemma": Model("Gemma", {"head_dim": 32}, real="llama-spm"),
    "gemma-2-f16": Model("Gemma2", {"head_dim": 32, "sliding_window": 64}, dtype="float16", real="llama-spm"),
    "gemma-3": Model("Gemma3", {"head_dim": 32, "sliding_window": 64}, config_kind="Gemma3Text", real="llama-spm"),
    "gemma-3-scaled": Model(
        "Gemma3",
        {
            "head_dim": 32,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
        config_kind="Gemma3Text",
        real="llama-spm",
        types=("auto",),
    ),
    "gemma-3-with-eyes": Model("Gemma3", {"head_dim": 32}, head="ForConditionalGeneration", real="llama-spm"),
    "mistral": Model("Mistral", {"sliding_window": None}, real="llama-spm"),
    "mistral-nemo": Model("Mistral", {"head_dim": 32}, rule="tekken", control=("<s>", "</s>", "[INST]", "[/INST]")),
    "qwen2-vl": Model(
        "Qwen2VL",
        {"rope_parameters": MROPE},
        head="ForConditionalGeneration",
        eyes={"depth": 1, "embed_dim": 16, "hidden_size": 64, "num_heads": 1, "mlp_ratio": 1, "patch_size": 14},
        types=("auto", "q8_0"),
    ),
    "qwen2-vl as published": Model(
        "Qwen2VL",
        {
            "model_type": "qwen2_vl",
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
            "rope_theta": 1e6,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "vision_config": {"depth": 1, "embed_dim": 16, "hidden_size": 64, "num_heads": 1},
        },
        head="ForConditionalGeneration",
        weights=qwen2_vl(),
        types=("auto", "q8_0"),
    ),
    "qwen2.5-vl": Model(
        "Qwen2_5_VL",
        {"rope_parameters": MROPE},
        head="ForConditionalGeneration",
        eyes={"depth": 1, "hidden_size": 16, "out_hidden_size": 64, "num_heads": 1, "intermediate_size": 16},
        types=("auto", "q8_0"),
    ),
    "qwen3-vl": Model(
        "Qwen3VL",
        {"rope_parameters": MROPE, "head_dim": 32},
        head="ForConditionalGeneration",
        eyes=DEEP_EYES,
    ),
    "qwen3-vl-tied": Model(
        "Qwen3VL",
        {"rope_parameters": MROPE, "head_dim": 32},
        head="ForConditionalGeneration",
        eyes={**DEEP_EYES, "depth": 2, "deepstack_visual_indexes": [0, 1]},
        whole={"tie_word_embeddings": True},
        types=("auto",),
    ),
    "qwen3-vl-moe as published": Model(
        "Qwen3VLMoe",
        {
            "model_type": "qwen3_vl_moe",
            "tie_word_embeddings": False,
            "text_config": {
                **BASE,
                **EXPERTS,
                "model_type": "qwen3_vl_moe_text",
                "rope_scaling": {"rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True},
                "rope_theta": 5e6,
                "head_dim": 32,
                "moe_intermediate_size": 96,
            },
            "vision_config": DEEP_EYES,
        },
        head="ForConditionalGeneration",
        weights=qwen3_vl_moe(),
    ),
    "mistral-small-3.1": Model(
        "Mistral3",
        {"head_dim": 32, "model_type": "mistral", "sliding_window": None},
        head="ForConditionalGeneration",
        eyes={**VISION, "patch_size": 14, "head_dim": 16, "model_type": "pixtral"},
        whole={"tie_word_embeddings": False},
        rule="tekken",
        control=("<s>", "</s>", "[INST]", "[/INST]"),
    ),
    "ministral-3": Model(
        "Mistral3",
        {"head_dim": 32, "model_type": "ministral3"},
        head="ForConditionalGeneration",
        eyes={**VISION, "patch_size": 14, "head_dim": 16, "model_type": "pixtral"},
        whole={"tie_word_embeddings": True},
        rule="tekken",
        control=("<s>", "</s>", "[INST]", "[/INST]"),
        types=("auto", "q8_0"),
    ),
    "smolvlm": Model(
        "SmolVLM",
        {"architectures": ["VLlama3ForCausalLM"], "model_type": "llama"},
        head="ForConditionalGeneration",
        eyes={**VISION, "patch_size": 14},
        whole={"pad_token_id": 2},
        rule="smollm",
    ),
    "idefics-3": Model(
        "Idefics3",
        {"architectures": ["VLlama3ForCausalLM"], "model_type": "llama", "rope_parameters": LLAMA3},
        head="ForConditionalGeneration",
        eyes={**VISION, "patch_size": 14},
        whole={"pad_token_id": 2},
        rule="llama-bpe",
        types=("auto", "q8_0"),
    ),
    "llama-4": Model(
        "Llama4",
        {**LLAMA4, "num_hidden_layers": 4},
        config_kind="Llama4Text",
        rule="gpt-4o",
        shard="100KB",
    ),
    "llama-4-with-eyes": Model(
        "Llama4",
        {**LLAMA4, "layer_types": ["full_attention"] * 2, "rope_parameters": {**LLAMA3, "factor": 16.0}},
        head="ForConditionalGeneration",
        eyes={
            **VISION,
            "intermediate_size": 64,
            "patch_size": 14,
            "vision_output_dim": 64,
            "projector_input_dim": 64,
            "projector_output_dim": 64,
        },
        rule="gpt-4o",
        types=("auto", "q8_0"),
    ),
    "qwen2-moe": Model(
        "Qwen2Moe",
        {**EXPERTS, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 128},
        shard="100KB",
    ),
    "qwen3-moe": Model("Qwen3Moe", {**EXPERTS, "head_dim": 32, "moe_intermediate_size": 64}),
    "phi-3": Model("Phi3", real="llama-spm"),
    "phi-3-long": Model(
        "Phi3",
        {
            "max_position_embeddings": 8192,
            "original_max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "long_factor": [1.1 + number / 7 for number in range(8)],
                "short_factor": [1.0 + number / 9 for number in range(8)],
            },
            "sliding_window": 1024,
        },
        real="llama-spm",
    ),
    "phi-4": Model(
        "Phi3",
        {"partial_rotary_factor": 0.5},
        rule="dbrx",
        tokenizer={"tokenizer_class": "GPT2Tokenizer"},
    ),
    "glm-4-0414": Model("Glm4", {"head_dim": 32}, rule="glm4", control=GLM),
    "glm-4": Model("Glm", {"head_dim": 16}, rule="chatglm-bpe", control=GLM),
    "deepseek-v2": Model("DeepseekV2", {**LATENT, "routed_scaling_factor": 16.0}, rule="deepseek-llm"),
    "deepseek-v2-lite": Model("DeepseekV2", {**LATENT, "q_lora_rank": None, "n_group": None, "topk_group": None}),
    "deepseek-v3": Model(
        "DeepseekV3",
        {
            **LATENT,
            "scoring_func": "sigmoid",
            "rope_parameters": {"rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0},
        },
        rule="deepseek-v3",
    ),
    "internlm2": Model(
        "InternLM2", {**REMOTE, "vocab_size": 32000}, real="llama-spm", added_at=31000, weights=internlm2()
    ),
    "internlm3": Model(
        "InternLM3",
        {**REMOTE, "head_dim": 16},
        real="llama-spm",
        weights=internlm3(),
        tokenizer={"add_prefix_space": False},
    ),
    "yi": Model("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6}}, real="llama-spm"),
    "mixtral": Model("Mixtral", {**EXPERTS, "sliding_window": None}, real="llama-spm"),
    "olmo": Model("Olmo", {"clip_qkv": 8.0}, rule="olmo"),
    "olmo-2": Model("Olmo2", rule="dbrx"),
    "olmo-3": Model("Olmo3", {"num_hidden_layers": 5}, rule="dbrx"),
    "granite": Model(
        "Granite",
        {
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.01,
        },
        rule="refact",
    ),
    "granite-moe": Model("GraniteMoe", {"num_local_experts": 4, "num_experts_per_tok": 2}, rule="refact"),
    "starcoder2": Model("Starcoder2", {"norm_epsilon": 1e-5}, rule="starcoder"),
    "smollm3": Model("SmolLM3", {"no_rope_layers": [1, 0], "pad_token_id": 2}, rule="smaug-bpe"),
    "command-r": Model("Cohere", {"use_qk_norm": True, "model_max_length": 131072}, rule="command-r"),
    "command-r7b": Model("Cohere2", {"sliding_window": 128, "rotary_pct": 1.0}, rule="command-r"),
}
