"""What transformers 5 makes of a model's tokenizer: some classes put their own pre-tokenizer over tokenizer.json's.

Sources: transformers 5.6 `models/llama/tokenization_llama.py`, `models/gpt2/tokenization_gpt2.py`,
`models/auto/tokenization_auto.py`; huggingface/transformers issue 45488.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Final, Literal, cast

from data.i18n import Message, _
from data.jsontext import parse_json

CONFIG: Final = "tokenizer_config.json"
RIGHT_CLASS: Final = "PreTrainedTokenizerFast"
"""The class that leaves tokenizer.json as it is"""
TRAIN_AGAIN: Final = _(
    "In tokenizer_config.json of the base model, set tokenizer_class to {name} and train again.", name=RIGHT_CLASS
)
Misreading = Literal["pieces", "saved", "rule"]
"""Taken for a SentencePiece one; saved as one before; cut by GPT-2's rule"""

_LIMIT_BYTES: Final = 64 << 20
_CONFIG_LIMIT_BYTES: Final = 1 << 20
# A space as byte-level BPE writes it, as SentencePiece does, and SentencePiece's first byte.
_BYTE_SPACE, _PIECE_SPACE, _FIRST_BYTE = "Ġ", "▁", "<0x00>"
_ENTRIES: Final = {
    token: re.compile(rf'"(?:{token}|{escaped})"\s*:'.encode())
    for token, escaped in ((_BYTE_SPACE, r"\\u0120"), (_PIECE_SPACE, r"\\u2581"), (_FIRST_BYTE, r"\\u003c0x00>"))
}
_METASPACE: Final = re.compile(rb'"type"\s*:\s*"Metaspace"')
# Another rule is a Split. Digits before GPT-2's own, as in SmolLM, changes the cut of blanks before a number only.
_SPLIT: Final = re.compile(rb'"type"\s*:\s*"Split"')
_GPT2_RULE: Final = rb"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"


def is_byte_level(vocabulary: Container[str]) -> bool:
    """Say whether the tokens are bytes written as letters, and no SentencePiece pieces."""
    return _BYTE_SPACE in vocabulary and _PIECE_SPACE not in vocabulary and _FIRST_BYTE not in vocabulary


def misread(folder: Path) -> Misreading | None:
    """Say how transformers 5 reads the tokenizer in ``folder`` otherwise than it is; None where it reads it rightly.

    Files that cannot be read, are too large, or name a class of their own are somebody else's to judge: None.
    """
    name = _class_of(folder)
    if name not in ("LlamaTokenizer", "GPT2Tokenizer"):
        return None
    raw = _bytes(folder / "tokenizer.json", _LIMIT_BYTES)
    if not is_byte_level(_Tokens(raw)):
        return None
    if name == "GPT2Tokenizer":
        return "rule" if _SPLIT.search(raw) and _GPT2_RULE not in raw else None
    return "saved" if _METASPACE.search(raw) else "pieces"


def miscut(folders: Iterable[Path]) -> Path | None:
    """Return the first of a training's folders whose saved tokenizer tells that it lost spaces; None for none.

    LLaMA-Factory saves the tokenizer that it trained with beside the adapter, and beside each checkpoint.
    """
    return next((folder for folder in folders if misread(folder) == "saved"), None)


def miscut_words(folder: str) -> Message:
    """Say what was trained on, as the tokenizer in ``folder`` shows."""
    return _(
        "It was trained on texts without their spaces and non-ASCII characters: transformers 5 took the byte-level "
        "tokenizer for a SentencePiece one, as {folder} shows.",
        folder=folder,
    )


class _Tokens:
    """The tokens of a tokenizer.json, which is not parsed for them: that takes half a second and much memory."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and _ENTRIES[text].search(self._raw) is not None


def _class_of(folder: Path) -> str:
    """Return the class that transformers takes, without "Fast"; empty where code of the folder decides."""
    config = _object(folder / CONFIG)
    if config.get("auto_map"):
        return ""
    name = config.get("tokenizer_class") or _object(folder / "config.json").get("tokenizer_class")
    return name.removesuffix("Fast") if isinstance(name, str) else ""


def _object(file: Path) -> dict[str, object]:
    try:
        value = parse_json(_bytes(file, _CONFIG_LIMIT_BYTES))
    except ValueError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _bytes(file: Path, limit_bytes: int) -> bytes:
    """Return what ``file`` holds; nothing where it cannot be read or holds more."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(limit_bytes + 1)
    except OSError:
        return b""
    return raw if len(raw) <= limit_bytes else b""
