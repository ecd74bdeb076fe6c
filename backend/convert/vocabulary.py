"""The tokenizer of a model as a GGUF keeps it: tokens, their types and scores, merges and special tokens."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from backend.convert.folder import ModelFolder
from backend.convert.keys import Keys
from backend.convert.pretokenizer import PreTokenizer
from backend.convert.refusal import UnknownHereError
from backend.convert.sentencepiece import FILE as PIECES
from backend.convert.special import SpecialTokens
from data.errors import RequestError
from data.i18n import Message, _

UNIGRAMS: Final = "t5"
"""llama.cpp's name of vocabularies that are cut by likelihood"""
_NAMED: Final = 3
"""Tokens that a warning names"""
TOKENIZER_JSON: Final = "tokenizer.json"
_SLOW: Final = ("vocab.json", "merges.txt")
_TEKKEN: Final = "tekken.json"
# Added tokens that llama.cpp takes for control tokens although their makers did not mark them.
_CONTROL_TEXTS: Final = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_CONTROL_FORMS: Final = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))


class TokenType(IntEnum):
    """llama.cpp's types of tokens."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(slots=True)
class Vocabulary:
    """Everything below ``tokenizer.`` in a GGUF."""

    model: str
    """``gpt2`` (byte-level BPE), ``llama`` (SentencePiece, merged by rank) or ``t5`` (its unigrams)"""
    pre: str
    tokens: Sequence[str | bytes]
    types: Sequence[int]
    special: SpecialTokens
    scores: Sequence[float] = ()
    pre_tokenizer: PreTokenizer | None = None
    first_flags: dict[str, bool] = field(default_factory=dict[str, bool])
    """Flags by name, written before everything else; llama.cpp's order differs from family to family"""
    middle_flags: dict[str, bool] = field(default_factory=dict[str, bool])
    """Those between the tokens and the special ones"""
    charsmap: bytes = b""
    """Of unigrams: SentencePiece's table of characters"""
    extra_ids: dict[str, int] = field(default_factory=dict[str, int])
    last_flags: dict[str, bool] = field(default_factory=dict[str, bool])
    beyond: Sequence[str] = ()
    """Added tokens that are left out, since the embedding has no row for their ids: no training can have met them"""

    def add_keys(self, keys: Keys) -> None:
        """Add the keys, in llama.cpp's order."""
        _add_flags(keys, self.first_flags)
        keys.text("tokenizer.ggml.model", self.model)
        keys.text("tokenizer.ggml.pre", self.pre)
        keys.array("tokenizer.ggml.tokens", self.tokens)
        keys.array("tokenizer.ggml.scores", self.scores)
        keys.array("tokenizer.ggml.token_type", self.types)
        _add_flags(keys, self.middle_flags)
        keys.blob("tokenizer.ggml.precompiled_charsmap", self.charsmap)
        self.special.add_keys(keys)
        SpecialTokens(ids=self.extra_ids).add_keys(keys)
        _add_flags(keys, self.last_flags)

    def warnings(self) -> tuple[Message, ...]:
        """Return what llama.cpp will do otherwise than the tokenizer, though the GGUF is as right as one can be."""
        warnings: list[Message] = []
        if self.beyond:
            names = ", ".join([*self.beyond[:_NAMED], *(["…"] if len(self.beyond) > _NAMED else [])])
            warnings.append(_("Left out, since the embedding has no row for it: {names}", names=names))
        if self.model == UNIGRAMS and TokenType.BYTE in self.types:
            warnings.append(
                _(
                    "llama.cpp cannot write a character that is in no token as bytes where the tokenizer is of "
                    "unigrams: rare characters reach the model as the unknown token."
                )
            )
        return tuple(warnings)

    def id_of(self, text: str) -> int | None:
        """Return the id of a token; None where there is no such token."""
        raw = text.encode()
        return next((number for number, token in enumerate(self.tokens) if token in (text, raw)), None)


def _add_flags(keys: Keys, flags: Mapping[str, bool]) -> None:
    for name, value in flags.items():
        keys.flag(f"tokenizer.ggml.{name}", value)


def looks_special(token: str) -> bool:
    """Say whether llama.cpp takes an added token for a control token by its text alone."""
    return token in _CONTROL_TEXTS or any(
        token.startswith(begin) and token.endswith(end) for begin, end in _CONTROL_FORMS
    )


def has_tokenizer(folder: ModelFolder) -> bool:
    """Say whether the folder has a tokenizer in one of the two forms that this converter and Ollama's import read."""
    return folder.has(TOKENIZER_JSON) or folder.has(PIECES)


def no_tokenizer(folder: ModelFolder) -> RequestError:
    """Return the refusal of a folder without tokenizer files; UnknownHereError where they have another form."""
    if all(folder.has(name) for name in _SLOW):
        return _in_another_form(
            folder,
            _SLOW,
            _(
                "Let transformers write tokenizer.json. With LLaMA-Factory's Python, whose path `paddock doctor` "
                "shows: {command}",
                command=_resave(folder.path),
            ),
        )
    if folder.has(_TEKKEN):
        return _in_another_form(
            folder,
            (_TEKKEN,),
            _(
                "Copy the tokenizer.json of the same model into the folder: Mistral publishes one with most models. "
                "llama.cpp's script (the setting llama_cpp_dir) reads tekken.json where LLaMA-Factory's Python has "
                "mistral-common."
            ),
        )
    return RequestError(
        _("The model has no tokenizer"),
        _("{path} has neither tokenizer.json nor tokenizer.model.", path=str(folder.path)),
        _("Copy the tokenizer files of the base model into the folder."),
    )


def _in_another_form(folder: ModelFolder, files: Sequence[str], remedy: Message) -> UnknownHereError:
    return UnknownHereError(
        _("The kind of tokenizer is not known to this converter"),
        _(
            "{path} has {files}, and neither tokenizer.json nor tokenizer.model.",
            path=str(folder.path),
            files=", ".join(files),
        ),
        remedy,
    )


def _resave(path: Path) -> str:
    """Return a command that writes tokenizer.json beside the files that transformers reads in ``path``."""
    place = json.dumps(str(path.absolute()), ensure_ascii=False)
    code = f"from transformers import AutoTokenizer as T; T.from_pretrained({place}).save_pretrained({place})"
    return shlex.join(["python", "-c", code])


def too_many_tokens(highest: int, size: int) -> RequestError:
    """Return the refusal of a tokenizer with more tokens than the embedding has rows."""
    return RequestError(
        _("The tokenizer has more tokens than the model has embeddings"),
        _("The highest id is {highest}, config.json says vocab_size {size}.", highest=highest, size=size),
        _("Train again with resize_vocab, or take the tokenizer of the base model."),
    )
