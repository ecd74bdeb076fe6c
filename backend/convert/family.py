"""What a family of architectures brings: its name in GGUF, its keys, its tensors. One module each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from backend.convert.families import (
    cohere,
    deepseek,
    gemma,
    glm,
    granite,
    internlm,
    llama,
    llama_text,
    olmo,
    phi,
    qwen,
    starcoder,
)
from backend.convert.folder import ModelFolder
from backend.convert.hparams import HParams
from backend.convert.keys import Keys
from backend.convert.plan import Tensor
from backend.convert.refusal import UnknownHereError
from backend.convert.vocabulary import Vocabulary
from backend.convert.weights import Weight
from data.i18n import _


class Family(Protocol):
    """The road of one family through the converter; stateless."""

    arch: str
    """``general.architecture``"""

    def hparams(self, folder: ModelFolder) -> HParams:
        """Return config.json with the defaults of its class."""
        ...

    def tensors(self, folder: ModelFolder, weights: tuple[Weight, ...], hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors in llama.cpp's order; RequestError for one that has no place or one that is missing."""
        ...

    def placed(self, folder: ModelFolder, weights: Iterable[Weight], hparams: HParams) -> Iterable[Tensor]:
        """Return the tensors that some weights become, whether they are all or not."""
        ...

    def is_dropped(self, name: str, hparams: HParams) -> bool:
        """Say whether a weight is left out although it has a name of the family."""
        ...

    def add_early_keys(self, keys: Keys, hparams: HParams) -> None:
        """Add what llama.cpp writes before everything else."""
        ...

    def add_keys(self, keys: Keys, hparams: HParams, file_type: int) -> None:
        """Add the keys of the architecture."""
        ...

    def vocabulary(self, folder: ModelFolder, hparams: HParams) -> Vocabulary:
        """Return the tokenizer."""
        ...


FAMILIES: Final[Mapping[str, Family]] = {
    "LlamaForCausalLM": llama.Llama(),
    "LLaMAForCausalLM": llama.Llama(),
    "MistralForCausalLM": llama.Mistral(),
    "MixtralForCausalLM": llama.Mixtral(),
    "Mistral3ForConditionalGeneration": llama_text.Mistral3(),
    "Ministral3ForCausalLM": llama_text.Mistral3(),
    "Idefics3ForConditionalGeneration": llama_text.SmolVLM(),
    "SmolVLMForConditionalGeneration": llama_text.SmolVLM(),
    "Llama4ForCausalLM": llama_text.Llama4(),
    "Llama4ForConditionalGeneration": llama_text.Llama4(),
    "Qwen2ForCausalLM": qwen.Qwen2(),
    "Qwen2MoeForCausalLM": qwen.Qwen2Moe(),
    "Qwen2VLForConditionalGeneration": qwen.Qwen2VL(),
    "Qwen2_5_VLForConditionalGeneration": qwen.Qwen2VL(),
    "Qwen3ForCausalLM": qwen.Qwen3(),
    "Qwen3MoeForCausalLM": qwen.Qwen3Moe(),
    "Qwen3VLForConditionalGeneration": qwen.Qwen3VL(),
    "Qwen3VLMoeForConditionalGeneration": qwen.Qwen3VLMoe(),
    "GemmaForCausalLM": gemma.Gemma(),
    "Gemma2ForCausalLM": gemma.Gemma2(),
    "Gemma3ForCausalLM": gemma.Gemma3(),
    "Gemma3ForConditionalGeneration": gemma.Gemma3(),
    "Phi3ForCausalLM": phi.Phi3(),
    "GlmForCausalLM": glm.Glm(),
    "Glm4ForCausalLM": glm.Glm4(),
    "DeepseekV2ForCausalLM": deepseek.DeepseekV2(),
    "DeepseekV3ForCausalLM": deepseek.DeepseekV3(),
    "InternLM2ForCausalLM": internlm.InternLM2(),
    "InternLM3ForCausalLM": internlm.InternLM3(),
    "OlmoForCausalLM": olmo.Olmo(),
    "Olmo2ForCausalLM": olmo.Olmo2(),
    "Olmo3ForCausalLM": olmo.Olmo3(),
    "GraniteForCausalLM": granite.Granite(),
    "GraniteMoeForCausalLM": granite.GraniteMoe(),
    "Starcoder2ForCausalLM": starcoder.StarCoder2(),
    "SmolLM3ForCausalLM": llama.SmolLM3(),
    "CohereForCausalLM": cohere.Cohere(),
    "Cohere2ForCausalLM": cohere.Cohere2(),
}


def family_of(folder: ModelFolder) -> Family:
    """Return the family of the folder's architecture; UnknownHereError for an unknown one."""
    family = FAMILIES.get(folder.architecture)
    if family is None:
        raise UnknownHereError(
            _("The architecture {name} is not known to this converter", name=folder.architecture),
            _("It converts: {names}", names=", ".join(FAMILIES)),
        )
    return family
