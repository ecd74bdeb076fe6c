"""The form of what the doctor says: checks with a level, a message and a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from data.errors import AppError
from data.i18n import Message


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    INFO = "info"
    """Worth knowing; nothing to do"""
    WARNING = "warning"
    """Works now, but something may go wrong or be lost"""
    ERROR = "error"
    """Something that Paddock is for does not work"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``id`` is stable; ``remedy`` is empty where nothing is to be done."""

    id: str
    level: Level
    message: Message
    remedy: Message = Message("")  # noqa: RUF009 - a Message is never changed

    @property
    def ok(self) -> bool:
        """Say whether there is nothing to mend."""
        return self.level in (Level.OK, Level.INFO)

    def as_json(self) -> dict[str, object]:
        """Return ``{id, ok, level, message, remedy}``, in English."""
        return {
            "id": self.id,
            "ok": self.ok,
            "level": str(self.level),
            "message": self.message.english(),
            "remedy": self.remedy.english(),
        }


def of_error(identifier: str, error: AppError) -> Check:
    """Return the check that says what an error says."""
    message = Message("{title}: {detail}", {"title": error.title, "detail": error.detail})
    return Check(identifier, Level.ERROR, message if error.detail else error.title, error.hint)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks, and what was found of the two programs that Paddock drives."""

    checks: tuple[Check, ...]
    llamafactory: Mapping[str, str] | None
    """python, version"""
    ollama: Mapping[str, object] | None
    """binary (or None), host (or None), version, running"""

    @property
    def ok(self) -> bool:
        """Say whether everything that Paddock is for can work here: warnings do not count."""
        return all(check.level is not Level.ERROR for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """Return ``{ok, checks, llamafactory, ollama}``."""
        return {
            "ok": self.ok,
            "checks": [check.as_json() for check in self.checks],
            "llamafactory": None if self.llamafactory is None else dict(self.llamafactory),
            "ollama": None if self.ollama is None else dict(self.ollama),
        }
