"""A list that is searched by typing: the palette, the models of Chat; as long as it may be, it scrolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from data.i18n import Message, _
from screens.room import fit_to
from tui.keys import bindings
from tui.widgets.cells import part, width_of
from tui.widgets.entry import Entry
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.table import Column, Row, Table


def matches(needle: str, text: str) -> bool:
    """Say whether every word of ``needle`` is somewhere in ``text``, whatever the case."""
    folded = text.casefold()
    return all(word in folded for word in needle.casefold().split())


def rank(needle: str, name: str) -> int:
    """Return how near a name is to what was typed, 0 the nearest: that very name, one that begins so, one with it."""
    typed, folded = needle.strip().casefold(), name.strip().casefold()
    if folded.removesuffix(":latest") == typed.removesuffix(":latest"):
        return 0
    if folded.startswith(typed):
        return 1
    return 2 if matches(needle, name) else 3


def title_of(row: Row) -> str:
    """Return the name of what a row offers."""
    return "".join(text for text, _role in row.cells[0])


class Finder(ModalScreen[str]):
    """Returns the key of the chosen row; "" when none was. A row is its name, what it means, and a short end."""

    CSS_PATH = "finder.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("dialog", only=("dialog.close",)),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False, priority=True),
        Binding("pagedown", "turn(1)", show=False),
        Binding("pageup", "turn(-1)", show=False),
    ]

    def __init__(
        self, title: Message, placeholder: Message, rows: Sequence[Row], *, name_cells: int = 30, present: str = ""
    ) -> None:
        super().__init__()
        self._title = title
        self._placeholder = placeholder
        self._rows = list(rows)
        self._name_cells = name_cells
        self._present = present

    def compose(self) -> ComposeResult:
        """Lay out the field above what it finds."""
        with Vertical(id="finder"):
            yield Entry(placeholder=str(self._placeholder), id="needle")
            yield Table(
                [Column(Message(""), self._name_cells), Column(Message("")), Column(Message(""), 8, right=True)],
                header=False,
                is_led=True,
                id="found",
            )
            yield Prose(id="meaning")

    def on_mount(self) -> None:
        """Show everything, the cursor on what is in use."""
        fit_to(self, self.app.size)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        entitle(self.query_one("#finder"), str(self._title))
        table = self.query_one("#found", Table)
        table.show(self._rows)
        table.select(self._present)
        self._show_meaning()
        self.query_one("#needle", Entry).focus()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        table = self.query_one("#found", Table)
        if not event.value and table.rows == tuple(self._rows):
            return  # the field's own first word, which must not take the cursor from what is in use
        table.cursor = 0
        found = [row for row in self._rows if matches(event.value, row.text)]
        found.sort(key=lambda row: rank(event.value, title_of(row)))
        table.show(found)
        self._show_meaning()

    @on(Table.Moved)
    def _show_meaning(self) -> None:
        """Say in full what the table may have cut."""
        table = self.query_one("#found", Table)
        chosen = table.rows[table.cursor] if table.rows else None
        lines = [part(str(_("Nothing matches.")))]
        if chosen is not None:
            name, meaning = chosen.cells[:2]
            lines = [name, meaning] if width_of(name) > self._name_cells else [meaning]
        self.query_one("#meaning", Prose).show(lines)

    @on(Input.Submitted)
    @on(Table.Chosen)
    def _chosen(self) -> None:
        self.dismiss(self.query_one("#found", Table).cursor_key)

    async def action_dismiss(self, result: str | None = None) -> None:
        """Close without a choice."""
        self.dismiss("")

    def action_move(self, direction: int) -> None:
        """Move the cursor while the field has the keys."""
        table = self.query_one("#found", Table)
        if direction > 0:
            table.action_cursor_down()
        else:
            table.action_cursor_up()

    def action_turn(self, direction: int) -> None:
        """Turn a page while the field has the keys."""
        self.query_one("#found", Table).action_page(direction)
