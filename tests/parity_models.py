"""The models by which every template is tried: tiny random weights under the real vocabulary of its family, if any."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from backend.parity.expression import Tokens, adds_bos, eos_of
from backend.parity.jinja_template import jinja_template
from backend.parity.template import Slots, Template, Token
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_header
from data.gguf import read_header
from tests import oracle, tiny_gguf, vocabularies
from tests.prompts import BOS, DATE, EOS

# Real vocabularies (llama.cpp models/ggml-vocab-*.gguf) whose tokenizers are rebuilt for LLaMA-Factory, by template.
FAMILIES = {
    "llama-bpe": ("llama3", "mllama", "llava_next_llama3", "openchat-3.6"),
    "qwen2": (
        "qwen", "qwen3", "qwen3_nothink", "qwen2_vl", "qwen2_audio", "qwen2_omni", "qwen3_omni", "qwen3_omni_nothink",
        "qwen3_vl", "qwen3_vl_nothink", "chatml", "keye_vl", "mimo", "mimo_v2", "mimo_vl", "llava_next_qwen",
        "opencoder",
    ),
    "llama-spm": ("llama2", "llama2_zh", "mistral", "vicuna", "llava", "llava_next", "llava_next_video", "video_llava"),
    "phi-3": ("phi",),
    "starcoder": ("starchat",),
    "qwen35": ("qwen3_5", "qwen3_5_nothink", "qwen3_6"),
    "deepseek-llm": ("deepseek",),
    "deepseek-coder": ("deepseekcoder",),
    "command-r": ("cohere",),
    "falcon": ("falcon",),
}  # fmt: skip
_WRITES_ROLES_AS_TEXT = ("llama-spm",)
"""Families whose models know no tokens for roles: nothing is added to their vocabulary"""
OFFICIAL = {
    "llama3": "meta-llama-Llama-3.1-8B-Instruct",
    "qwen": "Qwen-Qwen2.5-7B-Instruct",
    "qwen3": "Qwen-Qwen3-0.6B",
    "qwen3_5": "Qwen3.5-4B",
    "gemma2": "google-gemma-2-2b-it",
    "gemma4": "google-gemma-4-31B-it",
    "phi": "microsoft-Phi-3.5-mini-instruct",
    "glm4_moe": "GLM-4.6",
    "glm4_7": "GLM-4.7-Flash",
    "lfm2": "LFM2-8B-A1B",
    "hy3": "tencent-Hy3",
    "gpt_oss": "openai-gpt-oss-120b",
    "granite4": "ibm-granite-granite-4.0",
    "seed_oss": "ByteDance-Seed-OSS",
    "mistral_small": "unsloth-mistral-Devstral-Small-2507",
    "cohere": "CohereForAI-c4ai-command-r-plus-tool_use",
    "mimo_vl": "MiMo-VL",
    "minimax1": "MiniMax-M1",
    "minimax2": "MiniMax-M2",
}
_SPECIAL = re.compile(
    r"<[|｜][^<>|｜]{1,40}[|｜]>|<\|?/?[A-Za-z_:▁]{2,40}\|?>|\[\|?/?[A-Za-z_]{3,30}\|?\]|[\]\[]e?~!?b?\["
)


@functools.cache
def _real(family: str) -> tiny_gguf.Vocabulary:
    return tiny_gguf.Vocabulary.of_gguf(oracle.llama_cpp() / "models" / f"ggml-vocab-{family}.gguf")


def family_of(name: str) -> str:
    """Return the real vocabulary for a template; empty where there is none."""
    return next((family for family, names in FAMILIES.items() if name in names), "")


def special_tokens(template: Template) -> list[str]:
    """Return what looks like a token in the slots of a template, in a stable order."""
    roles: Sequence[Slots] = (template.prefix, template.system, template.user, template.assistant, template.observation)
    found: list[str] = list(template.stop_words)
    for slot in (slot for slots in (*roles, template.function) for slot in slots):
        if isinstance(slot, Token):
            found.append(slot.text)
        elif isinstance(slot, str):
            found += _SPECIAL.findall(slot)
    return list(dict.fromkeys(found))


def vocabulary_of(template: Template) -> tiny_gguf.Vocabulary:
    """Return the vocabulary of the template's family, else one of bytes; with the template's tokens in it."""
    family = family_of(template.name)
    made = copy.deepcopy(_real(family)) if family else tiny_gguf.Vocabulary.of_bytes()
    if made.bos is None:
        made.bos = made.number("<s>")
    if made.eos is None:
        made.eos = made.number("</s>")
    for token in template.stop_words if family in _WRITES_ROLES_AS_TEXT else special_tokens(template):
        made.number(token)
    made.eos = made.number(eos_of(template, made.tokens[made.eos]) or "")
    return made


class Model:
    """The GGUFs of one template, and the folder of its tokenizer."""

    def __init__(self, template: Template, place: Path) -> None:
        self.template = template
        self.place = place / template.name
        self.vocabulary = vocabulary_of(template)
        assert self.vocabulary.bos is not None
        assert self.vocabulary.eos is not None
        self.tokens = Tokens(
            self.vocabulary.tokens[self.vocabulary.bos],
            self.vocabulary.tokens[self.vocabulary.eos],
            adds_bos=adds_bos(template),
            special=self.vocabulary.special(),
        )

    def real(self, text: str) -> str:
        """Return ``text`` with this vocabulary's BOS and EOS, and today's date."""
        today = f"{dt.datetime.now():%d %b %Y}"  # noqa: DTZ005 - as LLaMA-Factory and Ollama do
        return text.replace(BOS, self.tokens.bos or "").replace(EOS, self.tokens.eos or "").replace(DATE, today)

    @functools.cached_property
    def ours(self) -> Path:
        """The GGUF as Paddock converts it."""
        return self._gguf("ours", self.vocabulary, jinja_template(self.template, self.tokens))

    def light(self, name: str, chat_template: str | None) -> Path:
        """Write a GGUF with this chat template and a vocabulary of bytes, for prompts of which only texts are asked.

        A text depends on BOS, EOS and the template alone; a server answers much sooner where the vocabulary is small.
        """
        made = tiny_gguf.Vocabulary.of_bytes()
        made.bos, made.eos = made.number(self.tokens.bos or "<s>"), made.number(self.tokens.eos or "</s>")
        return self._gguf(name, made, chat_template)

    def _gguf(self, name: str, vocabulary: tiny_gguf.Vocabulary, chat_template: str | None) -> Path:
        file = self.place / f"{name}.gguf"
        return tiny_gguf.write(file, vocabulary, add_bos=self.tokens.adds_bos, chat_template=chat_template)

    def runner(self, version: str) -> Runner:
        """Return how an Ollama of ``version`` tokenises."""
        return Runner(from_header(read_header(self.ours)), version)

    def tokenizer(self) -> Path:
        """Write the tokenizer as Hugging Face has it."""
        folder, family = self.place / "tokenizer", family_of(self.template.name)
        if self.vocabulary.model == "llama":
            vocabularies.write_sentencepiece(family, folder, file=self.ours)
        else:
            vocabularies.write_bpe(family or "gpt-2", folder, template=False, file=self.ours)
        return folder

    def official(self) -> str | None:
        """Return the official chat template of the family's model, where one is at hand."""
        name = OFFICIAL.get(self.template.name)
        folder = oracle.llama_cpp() / "models" / "templates"
        return (folder / f"{name}.jinja").read_text(encoding="utf-8") if name else None
