"""Guess which of LLaMA-Factory's templates a model was trained with: by its own template and its special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backend.parity.template import CONTENT, Template, Templates, Token
from backend.parity.vocabulary import Vocabulary

_MARK: Final = re.compile(r"<[^<>\s]{2,40}>|\[/?[A-Z_]{3,20}\]|</?s>")
# Where several templates write alike, the plain one of the architecture is the likeliest.
_USUAL: Final = {
    "llama": ("llama3", "llama2", "mistral", "chatml"),
    "qwen2": ("qwen", "chatml"),
    "qwen3": ("qwen3", "qwen3_nothink", "qwen"),
    "gemma": ("gemma",),
    "gemma2": ("gemma2", "gemma"),
    "gemma3": ("gemma3", "gemma"),
    "phi3": ("phi", "phi_small"),
    "chatglm": ("glm4",),
    "glm4": ("glm4",),
    "deepseek2": ("deepseek3", "deepseek"),
}


@dataclass(frozen=True, slots=True)
class Own:
    """What a model says of itself."""

    template: str = ""
    """In Go's language or Jinja; empty for none"""
    stops: tuple[str, ...] = ()
    system: str = ""


def guess(templates: Templates, vocabulary: Vocabulary, own: Own) -> Template | None:
    """Return the likeliest template of a model that says ``own`` of itself; None where nothing speaks for any.

    Of several that write alike, one whose default system prompt is the model's comes first, then those of the
    architecture, and of these one at whose ends the model stops.
    """
    special = {token for number, token in enumerate(vocabulary.tokens) if vocabulary.is_special(number)}
    stops = set(own.stops) - {vocabulary.text(vocabulary.eos)}
    usual = _USUAL.get(vocabulary.architecture, ())
    best: tuple[float, bool, bool, bool, int, bool, int, str] | None = None
    for name, template in templates.by_name.items():
        marks = set(_marks(template))
        if not marks:
            continue
        found = sum(1 for mark in marks if (mark in own.template if own.template else mark in special))
        if found < len(marks):
            continue
        rank = usual.index(name) if name in usual else len(usual)
        is_other = not own.system or template.default_system != own.system
        ends = set(template.stop_words)
        goes_on, stops_otherwise = bool(stops) and not ends <= stops, bool(stops) and ends != stops
        key = (-float(found), is_other, name not in usual, goes_on, rank, stops_otherwise, len(name), name)
        best = min(best, key) if best is not None else key
    return templates.by_name[best[-1]] if best is not None else None


def _marks(template: Template) -> Iterator[str]:
    """Yield the marks around roles that the user's and the assistant's turns are written with."""
    for slot in (*template.user, *template.assistant):
        if isinstance(slot, Token):
            yield slot.text
        elif isinstance(slot, str):
            yield from _MARK.findall(slot.replace(CONTENT, " "))
