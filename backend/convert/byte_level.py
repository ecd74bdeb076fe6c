"""Byte-level BPE vocabularies, from tokenizer.json.

Source of the rules: llama.cpp `conversion/base.py` (``get_vocab_base``, ``_set_vocab_gpt2``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from backend.convert.added import AddedToken, trained_tokens
from backend.convert.excerpt import excerpt
from backend.convert.folder import Json, ModelFolder
from backend.convert.pretokenizer import CHECK_TEXT, recognise
from backend.convert.refusal import UnknownHereError
from backend.convert.special import read_special
from backend.convert.tokenizer_json import read_tokenizer_json, unreadable
from backend.convert.vocabulary import (
    TokenType,
    Vocabulary,
    looks_special,
    no_tokenizer,
    too_many_tokens,
)
from data.errors import library_asked
from data.i18n import _

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A smaller vocabulary loads as fast as an excerpt of it is made.
_LARGE: Final = 10_000


def _load(description: Json, added: Sequence[str]) -> Tokenizer:
    """Return the ``tokenizers`` object, good for the check text and ``added``."""
    from tokenizers import Tokenizer as Loaded  # noqa: PLC0415 - heavy, and only byte-level BPE needs it

    whole: Json = {**description, "truncation": None, "padding": None}  # the check text counts as it is
    vocab = cast("Json", description["model"]).get("vocab")
    if isinstance(vocab, dict) and len(cast("Json", vocab)) >= _LARGE:
        found = excerpt(whole, CHECK_TEXT, added)
        if found is not None:
            return found
    return Loaded.from_str(json.dumps(whole))


def read_byte_level(
    folder: ModelFolder, size: int, preferred: Sequence[str] = (), description: Json | None = None
) -> Vocabulary:
    """Return the byte-level BPE vocabulary of tokenizer.json, filled up to ``size`` tokens.

    ``preferred`` are llama.cpp's names of the pre-tokenizers that models of the family have; ``description`` is what
    tokenizer.json holds, where somebody has read it already.
    """
    description = description or read_tokenizer_json(folder)
    if description is None:
        raise no_tokenizer(folder)
    model = description.get("model")
    if not isinstance(model, dict) or cast("Json", model).get("type") != "BPE":
        raise UnknownHereError(
            _("The kind of tokenizer is not known to this converter"),
            _(
                "tokenizer.json holds {kind}.",
                kind=str(cast("Json", model).get("type") if isinstance(model, dict) else None),
            ),
        )
    entries = trained_tokens(folder, description)
    special = read_special(folder, description, merges=True)
    with library_asked(unreadable):
        tokenizer = _load(description, [entry.content for entry in entries])
        pre_tokenizer = recognise(tokenizer, description, special.ids.get("bos"), preferred)
        added = {entry.id: _typed(tokenizer, entry) for entry in entries}
    vocab = cast("dict[str, int]", cast("Json", model).get("vocab") or {})
    highest = max(vocab.values(), default=-1)
    if highest >= size:
        raise too_many_tokens(highest, size)
    tokens, types = [""] * size, [int(TokenType.NORMAL)] * size
    for token, number in vocab.items():
        tokens[number] = token
    for number in set(range(size)).difference(vocab.values()):
        tokens[number], types[number] = f"[PAD{number}]", TokenType.UNUSED
    beyond = {number: text for number, (text, _type) in added.items() if number >= size}
    needed = [special.ids[role] for role in ("bos", "eos") if special.ids.get(role) in beyond]
    if needed:  # no answer ends without it
        raise too_many_tokens(max(needed), size)
    for number, typed in added.items():
        if number < size:
            tokens[number], types[number] = typed
    special.ids = {role: number for role, number in special.ids.items() if number not in beyond}
    made = Vocabulary("gpt2", pre_tokenizer.name, tokens, types, special, pre_tokenizer=pre_tokenizer)
    return replace(made, beyond=tuple(beyond.values()))


def _typed(tokenizer: Tokenizer, added: AddedToken) -> tuple[str, int]:
    """Return an added token as llama.cpp wants it, with its type: it is expected as it is decoded."""
    token = added.content
    if not added.normalized and tokenizer.decoder is not None:
        token = tokenizer.decoder.decode([token])
    if added.special or looks_special(token):
        return token, TokenType.CONTROL
    return token.replace("▁", " "), TokenType.USER_DEFINED
