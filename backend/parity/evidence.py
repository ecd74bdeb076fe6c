"""What a cause of a difference is known by, and how one is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backend.parity.asked import Sent, Served
from backend.parity.cases import Case
from backend.parity.compare import Cause, Parting
from backend.parity.expected import Expected, Prompt
from backend.parity.tokenizer import Runner
from data.i18n import Message, _

MEND: Final = _("Let Paddock write the template anew and prove it again: --mend.")
OTHER_TEMPLATE: Final = _(
    "Name the template that the model was trained with by --template, or convert the merged model again with the "
    "tokenizer that the training saved."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a cause is known by."""

    case: Case
    trained: Prompt
    sent: Sent
    parting: Parting
    expected: Expected
    served: Served
    runner: Runner


def because(name: str, message: Message, remedy: Message = MEND, *, mends: bool = True, is_grave: bool = True) -> Cause:
    """Return a cause; by default a new Modelfile mends it, and it speaks against the model."""
    return Cause(name, message, remedy, mends, is_grave)


def between(one: str, other: str) -> tuple[str, str]:
    """Return what lies between the common beginning and the common end of two texts."""
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def short(text: str, most: int = 60) -> str:
    """Return the beginning of ``text``."""
    return text if len(text) <= most else text[: most - 1] + "…"
