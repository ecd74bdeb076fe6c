"""One value of a GGUF on the whole screen: a chat template, a vocabulary, a list of merges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import chop_cells
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from data.i18n import _
from data.text import inert
from screens.place import Place
from tui.widgets.log_view import LogView
from tui.widgets.pane import entitle
from tui.widgets.search import SearchField
from tui.widgets.text_view import TextView

_WRAPPED: Final = 5000
"""Lines up to which a text is broken to the width; longer ones are lists, whose lines are short"""


class ValueScreen(Place):
    """Shows ``lines``, which are inert already, under the name of their key."""

    PLACE = "gguf"

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._name = name
        self._lines = tuple(lines)
        self._width = 0

    def body(self) -> ComposeResult:
        """Lay out the text."""
        with Vertical(id="value", classes="pane"):
            yield TextView(id="text")
            yield SearchField("text", id="search")

    def on_mount(self) -> None:
        """Take the keys."""
        entitle(self.query_one("#value"), inert(self._name), str(_("{count} lines", count=f"{len(self._lines):,}")))
        self.query_one("#text", TextView).focus()

    def on_resize(self) -> None:
        """Break the lines of a text to the width; their beginning shows what belongs together."""
        width = max(20, self.size.width - 4)
        if not self.is_there or width == self._width:
            return
        self._width = width
        lines = self._lines
        if len(lines) <= _WRAPPED:
            lines = tuple(piece for line in lines for piece in (chop_cells(line, width) or [""]))
        self.query_one("#text", TextView).show(lines)

    def where(self) -> str:
        """Name the key."""
        return inert(self._name)

    @on(LogView.SearchWanted)
    def _search_wanted(self) -> None:
        self.query_one("#search", SearchField).open()
