"""Where commands print: text for people, JSON for programs, an updating line where there is a terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

from data.errors import AppError
from data.i18n import Message
from data.jsontext import json_text
from data.text import inert

_CLEAR_LINE: Final = "\r\x1b[2K"
_USUAL_COLUMNS: Final = 80
_STYLES: Final = {"good": "32", "bad": "31", "busy": "36", "strong": "1", "dim": "2", "warn": "33"}


class Console:
    """Prints to ``out`` and ``err``. With ``as_json`` text about the work goes to ``err``, and only JSON to ``out``."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        plain: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.out = out
        self.err = err
        self.as_json = as_json
        self.plain = plain
        self._environ = environ
        self._line_is_open = False

    @property
    def side(self) -> TextIO:
        """Where the course of the work is told."""
        return self.err if self.as_json else self.out

    @property
    def is_live(self) -> bool:
        """Whether a line may be written over: the course of the work goes to a terminal that can do it."""
        return not self.plain and self.side.isatty() and self._environ.get("TERM", "dumb") != "dumb"

    @property
    def _is_narrow(self) -> bool:
        """Whether ``out`` cannot take every character, so that JSON has to escape them."""
        return (self.out.encoding or "utf-8").lower().replace("-", "") != "utf8"

    def width(self) -> int:
        """Return the columns of the terminal; 80 where there is none."""
        try:
            found = os.get_terminal_size(self.side.fileno()).columns
        except (OSError, ValueError):
            found = 0
        return max(20, found or _USUAL_COLUMNS)  # a pseudo-terminal whose size nobody set says 0

    def paint(self, text: str, style: str) -> str:
        """Return ``text`` in a colour role, where colours are seen and wanted."""
        if not self.is_live or self._environ.get("NO_COLOR"):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def say(self, text: Message | str = "") -> None:
        """Print a line of the answer; nothing with JSON, where the object is the answer."""
        if not self.as_json:
            self._close_line()
            self.out.write(f"{text}\n")

    def tell(self, text: Message | str) -> None:
        """Print a line about the course of the work."""
        self._close_line()
        self.side.write(f"{text}\n")
        self.side.flush()

    def warn(self, text: Message | str) -> None:
        """Print a line that may not be among those of the answer, which goes into a file or a pipe."""
        self._close_line()
        self.err.write(f"! {text}\n")
        self.err.flush()

    def update(self, text: str) -> None:
        """Write over the last line, where that can be done; elsewhere nothing."""
        if self.is_live:
            self.side.write(_CLEAR_LINE + text)
            self.side.flush()
            self._line_is_open = True

    def _close_line(self) -> None:
        if self._line_is_open:
            self.side.write(_CLEAR_LINE)
            self._line_is_open = False

    def leave_echo(self) -> None:
        """Begin a new line where a terminal has written the ^C of an interruption on this one."""
        if not self._line_is_open and self.err.isatty():
            with contextlib.suppress(OSError):
                self.err.write("\n")

    def end_update(self) -> None:
        """Take the updating line away."""
        self._close_line()
        self.side.flush()

    def emit(self, value: Mapping[str, object]) -> None:
        """Print the one object that is the answer; nothing without JSON."""
        if self.as_json:
            self._close_line()
            self.out.write(json_text(value, ensure_ascii=self._is_narrow, indent=2) + "\n")
            self.out.flush()

    def emit_line(self, value: Mapping[str, object]) -> None:
        """Print one object of a stream on a line of its own."""
        self.out.write(json_text(value, ensure_ascii=self._is_narrow) + "\n")
        self.out.flush()

    def fail(self, error: AppError) -> int:
        """Print an error in the form that was asked for; return its exit status."""
        self._close_line()
        if self.as_json:
            self.emit({"error": error.as_json()})
        else:
            title, *rest = (inert(str(part)) for part in (error.title, error.detail, error.hint) if part)
            self.err.write("".join([f"paddock: {title}\n", *(f"  {_indented(text)}\n" for text in rest)]))
            self.err.flush()
        return error.exit_status


def _indented(text: str) -> str:
    return text.rstrip().replace("\n", "\n  ")


def columns(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return ``rows`` as lines with aligned columns (by cells, not characters); columns in ``right`` end flush."""
    from tui.wording import fit  # noqa: PLC0415 - tables only

    table = [list(row) for row in rows]
    widths = [max(map(_cells, column)) for column in zip(*table, strict=True)]
    return ["  ".join(fit(cell, widths[i], right=i in right) for i, cell in enumerate(row)).rstrip() for row in table]


def _cells(text: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - tables only

    return cell_len(text)
