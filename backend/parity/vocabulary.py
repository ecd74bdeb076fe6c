"""The tokenizer keys of a GGUF as values, from the file or from what a server shows of it, and what follows from them.

Source of the defaults: llama.cpp `src/llama-vocab.cpp` (``llama_vocab::impl::load``); for models that Ollama up to 0.24
runs in its own engine, its `fs/ggml/ggml.go` (``OllamaEngineRequired``) and `model/models/*`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from backend.ollama.version import version_key
from data.errors import AppError
from data.gguf import Header
from data.i18n import _

NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
_PATTERNS: Final = Path(__file__).with_name("bpe-patterns.json")
_KEY: Final = "tokenizer.ggml."
_PER_TOKEN: Final = ("token_type", "scores")
_ARRAYS: Final = (*_PER_TOKEN, "precompiled_charsmap")  # of numbers
# The architectures that the line up to 0.24 runs in its own engine, which adds BOS where no key forbids it.
_OWN_ENGINE: Final = frozenset(
    {"deepseek2", "gemma3", "gemma3n", "gemma4", "gptoss", "gpt-oss", "laguna", "llama4", "mistral3", "mllama",
     "nemotron_h", "nemotron_h_moe", "nemotron_h_omni", "olmo3", "qwen25vl", "qwen3", "qwen3moe", "qwen35", "qwen35moe",
     "qwen3next", "qwen3vl", "qwen3vlmoe", "glm4moelite", "lfm2", "lfm2moe"}
)  # fmt: skip
# Names of ``tokenizer.ggml.pre`` that the llama.cpp of Ollama 0.24 does not know.
_SINCE_030: Final = frozenset(
    {"cohere2moe", "exaone-moe", "f2llmv2", "gemma4", "glm5", "granite-embed-multi-97m", "hy_v4", "jais-2",
     "jina-v5-nano", "joyai-llm", "kanana2", "laguna", "mellum2", "minicpm5", "modern-bert", "qwen35", "sarvam-moe",
     "solar-open", "spark2_5", "talkie", "tiny_aya", "ufakzeka", "youtu"}
)  # fmt: skip
# llama.cpp takes a token with such a text for an end of generation, and for special, whatever the keys say.
_ENDS_GENERATION: Final = frozenset(
    {"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
     "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
     "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BpeRule:
    """How byte-level BPE cuts a text first: one of llama.cpp's ``LLAMA_VOCAB_PRE_TYPE``."""

    patterns: tuple[str, ...]
    ignore_merges: bool
    add_bos: bool
    byte_level: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and the keys about them."""

    model: str
    """gpt2 (BPE), llama (SentencePiece), t5 (its unigrams), …"""
    pre: str
    architecture: str
    name: str
    """``general.name``; empty where a server shows the model"""
    tokens: tuple[str, ...] = field(repr=False)
    types: tuple[int, ...] = field(repr=False)
    merges: tuple[str, ...] = field(repr=False)
    scores: tuple[float, ...] = field(repr=False)
    numbers: Mapping[str, int] = field(repr=False)
    """``tokenizer.ggml.*`` keys that are whole numbers"""
    switches: Mapping[str, bool] = field(repr=False)
    """``tokenizer.ggml.*`` keys that are true or false"""
    charsmap: bytes = field(default=b"", repr=False)
    """Of unigrams: SentencePiece's table of characters"""

    @property
    def bos(self) -> int | None:
        """The id of BOS."""
        given = self.numbers.get("bos_token_id")
        if given is not None:
            return given
        if self.model == "llama":
            return 1
        return None if self.model != "gpt2" or self.pre in ("chatglm-bpe", "glm4", "glm5") else 11

    @property
    def eos(self) -> int | None:
        """The id of EOS."""
        return self.numbers.get("eos_token_id", {"llama": 2, "gpt2": 11, "t5": 1}.get(self.model))

    def adds_bos(self, version: str = "") -> bool:
        """Say whether the runner of an Ollama of ``version`` puts BOS before a prompt."""
        if self.bos is None:
            return False
        if self.pre == "gemma4" or self.model == "gemma4":
            return True
        given = self.switches.get("add_bos_token")
        if given is not None:
            return given
        if version and version_key(version) < version_key("0.30.0") and self.architecture in _OWN_ENGINE:
            return True
        if self.model == "gpt2":
            rule = bpe_rules().get(self.cut(version))
            return rule is not None and rule.add_bos
        return self.model in ("llama", "bert")

    def cut(self, version: str = "") -> str:
        """Return the name of the rule by which an Ollama of ``version`` cuts a text first (empty: the newest).

        Up to 0.24 llama.cpp takes its default for a rule that it does not know.
        """
        is_old = bool(version) and version_key(version) < version_key("0.30.0")
        is_unknown = is_old and self.pre in _SINCE_030 and self.architecture not in _OWN_ENGINE
        return "default" if is_unknown or not self.pre else self.pre

    @property
    def seams(self) -> frozenset[str] | None:
        """The special tokens, where a blank stands before every other text (SentencePiece); None where none does."""
        if self.model not in ("llama", "t5") or not self.switches.get("add_space_prefix", self.model == "llama"):
            return None
        return frozenset(token for number, token in enumerate(self.tokens) if token and self.is_special(number))

    @property
    def adds_eos(self) -> bool:
        """Whether the runner puts EOS behind a prompt."""
        return self.switches.get("add_eos_token", self.model == "t5") and self.eos is not None

    def text(self, number: int | None) -> str:
        """Return the text of a token; empty for None and for numbers that are none."""
        return self.tokens[number] if number is not None and 0 <= number < len(self.tokens) else ""

    def ids(self, texts: Sequence[str]) -> dict[str, int]:
        """Return the ids of those of ``texts`` that are one token."""
        wanted = set(texts)
        return {token: number for number, token in enumerate(self.tokens) if token in wanted}

    def is_special(self, number: int) -> bool:
        """Say whether a token is found as a whole in a prompt's text."""
        return self.types[number] in (UNKNOWN, CONTROL, USER_DEFINED) or self.tokens[number] in _ENDS_GENERATION

    def ends_generation(self) -> frozenset[str]:
        """Return the texts of the tokens at which the runner stops by itself."""
        given = (self.numbers.get(f"{role}_token_id") for role in ("eos", "eot", "eom"))
        named = {self.text(number) for number in given if number is not None} | {self.text(self.eos)}
        known = _ENDS_GENERATION.intersection(self.tokens)
        return frozenset((named | known) - {""})


