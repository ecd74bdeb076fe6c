"""A search line that appears at the bottom of what it searches, and is gone when it is done."""

from __future__ import annotations

from textual import events, on
from textual.widgets import Input

from data.i18n import _
from tui.widgets.log_view import LogView
from tui.widgets.table import Table


class SearchField(Input):
    """Searches the table with the id ``target`` on the same screen."""

    DEFAULT_CSS = """
    SearchField { dock: bottom; height: 1; border: none; padding: 0 2; display: none; background: $panel; }
    SearchField:focus { border: none; }
    SearchField.-open { display: block; }
    """

    def __init__(self, target: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, select_on_focus=True)
        self.cursor_blink = False  # a blinking cursor alone would send bytes over a slow line for ever
        self._target = target

    def open(self) -> None:
        """Appear and take the keys."""
        self.placeholder = str(_("search, then enter; n and N go on"))
        self.add_class("-open")
        self.focus()

    def close(self) -> None:
        """Give the keys back."""
        self.remove_class("-open")
        self.screen.query_one(f"#{self._target}").focus()

    def on_key(self, event: events.Key) -> None:
        """Leave with escape."""
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.close()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        target = self.screen.query_one(f"#{self._target}")
        found = target.find(event.value) if isinstance(target, (Table, LogView)) else False
        self.close()
        if not found:
            self.notify(str(_("{text} was not found", text=event.value)), timeout=3)
