"""The one error of the template language: what is wrong, and where."""

from __future__ import annotations

from data.errors import AppError
from data.i18n import Message, _


class TemplateError(AppError):
    """A template that cannot be read or rendered; ``line`` and ``column`` count from 1, columns in characters."""

    def __init__(self, why: Message, line: int, column: int) -> None:
        super().__init__(
            _("The template has a mistake"),
            _("line {line}, column {column}: {why}", line=line, column=column, why=why),
            _("Ollama's templates are written in Go's text/template language."),
        )
        self.why = why
        self.line = line
        self.column = column


def place(source: str, position: int) -> tuple[int, int]:
    """Return line and column of a position in ``source``."""
    before = source[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
