"""Compare the prompts of training and server, and name the first place where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.parity.asked import Sent
from backend.parity.cases import Case
from backend.parity.expected import Prompt
from data.i18n import Message


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two prompts part: the first token that differs, and the first character (None: the texts are the same)."""

    token: int
    character: int | None

    def as_json(self) -> dict[str, object]:
        """Return ``{token, character}``."""
        return {"token": self.token, "character": self.character}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why prompts differ: a stable id, the words, and what mends it."""

    id: str
    message: Message
    remedy: Message
    mends: bool = True
    """Whether a new Modelfile mends it"""
    is_grave: bool = True
    """False for what nothing can mend and every model of its family lives with"""

    def as_json(self) -> dict[str, object]:
        """Return cause and remedy as messages, which a reader shows in its own language."""
        return {"cause": self.message.as_json(), "remedy": self.remedy.as_json()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One conversation: what was trained, what is sent, and whether that is the same."""

    case: Case
    expected: Prompt
    actual: Sent
    parting: Parting | None
    cause: Cause | None = field(default=None)

    @property
    def ok(self) -> bool:
        """Whether the model gets exactly the tokens that it was trained on."""
        return self.parting is None

    @property
    def is_grave(self) -> bool:
        """Whether it differs, and that speaks against the model."""
        return not self.ok and (self.cause is None or self.cause.is_grave)

    def as_json(self) -> dict[str, object]:
        """Return the object of the design: ids, the first difference, cause and remedy in English."""
        return {
            "name": self.case.name,
            "ok": self.ok,
            "expected_ids": list(self.expected.ids),
            "actual_ids": list(self.actual.ids),
            "expected_text": self.expected.text,
            "actual_text": self.actual.text,
            "counted": self.actual.counted,
            "first_difference": self.parting.as_json() if self.parting else None,
            "cause": self.cause.message.english() if self.cause else None,
            "cause_id": self.cause.id if self.cause else None,
            "remedy": self.cause.remedy.english() if self.cause else None,
            "grave": self.is_grave,
            "words": self.cause.as_json() if self.cause else None,
        }


def part(expected: Prompt, actual: Sent) -> Parting | None:
    """Return where the prompts part; None where ids are the same, and as many as the server itself counts."""
    if expected.error or actual.error is not None:
        return None if expected.error and actual.error is not None else Parting(0, 0)
    same_text = expected.text == actual.text
    if expected.ids == actual.ids:
        if actual.counted is None or actual.counted == len(expected.ids):
            return None
        return Parting(min(actual.counted, len(expected.ids)), None)
    token = common(expected.ids, actual.ids)
    return Parting(token, None if same_text else common(expected.text, actual.text))


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many items two sequences begin with in common."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
