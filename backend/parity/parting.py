"""The place where two prompts part, for people: the tokens of both around it, each with its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.parity.compare import Verdict
from backend.parity.tokenizer import Runner

_BEFORE: Final = 4
_AFTER: Final = 8


@dataclass(frozen=True, slots=True)
class Token:
    """A token's number, and the text that it stands for."""

    id: int
    text: str

    def as_json(self) -> dict[str, object]:
        """Return ``{id, text}``."""
        return {"id": self.id, "text": self.text}


@dataclass(frozen=True, slots=True)
class Row:
    """What both prompts have at one place; None behind the end of one."""

    at: int
    expected: Token | None
    actual: Token | None
    is_first: bool
    """Whether they part here"""

    def as_json(self) -> dict[str, object]:
        """Return ``{at, expected, actual, first}``."""
        return {
            "at": self.at,
            "expected": self.expected.as_json() if self.expected else None,
            "actual": self.actual.as_json() if self.actual else None,
            "first": self.is_first,
        }


def rows(verdict: Verdict, runner: Runner) -> list[Row]:
    """Return the tokens around the first that differs; none where nothing does, or one side refuses."""
    parting = verdict.parting
    if parting is None or verdict.actual.error is not None or verdict.expected.error:
        return []
    expected, actual = verdict.expected.ids, verdict.actual.ids
    last = min(parting.token + _AFTER, max(len(expected), len(actual)))
    return [
        Row(at, _token(expected, at, runner), _token(actual, at, runner), at == parting.token)
        for at in range(max(0, parting.token - _BEFORE), last)
    ]


def _token(ids: Sequence[int], at: int, runner: Runner) -> Token | None:
    return Token(ids[at], runner.pieces(ids[at : at + 1])[0]) if at < len(ids) else None
