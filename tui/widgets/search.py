"""A search line that appears at the bottom of what it searches, and is gone when it is done."""

from __future__ import annotations

from textual import events

from data.i18n import _
from tui.widgets.entry import Entry
from tui.widgets.log_view import LogView
from tui.widgets.table import Table


class SearchField(Entry):
    """Searches the table with the id ``target`` on the same screen."""

    DEFAULT_CSS = """
    SearchField { dock: bottom; height: 1; border: none; padding: 0 2; display: none; background: $panel; }
    SearchField:focus { border: none; }
    """

    def __init__(self, target: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, select_on_focus=True)
        self._target = target

    def open(self) -> None:
        """Appear and take the keys."""
        self.placeholder = str(_("search, then enter; n and N go on"))
        # Both at once, where a class and focus() would come into force later: the next key may be here already.
        self.display = True
        self.screen.set_focus(self)

    def close(self) -> None:
        """Give the keys back."""
        self.screen.set_focus(self.screen.query_one(f"#{self._target}"))
        self.display = False

    async def on_key(self, event: events.Key) -> None:
        """Search with enter, leave with escape.

        Both here and not as bindings, which are looked at later: the next key would be text before the search begins.
        A key that was on its way when the search was done is meant for what was searched.
        """
        if not self.display:
            event.stop()
            event.prevent_default()
            self.app.post_message(events.Key(event.key, event.character))  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app open
        elif event.key == "enter":
            event.stop()
            event.prevent_default()
            await self.action_submit()
        elif event.key == "escape":
            event.stop()
            event.prevent_default()
            self.close()

    async def action_submit(self) -> None:
        """Search, and give the keys back, before the next key is looked at."""
        target = self.screen.query_one(f"#{self._target}")
        found = target.find(self.value) if isinstance(target, (Table, LogView)) else False
        self.close()
        if not found:
            self.notify(str(_("{text} was not found", text=self.value)), timeout=3)
