"""The one error that people see: what failed, why, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from data.i18n import Message, _, verbatim


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


@contextmanager
def library_asked(refusal: Callable[[str], AppError]) -> Generator[None]:
    """Make ``refusal`` of whatever a library raises for what it is given; an AppError goes on as it is."""
    try:
        yield
    except AppError:
        raise
    except BaseException as error:  # a panic in a Rust library is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # somebody ends the program
        raise refusal(str(error)) from error


_FULL: Final = (
    _("The disk is full"),
    _("Free some space and try again; `paddock doctor` shows how much each folder has."),
)
_FORBIDDEN: Final = (
    _("A file or folder may not be used"),
    _("Check its owner and its permissions; PADDOCK_HOME can name a folder that is yours."),
)
_MISPLACED: Final = (
    _("Something else stands in the place of a file or folder"),
    _("Move it away, or name another place."),
)
_MANY: Final = (_("Too many files are open"), _("Close other programs, or raise the limit: ulimit -n"))
_BROKEN: Final = (_("The disk does not answer as it should"), _("Look at the disk and its file system (dmesg)."))
_SYSTEM: Final[Mapping[int, tuple[Message, Message]]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: (_("A file would become larger than the system allows"), _("Raise the limit: ulimit -f")),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _MISPLACED,
    errno.EISDIR: _MISPLACED,
    errno.EMFILE: _MANY,
    errno.ENFILE: _MANY,
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,
}


def system_failure(error: BaseException) -> AppError | None:
    """Explain what the system refused for want of room, permission or health; None for any other exception.

    For the places where surprises end: nearer to the cause more can be said.
    """
    known = _SYSTEM.get(error.errno or 0) if isinstance(error, OSError) else None
    return AppError(known[0], str(error), known[1]) if known else None
