"""The one error that people see: what failed, why, and what to do."""

from __future__ import annotations

from data.i18n import Message, verbatim


class AppError(Exception):
    """A failure that is explained: ``title`` says what failed, ``detail`` why, ``hint`` what to do.

    Plain strings are taken as they are; use ``data.i18n._`` for text of our own.
    """

    exit_status = 1

    def __init__(self, title: Message | str, detail: Message | str = "", hint: Message | str = "") -> None:
        self.title = title if isinstance(title, Message) else verbatim(title)
        self.detail = detail if isinstance(detail, Message) else verbatim(detail)
        self.hint = hint if isinstance(hint, Message) else verbatim(hint)
        super().__init__(self.title.english())

    def __str__(self) -> str:
        return "\n".join(part for part in (str(self.title), str(self.detail), str(self.hint)) if part)

    def as_json(self) -> dict[str, str]:
        """Return ``{title, detail, hint}`` in English, the form of every command's JSON error."""
        return {"title": self.title.english(), "detail": self.detail.english(), "hint": self.hint.english()}


class RequestError(AppError):
    """The request itself was wrong, so nothing was started: exit status 2."""

    exit_status = 2