def from_header(header: Header) -> Vocabulary:
    """Read the keys of a GGUF; raises AppError where it has none that fits."""
    tokens, merges = header.array(f"{_KEY}tokens"), header.array(f"{_KEY}merges")
    if tokens is None:
        raise _nothing(str(header.path))
    numbers = {name: header.array(f"{_KEY}{name}") for name in _ARRAYS}
    return _read(
        {name.removeprefix(_KEY): value for name, value in header.keys.items() if name.startswith(_KEY)},
        {name: list(array.values()) for name, array in numbers.items() if array is not None},
        tokens=tuple(tokens.texts()),
        merges=tuple(merges.texts()) if merges else (),
        names=(header.architecture, header.text("general.name")),
        model=str(header.path),
    )


def from_shown(info: Mapping[str, object], model: str) -> Vocabulary:
    """Read ``model_info`` of a verbose ``/api/show``; raises AppError where it has none that fits."""
    keys = {name.removeprefix(_KEY): value for name, value in info.items() if name.startswith(_KEY)}
    tokens = _list(keys.get("tokens"))
    if not tokens:
        raise _nothing(model)
    return _read(
        keys,
        {name: _list(keys.get(name)) for name in _ARRAYS},
        tokens=tuple(map(str, tokens)),
        merges=tuple(map(str, _list(keys.get("merges")))),
        names=(str(info.get("general.architecture") or ""), str(info.get("general.name") or "")),
        model=model,
    )


def _read(
    keys: Mapping[str, object],
    arrays: Mapping[str, Sequence[object]],
    *,
    tokens: tuple[str, ...],
    merges: tuple[str, ...],
    names: tuple[str, str],
    model: str,
) -> Vocabulary:
    """Return the vocabulary of ``keys`` and ``arrays`` of numbers; raises AppError where these fit no tokens."""
    for name, values in arrays.items():
        kinds: set[type] = {int, float} if name == "scores" else {int}
        is_misfit = name in _PER_TOKEN and bool(values) and len(values) != len(tokens)
        if is_misfit or not set(map(type, values)) <= kinds:
            raise AppError(
                _("The vocabulary of this model is malformed"),
                _("{model}: tokenizer.ggml.{name} does not fit its tokens.", model=model, name=name),
                _("Convert the model again, or pull it again."),
            )
    types = cast("Sequence[int]", arrays.get("token_type", ()))
    scores = cast("Sequence[float]", arrays.get("scores", ()))
    return Vocabulary(
        model=str(keys.get("model") or ""),
        pre=str(keys.get("pre") or ""),
        architecture=names[0],
        name=names[1],
        tokens=tokens,
        types=tuple(types) or (NORMAL,) * len(tokens),
        merges=merges,
        scores=tuple(map(float, scores)) or (0.0,) * len(tokens),
        numbers={name: v for name, v in keys.items() if isinstance(v, int) and not isinstance(v, bool)},
        switches={name: v for name, v in keys.items() if isinstance(v, bool)},
        # some programs write the bytes signed
        charsmap=bytes(value & 0xFF for value in cast("Sequence[int]", arrays.get("precompiled_charsmap", ()))),
    )


@functools.cache
def bpe_rules() -> Mapping[str, BpeRule]:
    """Return llama.cpp's rules by the names that ``tokenizer.ggml.pre`` has."""
    found: dict[str, BpeRule] = {}
    for entry in cast("list[Mapping[str, object]]", json.loads(_PATTERNS.read_bytes())):
        rule = BpeRule(
            tuple(cast("list[str]", entry["patterns"])),
            bool(entry["ignore_merges"]),
            bool(entry["add_bos"]),
            bool(entry["byte_level"]),
        )
        found.update(dict.fromkeys(cast("list[str]", entry["names"]), rule))
    return found


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _nothing(where: str) -> AppError:
    return AppError(
        _("This model has no vocabulary"),
        where,
        _("Without tokens a prompt cannot be compared; convert the model again."),
    )
