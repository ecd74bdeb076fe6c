"""A dialog with one line to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input

from data.i18n import Message, _
from screens.dialog import ReadingDialog, Text
from tui.keys import bindings
from tui.widgets.cells import part
from tui.widgets.entry import Entry
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.reader import Reader


class EntryDialog(ReadingDialog[str]):
    """Returns what was written; "" when nothing was."""

    FRAME = "#dialog"
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
            yield Reader([part(str(self._body), "text")], id="body")
            yield Entry(self._value)
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

    def texts(self) -> Sequence[Text]:
        """Return what it is about."""
        return (Text(self.query_one("#body", Reader), [[part(str(self._body), "text")]]),)

    def fixed_lines(self, *, low: bool) -> int:
        """Return the field and the line of the keys."""
        return 2 if low else 4

    def on_mount(self) -> None:
        """Show the title, and take the keys."""
        entitle(self.query_one("#dialog"), str(self._title))
        self.query_one(Entry).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def on_key(self, event: events.Key) -> None:
        """Leave with escape."""
        if event.key == "escape":
            event.stop()
            self.dismiss("")
