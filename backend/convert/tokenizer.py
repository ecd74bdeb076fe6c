"""Which kind of vocabulary a folder gets: SentencePiece, from tokenizer.model or tokenizer.json, or byte-level BPE.

Source of the rules: llama.cpp `conversion/llama.py` and `conversion/qwen.py` (``set_vocab``). Where its script gives up
because tokenizer.model is missing, which transformers 5 no longer saves, tokenizer.json is read instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend.convert import pieces, sentencepiece
from backend.convert.byte_level import read_byte_level
from backend.convert.folder import Json, ModelFolder
from backend.convert.pieces import read_internlm2, read_internlm3, read_phi
from backend.convert.tokenizer_json import read_tokenizer_json
from backend.convert.vocabulary import Vocabulary, no_tokenizer

__all__ = [
    "has_pieces",
    "read_byte_level",
    "read_internlm2",
    "read_internlm3",
    "read_llama",
    "read_phi",
    "read_pieces",
    "read_pieces_or_byte_level",
]


def read_llama(folder: ModelFolder, size: int, preferred: Sequence[str] = ()) -> Vocabulary:
    """Return the vocabulary of a Llama-like folder; whether a text gets a space before it as its settings say.

    ``size`` is config.json's vocab_size; the rows of the embedding beyond the tokenizer's own tokens get unused ones.
    """
    found = read_pieces_or_byte_level(folder, size, preferred)
    prefix = (folder.json("tokenizer_config.json") or {}).get("add_prefix_space")
    if isinstance(prefix, bool):
        found.first_flags["add_space_prefix"] = prefix
    return found


def read_pieces_or_byte_level(folder: ModelFolder, size: int, preferred: Sequence[str] = ()) -> Vocabulary:
    """Return the vocabulary of tokenizer.model, else that of tokenizer.json, of whichever kind it is."""
    description = read_tokenizer_json(folder)
    if _has_pieces(folder, description):
        return read_pieces(folder, size)
    return read_byte_level(folder, size, preferred, description)


def has_pieces(folder: ModelFolder) -> bool:
    """Say whether the folder's tokenizer is a SentencePiece one."""
    return _has_pieces(folder, read_tokenizer_json(folder))


def _has_pieces(folder: ModelFolder, description: Json | None) -> bool:
    return folder.has(sentencepiece.FILE) or (description is not None and pieces.is_sentencepiece(description))


def read_pieces(folder: ModelFolder, size: int) -> Vocabulary:
    """Return a SentencePiece vocabulary of tokenizer.model, else of tokenizer.json; RequestError for any other."""
    description = read_tokenizer_json(folder)
    if folder.has(sentencepiece.FILE):
        return pieces.read_model(folder, description, size)
    if description is None:
        raise no_tokenizer(folder)
    return pieces.read_description(folder, description, size)
