"""Vocabularies of unigrams: llama.cpp cuts a text by their likelihoods only where the GGUF names them ``t5``.

Source: llama.cpp `conversion/t5.py` (``set_vocab``) and `src/llama-vocab.cpp` (``llm_tokenizer_ugm``). Its script
writes unigrams of other families as if they were merged by rank, which cuts words otherwise than the model was trained.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from backend.convert.folder import Json
from backend.convert.refusal import UnknownHereError
from data.i18n import _


@dataclass(frozen=True, slots=True)
class Unigrams:
    """How a text is changed before it is cut into unigrams."""

    charsmap: bytes = b""
    """SentencePiece's ``precompiled_charsmap``; empty where characters stay as they are"""
    adds_prefix: bool = True
    """Whether a text gets a space before it"""
    merges_spaces: bool = True
    """Whether several spaces become one, and those around a text none"""


def described(description: Json) -> Unigrams | None:
    """Return what tokenizer.json says; None where it holds no unigrams, UnknownHereError for what llama.cpp lacks."""
    model = description.get("model")
    if not isinstance(model, dict) or cast("Json", model).get("type") != "Unigram":
        return None
    charsmap, adds_prefix, merges_spaces = b"", False, False
    for step in (*_steps(description.get("normalizer")), *_steps(description.get("pre_tokenizer"))):
        match step:
            case {"type": "Precompiled", "precompiled_charsmap": str(text)}:
                charsmap = _decoded(text)
            case {"type": "Prepend", "prepend": "▁"}:
                adds_prefix = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
                pass
            case {"type": "Replace", "pattern": {"Regex": " {2,}"}} | {"type": "Strip" | "WhitespaceSplit"}:
                merges_spaces = True
            case {"type": "Metaspace", "replacement": "▁"}:
                adds_prefix = adds_prefix or _prepends(step)
            case _:
                raise UnknownHereError(
                    _("The kind of tokenizer is not known to this converter"),
                    _("Its unigrams stand behind the step {kind}, which llama.cpp lacks.", kind=str(step.get("type"))),
                )
    return Unigrams(charsmap, adds_prefix, merges_spaces)


def _steps(value: object) -> Iterator[Json]:
    if not isinstance(value, dict):
        return
    step = cast("Json", value)
    inner = step.get("normalizers", step.get("pretokenizers"))
    if step.get("type") == "Sequence" and isinstance(inner, list):
        for one in cast("list[object]", inner):
            yield from _steps(one)
    else:
        yield step


def _prepends(step: Json) -> bool:
    return step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never") != "never"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UnknownHereError(
            _("The kind of tokenizer is not known to this converter"),
            _("Its table of characters cannot be read: {reason}.", reason=str(error)),
        ) from error
