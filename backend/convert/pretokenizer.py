"""Recognise how a byte-level BPE tokenizer cuts a text before merging: llama.cpp wants the rule's name.

llama.cpp knows the rules by the sha256 of the token ids of one fixed text (`conversion/base.py`,
``get_vocab_base_pre``); the names are in pretokenizers.json. A fine-tune that was saved by another version of
tokenizers, or without its post-processor, can miss the hash although its rule is unchanged; then the ids without the
special tokens, with BOS before them, and at last the structure of tokenizer.json decide, and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import Final, Literal, Protocol, cast

from backend.convert.folder import Json
from data.errors import RequestError
from data.i18n import _

CHECK_TEXT: Final = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 "
    "?我想在apple工作1314151天～ ------======= нещо на Български "
    "''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, "
    "'D you like some tea? We'Ve a'lL"
)
_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CONTRACTIONS_SPELT: Final = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_BY_THREES: Final = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BY_ONES: Final = _BY_THREES.replace("{1,3}", "")


class Encoder(Protocol):
    """The part of ``tokenizers.Tokenizer`` that is needed here."""

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> Encoded:
        """Return the encoding of a text."""
        ...


class Encoded(Protocol):
    """The part of ``tokenizers.Encoding`` that is needed here."""

    @property
    def ids(self) -> list[int]:
        """The token ids."""
        ...


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """The rule's name in llama.cpp, and how it was found: by the ids of the fixed text, or by structure."""

    name: str
    found_by: Literal["ids", "structure"]


def recognise(tokenizer: Encoder, description: Json, bos: int | None) -> PreTokenizer:
    """Return the rule of ``tokenizer``, whose tokenizer.json is ``description``; RequestError where nothing fits."""
    known = cast(
        "dict[str, str]",
        json.loads(resources.files("backend.convert").joinpath("pretokenizers.json").read_text("utf-8")),
    )
    plain = tokenizer.encode(CHECK_TEXT, add_special_tokens=False).ids
    for ids in (tokenizer.encode(CHECK_TEXT).ids, plain, [bos, *plain] if bos is not None else plain):
        name = known.get(fingerprint(ids))
        if name:
            return PreTokenizer(name, "ids")
    name = by_structure(description)
    if name:
        return PreTokenizer(name, "structure")
    raise RequestError(
        _("This tokenizer's pre-tokenizer is not recognised"),
        _("Neither the ids of the check text ({hash}) nor its structure is known.", hash=fingerprint(plain)),
        _(
            "Copy tokenizer.json and tokenizer_config.json of the base model into the folder if the vocabulary was not "
            "changed, or use convert_hf_to_gguf.py of a recent llama.cpp."
        ),
    )


def fingerprint(ids: Sequence[int]) -> str:
    """Return the hash that llama.cpp knows a rule by."""
    return sha256(str(list(ids)).encode()).hexdigest()


def by_structure(description: Json) -> str | None:
    """Return the name of the rule that tokenizer.json spells out; None where it is none of those known by structure."""
    steps = tuple(_step(part) for part in _parts(description.get("pre_tokenizer")))
    model = description.get("model")
    ignores_merges = isinstance(model, dict) and cast("Json", model).get("ignore_merges") is True
    known: dict[tuple[str, ...], str] = {
        ("bytes",): "gpt-2",
        ("digits", "bytes"): "smollm",
        (_BY_THREES, "raw bytes"): "llama-bpe" if ignores_merges else "smaug-bpe",
        (_BY_ONES, "raw bytes"): "qwen2",
    }
    return known.get(steps)


def _parts(value: object) -> list[Json]:
    if not isinstance(value, dict):
        return []
    outer = cast("Json", value)
    if outer.get("type") != "Sequence":
        return [outer]
    parts = outer.get("pretokenizers")
    items = cast("list[object]", parts) if isinstance(parts, list) else []
    return [cast("Json", item) for item in items if isinstance(item, dict)]


def _step(part: Json) -> str:
    """Return a short name of one pre-tokenizer, the pattern of a Split, or its type where it is none of these."""
    match part.get("type"):
        case "ByteLevel" if part.get("add_prefix_space") is not True:
            return "bytes" if part.get("use_regex", True) else "raw bytes"
        case "Digits" if part.get("individual_digits") is True:
            return "digits"
        case "Split" if part.get("behavior") in ("Isolated", "Removed") and isinstance(part.get("pattern"), dict):
            pattern = str(cast("Json", part["pattern"]).get("Regex"))
            inverted = part.get("behavior") == "Removed"
            if inverted is (part.get("invert") is True):
                return pattern.replace(_CONTRACTIONS_SPELT, _CONTRACTIONS)
            return "split"
        case kind:
            return str(kind)
