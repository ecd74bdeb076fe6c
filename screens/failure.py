"""A failure in its own panel: what failed, why, what to do; and a key to copy it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from data.errors import AppError
from data.i18n import _
from data.text import inert
from screens.dialog import ReadingDialog, Text
from screens.shell import Shell
from tui.keys import bindings
from tui.widgets.cells import Parts, part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.reader import Reader


def reason_lines(error: AppError) -> list[Parts]:
    """Return what failed and why."""
    lines: list[Parts] = [part(inert(str(error.title)), "strong")]
    if error.detail:
        lines += [(), part(inert(str(error.detail)), "text")]
    return lines


def remedy_lines(error: AppError) -> list[Parts]:
    """Return what to do."""
    return [(("→ ", "key"), (inert(str(error.hint)), "text"))] if error.hint else []


def failure_words(error: AppError) -> list[Parts]:
    """Return the lines of ``error``."""
    remedy = remedy_lines(error)
    return [*reason_lines(error), (), *remedy] if remedy else reason_lines(error)


def as_text(error: AppError) -> str:
    """Return all of ``error``, for copying."""
    return "\n\n".join(inert(str(words)) for words in (error.title, error.detail, error.hint) if words)


class FailureDialog(ReadingDialog[None]):
    """Shows one ``AppError``: what failed and why, then the remedy, then the keys; the first two scroll."""

    FRAME = "#failure"
    CSS_PATH = "failure.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("dialog", only=("dialog.close",)),
        *bindings("app", only=("app.mouse",)),
        *bindings("list", only=("list.down", "list.up", "list.page_down", "list.page_up")),
        Binding("enter", "dismiss", show=False),
        Binding("y", "copy", show=False, id="failure.copy"),
    ]

    def __init__(self, error: AppError) -> None:
        super().__init__()
        self.error = error

    def compose(self) -> ComposeResult:
        """Lay out the error above the two keys."""
        with Vertical(id="failure"):
            yield Reader(reason_lines(self.error), id="reason")
            yield Reader(remedy_lines(self.error), id="remedy")
            yield Prose(
                [(("esc ", "key"), (str(_("Close")), "muted"), ("   ", ""), ("y ", "key"), (str(_("Copy")), "muted"))]
            )

    def texts(self) -> Sequence[Text]:
        """Return the reason, then the remedy."""
        reason, remedy = self.query_one("#reason", Reader), self.query_one("#remedy", Reader)
        remedy.display = bool(self.error.hint)
        both = (Text(reason, [reason_lines(self.error)]), Text(remedy, [remedy_lines(self.error)]))
        return both if self.error.hint else both[:1]

    def fixed_lines(self, *, low: bool) -> int:
        """Return the line of the keys, and what is blank above it and above the remedy."""
        return 1 if low else 2 + bool(self.error.hint)

    def on_mount(self) -> None:
        """Give the panel its title."""
        entitle(self.query_one("#failure"), f"✗ {_('failed')}")

    def action_cursor_down(self) -> None:
        """Scroll one line on."""
        self.read(1, 1)

    def action_cursor_up(self) -> None:
        """Scroll one line back."""
        self.read(-1, 1)

    def action_page(self, direction: int) -> None:
        """Scroll a page."""
        self.read(direction)

    def action_copy(self) -> None:
        """Copy the error, and write it to a file."""
        shell = cast("Shell", self.app)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        text = as_text(self.error)
        try:
            path = shell.services.write_copy("failure", text)
        except AppError:
            return  # it is on the screen; a second failure on top of it helps nobody
        shell.copy_to_clipboard(text)
        self.notify(str(_("Copied; also written to {file}", file=str(path))), timeout=4)
