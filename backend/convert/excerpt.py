"""A byte-level BPE tokenizer with no more of its vocabulary than a text needs: it loads five times as fast.

A word is merged out of pieces that all lie in it, so whatever is part of no word of the text cannot matter to its ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, repeat
from typing import TYPE_CHECKING, Final, cast

from backend.convert.folder import Json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What would make something of a word that is not in it.
_COMPLICATIONS: Final = (
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
)


def excerpt(description: Json, text: str, added: Sequence[str]) -> Tokenizer | None:
    """Return a tokenizer that gives ``text``, and each of ``added``, what the one of ``description`` gives them.

    ``description`` is tokenizer.json, ``added`` are the texts of its added tokens; their ids may be others. None where
    the result could be another one; an Exception where the library refuses the description.
    """
    from tokenizers import Tokenizer as Loaded  # noqa: PLC0415 - heavy, and only byte-level BPE needs it

    model = cast("Json", description["model"])
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list) or any(model.get(name) for name in _COMPLICATIONS):
        return None
    bare: Json = {**description, "added_tokens": list[object](), "post_processor": None}
    empty = Loaded.from_str(_with(bare, model, {}, []))
    normal = empty.normalizer.normalize_str(text) if empty.normalizer else text
    if empty.pre_tokenizer is None or any(token in text or token in normal for token in added):
        return None
    numbers = cast("dict[str, int]", vocab)
    words = {word for word, _span in empty.pre_tokenizer.pre_tokenize_str(normal)}
    kept = {piece: numbers[piece] for word in words for piece in _pieces(word) if piece in numbers}
    within = list(_within(cast("list[object]", merges), kept))
    above = max(numbers.values(), default=0) + 1
    kept |= {token: numbers.get(token, above + place) for place, token in enumerate(added)}
    return Loaded.from_str(_with(description, model, kept, within))


def _with(description: Json, model: Json, vocab: Mapping[str, int], merges: Sequence[object]) -> str:
    return json.dumps({**description, "model": {**model, "vocab": vocab, "merges": merges}})


def _pieces(word: str) -> Iterator[str]:
    return (word[first:end] for first in range(len(word)) for end in range(first + 1, len(word) + 1))


def _within(merges: Sequence[object], vocab: Mapping[str, int]) -> Iterator[object]:
    """Return the merges that make a token of ``vocab``, in their order, which is their rank."""
    if merges and isinstance(merges[0], str):
        whole = map(str.replace, cast("Sequence[str]", merges), repeat(" "), repeat(""), repeat(1))
    else:
        whole = map("".join, cast("Sequence[list[str]]", merges))
    return compress(merges, map(vocab.__contains__, whole))
