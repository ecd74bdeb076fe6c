"""Which of its ways Ollama takes to make a prompt of a conversation.

Source: ollama 0.24.0 and 0.32.7, `server/model.go` (detectChatTemplate), `template/template.go` (Named),
`server/images.go` (chatTemplateCapabilities, shouldPreferChatTemplate), `server/routes.go` (usesOllamaRenderedChat),
`server/create.go` (createModel: renderers by architecture).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from backend.ollama.version import UNKNOWN, version_key

if TYPE_CHECKING:  # gochat asks for the line, too
    from backend.parity.gochat import GoChat

CURRENT_LINE: Final = "0.30.0"
"""From here on llama.cpp renders the GGUF's Jinja where no Go template is in force"""
_KNOWN: Final = Path(__file__).with_name("known-templates.json")
_NEAR: Final = 100
RENDERERS: Final = frozenset({"gemma4", "laguna", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"})
"""Architectures whose models get a renderer at their creation"""
_RESULTS: Final = (
    "tool_response", "tool_results", "role'] == 'tool'", "role'] == \"tool\"", "role\"] == 'tool'",
    'role"] == "tool"', "message.role == 'tool'", 'message.role == "tool"', "ipython",
)  # fmt: skip

Way = Literal["renderer", "go", "jinja", "chatml", "raw"]
"""Built into Ollama; the Modelfile's TEMPLATE (or a known one in its place); the GGUF's; llama.cpp's own; none"""


@dataclass(frozen=True, slots=True)
class Known:
    """A template that Ollama knows: what it takes for a GGUF whose Jinja is near to its own."""

    name: str
    go: str
    stops: tuple[str, ...]


def is_current(version: str) -> bool:
    """Say whether ``version`` may use the GGUF's Jinja; a build without a version counts as new."""
    return version.strip() == UNKNOWN or version_key(version) >= version_key(CURRENT_LINE)


def way_of(version: str, architecture: str, go: GoChat | None, jinja: str, renderer: str = "") -> Way:
    """Return the way that an Ollama of ``version`` takes; ``go`` is the TEMPLATE, or the known one in its place."""
    if renderer or architecture in RENDERERS:
        return "renderer"
    if not is_current(version):
        return "raw" if go is None else "go"
    is_harmony = architecture in ("gptoss", "gpt-oss") and go is not None and "<|start|>" in go.source
    if go is not None and (is_harmony or not jinja or not prefers_jinja(jinja, go)):
        return "go"
    return "jinja" if jinja else "chatml"


def prefers_jinja(jinja: str, go: GoChat) -> bool:
    """Say whether the GGUF's Jinja is used although there is a TEMPLATE: it shows more abilities."""
    ours, theirs = go.abilities(), jinja_abilities(jinja)
    if len(theirs) > len(ours):
        return not go.round_trips() or _round_trips(jinja)
    if theirs != ours or "tools" not in theirs:
        return False
    return _round_trips(jinja) and not go.round_trips()


def jinja_abilities(jinja: str) -> frozenset[str]:
    """Return tools and thinking as far as Ollama finds their words in ``jinja``."""
    found: set[str] = set()
    if "tools" in jinja or "tool_call" in jinja:
        found.add("tools")
    splits = "content.split('</think>')" in jinja or 'content.split("</think>")' in jinja
    if ("<think>" in jinja and "</think>" in jinja) or (
        splits and "reasoning_content" not in jinja and "<SPECIAL_12>" not in jinja
    ):
        found.add("thinking")
    return frozenset(found)


def _round_trips(jinja: str) -> bool:
    calls = "tool_calls" in jinja or "assistant_tool_call" in jinja
    return "tools" in jinja_abilities(jinja) and calls and any(mark in jinja for mark in _RESULTS)


@functools.lru_cache(maxsize=64)
def known_for(jinja: str) -> Known | None:
    """Return the known template whose Jinja is nearest to ``jinja``, if fewer than 100 letters differ."""
    best: Known | None = None
    least = _NEAR
    for text, known in _known():
        distance = _distance(jinja, text, least)
        if distance < least:
            best, least = known, distance
    return best


@functools.cache
def known_texts() -> frozenset[str]:
    """Return the Go templates that Ollama itself writes into Modelfiles, for GGUFs whose Jinja it knows."""
    return frozenset(known.go.strip() for _jinja, known in _known())


@functools.cache
def _known() -> Sequence[tuple[str, Known]]:
    value = cast("Mapping[str, object]", json.loads(_KNOWN.read_bytes()))
    templates = cast("Mapping[str, Mapping[str, object]]", value["templates"])
    made = {name: Known(name, str(one["go"]), tuple(cast("list[str]", one["stop"]))) for name, one in templates.items()}
    return [(one["jinja"], made[one["name"]]) for one in cast("list[Mapping[str, str]]", value["known"])]


def _same_letters(one: str, other: str) -> int:
    """Return how many letters are the same from the start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _distance(one: str, other: str, limit: int) -> int:
    """Return the Levenshtein distance, or ``limit`` where it is not below that; looks at a band of that width."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    same_start = _same_letters(one, other)
    one, other = one[same_start:], other[same_start:]
    same_end = _same_letters(one[::-1], other[::-1])
    one, other = one[: len(one) - same_end], other[: len(other) - same_end]
    width = len(other)
    row = list(range(width + 1))
    for at, letter in enumerate(one, start=1):
        first, last = max(1, at - limit), min(width, at + limit)
        before = row
        row = [limit] * (width + 1)
        row[0] = at
        for column in range(first, last + 1):
            same = before[column - 1] + (letter != other[column - 1])
            row[column] = min(same, before[column] + 1, row[column - 1] + 1)
        if min(row[max(0, first - 1) : last + 1]) >= limit:
            return limit
    return min(row[width], limit)
