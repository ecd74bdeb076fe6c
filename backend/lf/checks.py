"""A finding before the start: what was looked at, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.i18n import Message

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``id`` is stable and English (``dataset.undefined``), an "error" keeps the job from starting."""

    id: str
    level: Level
    message: Message
    remedy: Message

    def as_json(self) -> dict[str, str]:
        """Return ``{id, level, message, remedy}``, the form of ``--dry-run`` JSON, in English."""
        return {
            "id": self.id,
            "level": self.level,
            "message": self.message.english(),
            "remedy": self.remedy.english(),
        }
