"""A conversation with a model: values that a screen shows and an engine answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Stats:
    """The measures of one answer; None where the engine gives none. Durations in seconds."""

    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    load_s: float | None = None
    prompt_s: float | None = None
    answer_s: float | None = None
    total_s: float | None = None
    ended_by: str = ""
    """Why the answer ended, in the engine's own word: stop, length, …"""

    @property
    def tokens_per_s(self) -> float | None:
        """The speed of the answer alone, without loading and reading the prompt."""
        return self.answer_tokens / self.answer_s if self.answer_tokens and self.answer_s else None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: Role
    text: str
    thinking: str = ""
    """What the model thought before it answered; not sent back to it"""
    stats: Stats | None = None
    is_partial: bool = False
    """Somebody stopped the answer, or it broke off"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns so far and how they are to be answered. Changing it gives another one."""

    model: str
    turns: tuple[Turn, ...] = ()
    system: str | None = None
    """None leaves the model its own default, "" says that there is none"""
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    """Sampling and runtime parameters by the engine's own names: temperature, num_ctx, …"""
    think: bool | None = None
    """None leaves it to the engine"""

    def with_turn(self, turn: Turn) -> Conversation:
        """Return the conversation with one turn more."""
        return replace(self, turns=(*self.turns, turn))

    def ask(self, text: str) -> Conversation:
        """Return the conversation with what the user says now."""
        return self.with_turn(Turn("user", text))
