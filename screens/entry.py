"""A dialog with one line to write."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from data.i18n import Message, _
from tui.keys import bindings
from tui.widgets.cells import part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose


class EntryDialog(ModalScreen[str]):
    """Returns what was written; "" when nothing was."""

    CSS_PATH = "choice.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("dialog", only=("dialog.close",))

    def __init__(self, title: Message, body: Message, *, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._value = value

    def compose(self) -> ComposeResult:
        """Lay out the text above the line."""
        with Vertical(id="dialog"):
            yield Prose([part(str(self._body), "text")])
            entry = Input(self._value, select_on_focus=False)
            entry.cursor_blink = False  # a blinking cursor alone would send bytes over a slow line for ever
            yield entry
            yield Prose(
                [
                    (
                        ("enter ", "key"),
                        (str(_("Choose")), "muted"),
                        ("   ", ""),
                        ("esc ", "key"),
                        (str(_("Close")), "muted"),
                    )
                ]
            )

    def on_mount(self) -> None:
        """Show the title, and take the keys."""
        entitle(self.query_one("#dialog"), str(self._title))
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def on_key(self, event: events.Key) -> None:
        """Leave with escape."""
        if event.key == "escape":
            event.stop()
            self.dismiss("")
