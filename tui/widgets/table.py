"""A table that paints its own lines: keys of a list, a search, and only the rows that changed are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message as TextualMessage
from textual.scroll_view import ScrollView
from textual.strip import Strip

from data.i18n import Message
from tui.keys import bindings
from tui.theme import roles
from tui.widgets.cells import Parts, fit_parts, segments
from tui.widgets.ground import blank, laid

GAP = 2
"""Blank cells between columns"""
MARGIN = 2
"""Cells at the left, the first of them for the cursor's bar"""
EDGE = 1
"""Cells at the right, where the bar appears when there are more rows than room"""


class Column(NamedTuple):
    """A column; ``width`` 0 takes what the others leave, ``from_width`` hides it in narrower tables."""

    title: Message
    width: int = 0
    right: bool = False
    from_width: int = 0


class Row(NamedTuple):
    """A row: a stable key, a cell for each column, and the plain text that a search looks in."""

    key: str
    cells: tuple[Parts, ...]
    text: str = ""
    enabled: bool = True
    """False for a line that the cursor passes over: a heading"""


class Table(ScrollView, can_focus=True):
    """Rows under a header. Posts ``Moved`` when a person has moved the cursor, ``Chosen`` for a click on its row.

    What ``show`` and ``select`` do to the cursor is known to their caller, and is not posted: an answer to it would
    come late, when the caller may be elsewhere already.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("list")
    DEFAULT_CSS = """
    Table { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    """

    class Moved(TextualMessage):
        """A person has put the cursor on another row."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            """The table, for ``on(Table.Moved, "#id")``."""
            return self.table

    class Chosen(Moved):
        """A row was clicked that the cursor was on."""

    class SearchAsked(TextualMessage):
        """A search was asked for; whoever holds the table shows the field."""

        def __init__(self, table: Table) -> None:
            super().__init__()
            self.table = table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool = True,
        is_led: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        """``is_led``: a field beside it has the keys and moves the cursor, which is painted as if they were here."""
        super().__init__(id=id)
        self.is_led = is_led
        self.can_focus = not is_led
        self.columns = tuple(columns)
        self.header = 1 if header else 0
        self.rows: tuple[Row, ...] = ()
        self.cursor = 0
        self.needle = ""
        self._layout: tuple[int, tuple[tuple[int, Column, int], ...]] = (-1, ())

    # -- values ---------------------------------------------------------------------------------------------------

    def show(self, rows: Sequence[Row]) -> None:
        """Show ``rows``; the cursor stays on the row with the same key, unchanged rows are not drawn again."""
        old, key = self.rows, self.cursor_key
        self.rows = tuple(rows)
        keys = [row.key for row in self.rows]
        moved = False
        if key in keys:
            self.cursor = keys.index(key)
        else:
            self.cursor = self._nearest(min(self.cursor, max(0, len(keys) - 1)), 1)
            moved = True
        if [row.key for row in old] == keys and not moved:
            for index, (before, after) in enumerate(zip(old, self.rows, strict=True)):
                if before != after:
                    self._refresh_row(index)
        else:
            self.virtual_size = Size(0, len(self.rows) + self.header)
            self.refresh()
            self._keep_visible()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Lay out the cells anew, where ``columns`` are other ones than before."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self._layout = (-1, ())
            self.refresh()

    @property
    def cursor_key(self) -> str:
        """The key of the row that the cursor is on; "" in an empty table."""
        return self.rows[self.cursor].key if self.cursor < len(self.rows) else ""

    def select(self, key: str) -> None:
        """Put the cursor on the row with ``key``, where there is one."""
        for index, row in enumerate(self.rows):
            if row.key == key:
                self._place(index, 1)

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_cursor_down(self) -> None:
        """One row down."""
        self._move(self.cursor + 1, 1)

    def action_cursor_up(self) -> None:
        """One row up."""
        self._move(self.cursor - 1, -1)

    def action_first(self) -> None:
        """To the first row."""
        self._move(0, 1)

    def action_last(self) -> None:
        """To the last row."""
        self._move(len(self.rows) - 1, -1)

    def action_page(self, direction: int) -> None:
        """One page down (1) or up (-1)."""
        self._move(self.cursor + direction * max(1, self.size.height - self.header - 1), direction)

    def action_search(self) -> None:
        """Ask for a search."""
        self.post_message(self.SearchAsked(self))

    def action_next_match(self, direction: int) -> None:
        """To the next (1) or previous (-1) row that has the text that was searched."""
        needle, count = self.needle.casefold(), len(self.rows)
        for step in range(1, count + 1):
            index = (self.cursor + direction * step) % count
            if needle and needle in self.rows[index].text.casefold() and self.rows[index].enabled:
                self._move(index, direction)
                return

    def find(self, needle: str) -> bool:
        """Search ``needle``; say whether a row has it, and put the cursor on the first from here."""
        self.needle = needle
        if not needle or not any(needle.casefold() in row.text.casefold() for row in self.rows):
            return False
        if needle.casefold() not in self.rows[self.cursor].text.casefold():
            self.action_next_match(1)
        return True

    def _nearest(self, index: int, direction: int) -> int:
        """Return the first row from ``index`` on that the cursor may be on."""
        for step in (direction, -direction):
            at = index
            while 0 <= at < len(self.rows):
                if self.rows[at].enabled:
                    return at
                at += step
        return 0

    def _move(self, index: int, direction: int) -> None:
        if self._place(index, direction):
            self.post_message(self.Moved(self, self.cursor_key))

    def _place(self, index: int, direction: int) -> bool:
        """Put the cursor on the row at or near ``index``; say whether that is another one than before."""
        if not self.rows:
            return False
        index = self._nearest(min(max(0, index), len(self.rows) - 1), direction)
        moved = index != self.cursor
        if moved:
            before, self.cursor = self.cursor, index
            self._refresh_row(before)
            self._refresh_row(index)
        self._keep_visible()
        return moved

    def _keep_visible(self) -> None:
        height = self.size.height - self.header
        if height <= 0:
            return
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=0 if self._nearest(0, 1) == self.cursor else self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is; a click on the cursor's row chooses it."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self.header:
            return
        index = offset.y - self.header + self.scroll_offset.y
        if index < len(self.rows) and self.rows[index].enabled:
            if index == self.cursor:
                self.post_message(self.Chosen(self, self.cursor_key))
            self._move(index, 1)

    # -- painting -------------------------------------------------------------------------------------------------

    def on_focus(self) -> None:
        """Paint the cursor as the focused one."""
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        """Paint the cursor as one that waits."""
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self.virtual_size = Size(0, len(self.rows) + self.header)
        self.call_after_refresh(self._keep_visible)

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y + self.header
        if self.header <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _columns(self, width: int) -> tuple[tuple[int, Column, int], ...]:
        """Return index, column and width of the columns that are shown in ``width`` cells."""
        if self._layout[0] != width:
            shown = [(index, column) for index, column in enumerate(self.columns) if width >= column.from_width]
            fixed = sum(column.width for _index, column in shown) + GAP * (len(shown) - 1) + MARGIN + EDGE
            flexible = max(1, sum(1 for _index, column in shown if not column.width))
            free = max(0, width - fixed) // flexible
            self._layout = (width, tuple((index, column, column.width or free) for index, column in shown))
        return self._layout[1]

    def render_line(self, y: int) -> Strip:
        """Paint one line of what is in view."""
        width = self.size.width
        styles = roles(self)
        if self.header and y == 0:
            titles: Parts = ((" " * MARGIN, ""),)
            for _index, column, cells in self._columns(width):
                titles += (*fit_parts(((str(column.title), "title"),), cells, right=column.right), (" " * GAP, ""))
            return laid(self, segments(titles, styles), width)
        index = y - self.header + self.scroll_offset.y
        if index >= len(self.rows):
            return blank(self, width)
        row = self.rows[index]
        under = index == self.cursor and row.enabled
        is_lit = self.has_focus or self.is_led
        bar = ("▌" if is_lit else "│") if under else " "
        line: Parts = ((bar, "key" if is_lit else "muted"), (" " * (MARGIN - 1), ""))
        if not row.enabled and len(row.cells) == 1:  # a heading has the whole line
            room = self.scrollable_content_region.width - MARGIN
            return laid(self, segments((*line, *fit_parts(row.cells[0], room)), styles), width)
        for column_index, column, cells in self._columns(width):
            cell = row.cells[column_index] if column_index < len(row.cells) else ()
            line += (*fit_parts(cell, cells, right=column.right), (" " * GAP, ""))
        painted = segments(line, styles)
        if under and is_lit:
            lit = Segment.apply_style(painted, post_style=styles["cursor"])
            return laid(self, lit, width, rest=styles["cursor"])
        return laid(self, painted, width)
