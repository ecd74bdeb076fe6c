"""A failure in its own panel: what failed, why, what to do; and a key to copy it."""

from __future__ import annotations

from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from data.errors import AppError
from data.i18n import _
from data.text import inert
from screens.shell import Shell
from tui.keys import bindings
from tui.widgets.cells import Parts, part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose


def failure_words(error: AppError) -> list[Parts]:
    """Return the lines of ``error``."""
    lines: list[Parts] = [part(inert(str(error.title)), "strong")]
    if error.detail:
        lines += [(), part(inert(str(error.detail)), "text")]
    if error.hint:
        lines += [(), (("→ ", "key"), (inert(str(error.hint)), "text"))]
    return lines


class FailureDialog(ModalScreen[None]):
    """Shows one ``AppError``."""

    CSS_PATH = "failure.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("dialog", only=("dialog.close",)),
        Binding("enter", "dismiss", show=False),
        Binding("y", "copy", show=False, id="failure.copy"),
    ]

    def __init__(self, error: AppError) -> None:
        super().__init__()
        self.error = error

    def compose(self) -> ComposeResult:
        """Lay out the error above the two keys."""
        with Vertical(id="failure"):
            yield Prose(failure_words(self.error), id="words")
            yield Prose(
                [(("esc ", "key"), (str(_("Close")), "muted"), ("   ", ""), ("y ", "key"), (str(_("Copy")), "muted"))]
            )

    def on_mount(self) -> None:
        """Give the panel its title."""
        entitle(self.query_one("#failure"), f"✗ {_('failed')}")

    def action_copy(self) -> None:
        """Copy the error, and write it to a file."""
        shell = cast("Shell", self.app)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        text = self.query_one("#words", Prose).plain
        try:
            path = shell.services.write_copy("failure", text)
        except AppError:
            return  # it is on the screen; a second failure on top of it helps nobody
        shell.copy_to_clipboard(text)
        self.notify(str(_("Copied; also written to {file}", file=str(path))), timeout=4)
