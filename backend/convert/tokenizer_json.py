"""tokenizer.json: read, and its tables looked over once, so that whoever takes tokens and merges finds what is due.

Source of the forms: huggingface/tokenizers `tokenizers/src/models/bpe/serialization.rs`, `unigram/serialization.rs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final, cast

from backend.convert.folder import Json, Limits, ModelFolder
from backend.convert.keys import LARGEST_REAL
from backend.lf.tokenizer import RIGHT_CLASS, is_byte_level
from data.errors import RequestError
from data.i18n import Message, _

_FILE: Final = "tokenizer.json"
LIMITS: Final = Limits(64 * 1024 * 1024, 2_000_000, 8_000_000)
_AFFIXES: Final = ("continuing_subword_prefix", "end_of_word_suffix")


def read_tokenizer_json(folder: ModelFolder) -> Json | None:
    """Return tokenizer.json; None where there is none.

    Raises RequestError where tokens, merges or scores have not the form that the library reads, for a BPE that
    marks the parts of a word, which llama.cpp cannot do, and for a byte-level one that was saved as SentencePiece's.
    """
    description = folder.json(_FILE, limits=LIMITS)
    model = (description or {}).get("model")
    if isinstance(model, dict):
        _check(cast("Json", model))
        _refuse_saved_as_pieces(cast("Json", description))
    return description


def unreadable(reason: Message | str) -> RequestError:
    """Return the refusal of a tokenizer.json that is no tokenizer's."""
    return RequestError(
        _("tokenizer.json of the model cannot be read"),
        reason,
        _("Copy the tokenizer files of the base model into the folder."),
    )


def _check(model: Json) -> None:
    vocab, merges = model.get("vocab"), model.get("merges")
    well_formed = _are_unigrams if model.get("type") == "Unigram" else _are_numbered
    if vocab is not None and not well_formed(vocab):
        raise unreadable(_("Its {name} is malformed.", name="model.vocab"))
    if merges is not None and not _are_merges(merges):
        raise unreadable(_("Its {name} is malformed.", name="model.merges"))
    affix = next((name for name in _AFFIXES if model.get("type") == "BPE" and model.get(name)), None)
    if affix is not None:  # and of some the library cuts a letter in two, which ends the program
        raise RequestError(
            _("llama.cpp cannot cut words as this tokenizer does"),
            _("tokenizer.json marks the parts of a word: its {name} is {value}.", name=affix, value=repr(model[affix])),
            _("Copy the tokenizer files of the base model into the folder."),
        )


def _refuse_saved_as_pieces(description: Json) -> None:
    match description:
        case {"model": {"byte_fallback": True, "vocab": dict()}, "pre_tokenizer": {"type": "Metaspace"}}:
            was_byte_level = is_byte_level(cast("Json", cast("Json", description["model"])["vocab"]))
        case _:
            was_byte_level = False
    if was_byte_level:
        raise RequestError(
            _("The tokenizer of this folder no longer cuts texts as its vocabulary needs"),
            _(
                "transformers 5 took it for a SentencePiece one and saved it so: texts lose their spaces and all "
                "non-ASCII characters. A model that was trained so has not seen them."
            ),
            _(
                "In tokenizer_config.json of the base model, set tokenizer_class to {name} and train again. If only "
                "the merge was made so, copy the tokenizer files of the base model into the folder.",
                name=RIGHT_CLASS,
            ),
        )


def _are_numbered(vocab: object) -> bool:
    """Say whether ``vocab`` gives each token its id."""
    if not isinstance(vocab, dict):
        return False
    numbers = cast("dict[str, object]", vocab).values()
    return set(map(type, numbers)) <= {int} and min(cast("Sequence[int]", numbers), default=0) >= 0


def _are_unigrams(vocab: object) -> bool:
    """Say whether ``vocab`` lists tokens with their scores."""
    pairs = _pairs(vocab)
    if pairs is None:
        return False
    scores = [pair[1] for pair in pairs]
    return (
        {type(pair[0]) for pair in pairs} <= {str}
        and set(map(type, scores)) <= {int, float}
        and all(-LARGEST_REAL <= score <= LARGEST_REAL for score in cast("list[float]", scores))
    )


def _are_merges(merges: object) -> bool:
    """Say whether ``merges`` lists texts with a space between two parts, or pairs of parts."""
    pairs = _pairs(merges)
    if pairs is None:
        return isinstance(merges, list) and set(map(type, cast("list[object]", merges))) <= {str}
    return set(map(type, chain.from_iterable(pairs))) <= {str}


def _pairs(value: object) -> list[list[object]] | None:
    if not isinstance(value, list) or not set(map(type, cast("list[object]", value))) <= {list}:
        return None
    pairs = cast("list[list[object]]", value)
    return pairs if set(map(len, pairs)) <= {2} else None
