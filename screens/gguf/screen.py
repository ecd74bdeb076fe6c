"""The viewer of GGUFs: everything that the header of a file says, in one list with a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from data.i18n import _
from data.text import inert
from screens.gguf.rows import COLUMNS, about, key_of, rows
from screens.gguf.value import ValueScreen
from screens.place import Place
from tui.keys import bindings
from tui.widgets.cells import part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.search import SearchField
from tui.widgets.table import Row, Table

if TYPE_CHECKING:
    from tui.inspecting import Inspection


class GgufScreen(Place):
    """Shows the GGUF at ``path``."""

    PLACE = "gguf"
    CSS_PATH = "gguf.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("gguf")

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._seen: Inspection | None = None

    def body(self) -> ComposeResult:
        """Lay out the list, and what is under the cursor in full."""
        with Horizontal(id="gguf", classes="layout"):
            with Vertical(id="parts", classes="pane"):
                yield Table(COLUMNS, id="table")
                yield Prose(id="nothing")
                yield SearchField("table", id="search")
            with Vertical(id="part", classes="pane"):
                yield Prose(id="about")

    def on_mount(self) -> None:
        """Read the file."""
        entitle(self.query_one("#parts"), inert(Path(self._path).name))
        self.query_one("#nothing", Prose).show([part(str(_("Reading the header…")), "muted")])
        self.add_class("-reading")
        self.query_one("#table", Table).focus()
        self._read()

    def where(self) -> str:
        """Name the file."""
        return inert(Path(self._path).name)

    def language_changed(self) -> None:
        """Say everything again."""
        super().language_changed()
        self._read()

    @work(exclusive=True, group="runs")
    async def _read(self) -> None:
        read = await self.attempt(self._look)
        if not self.is_there:
            return
        if read is None:  # what failed is said in a panel; nothing is to be seen here
            self.query_one("#nothing", Prose).show(
                [
                    part(str(_("This file cannot be shown.")), "strong"),
                    (),
                    (("q ", "key"), (str(_("goes back")), "text")),
                ]
            )
            return
        self._seen, lines = read
        self.remove_class("-reading")
        self.query_one("#table", Table).show(lines)
        self._explain()

    def _look(self) -> tuple[Inspection, list[Row]]:
        seen = self.services.inspect_gguf(self._path)
        return seen, rows(seen)

    @on(Table.Moved, "#table")
    def _explain(self) -> None:
        if self._seen is not None:
            self.query_one("#about", Prose).show(about(self._seen, self._row))
            self.refresh_keys()

    @property
    def _row(self) -> Row | None:
        table = self.query_one("#table", Table)
        return table.rows[table.cursor] if table.rows else None

    @on(Table.Chosen, "#table")
    def _row_clicked(self) -> None:
        if self.check_action("whole_value", ()):
            self.action_whole_value()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        if action == "whole_value":
            row = self._row if self.is_there and self._seen is not None else None
            return row is not None and bool(key_of(row.key))
        return super().check_action(action, parameters)

    @work(exclusive=True, group="value")
    async def action_whole_value(self) -> None:
        """Show all of the key that the cursor is on."""
        row, seen = self._row, self._seen
        if row is None or seen is None:
            return
        name = key_of(row.key)
        lines = await self.attempt(lambda: self.services.gguf_value(seen, name))
        if lines is not None and self.is_there:
            await self.app.push_screen(ValueScreen(name, lines))  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
