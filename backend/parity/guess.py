"""Guess which of LLaMA-Factory's templates a model was trained with: by its own template and its special tokens."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backend.parity.expression import InexpressibleError
from backend.parity.go_template import go_template
from backend.parity.jinja_template import jinja_template
from backend.parity.template import CONTENT, Template, Templates, Token
from backend.parity.training import tokens_of
from backend.parity.vocabulary import Vocabulary

_MARK: Final = re.compile(r"<[^<>\s]{2,40}>|\[/?[A-Z_]{3,20}\]|</?s>")
_ANYBODYS: Final = re.compile(r"you are an? (helpful )?(ai )?assistant\.?", re.IGNORECASE)
"""System prompts that people give to every model: they tell nothing of its family"""
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
    version: str = ""
    """Of the Ollama that runs it; empty for the latest"""


def guess(templates: Templates, vocabulary: Vocabulary, own: Own) -> Template | None:
    """Return the likeliest template of a model that says ``own`` of itself; None where nothing speaks for any.

    One by which Paddock would write just the model's own template comes first. Of several that write alike, one whose
    default system prompt is the model's comes first if no other family has that; then those of the architecture, and
    of these one at whose ends the model stops.
    """
    special = {token for number, token in enumerate(vocabulary.tokens) if vocabulary.is_special(number)}
    stops = set(own.stops) - {vocabulary.text(vocabulary.eos)}
    usual = _USUAL.get(vocabulary.architecture, ())
    systems = Counter(template.default_system for template in templates.by_name.values())
    tells = systems[own.system] == 1 and not _ANYBODYS.fullmatch(own.system.strip())
    best: tuple[bool, float, bool, bool, bool, int, bool, bool, int, str] | None = None
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
        key = (
            not _writes(template, vocabulary, own), -float(found), tells and is_other, name not in usual, goes_on, rank,
            is_other, stops_otherwise, len(name), name,
        )  # fmt: skip
        best = min(best, key) if best is not None else key
    return templates.by_name[best[-1]] if best is not None else None


def _writes(template: Template, vocabulary: Vocabulary, own: Own) -> bool:
    """Say whether Paddock writes the model's own template for a training with this one."""
    if not own.template:
        return False
    for one in (template, dataclasses.replace(template, default_system=own.system)):
        tokens = tokens_of(one, vocabulary, own.version)
        try:
            if own.template in (go_template(one, tokens).text, jinja_template(one, tokens)):
                return True
        except InexpressibleError:
            return False
    return False


def _marks(template: Template) -> Iterator[str]:
    """Yield the marks around roles that the user's and the assistant's turns are written with."""
    for slot in (*template.user, *template.assistant):
        if isinstance(slot, Token):
            yield slot.text
        elif isinstance(slot, str):
            yield from _MARK.findall(slot.replace(CONTENT, " "))
