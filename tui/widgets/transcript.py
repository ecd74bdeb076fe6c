"""A conversation: turns below each other, the last one growing while it comes. Markdown is drawn, never obeyed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownStream

from data.text import inert
from tui.keys import bindings
from tui.widgets.cells import Parts
from tui.widgets.prose import Prose


def plain_lines(text: str) -> list[Parts]:
    """Return ``text`` line by line as it was written, each with its indentation."""
    lines = inert(text).split("\n")
    return [((line[: len(line) - len(rest)], ""), (rest, "text")) for line in lines for rest in (line.lstrip(" "),)]


class Turn(Vertical):
    """One turn: a line that says whose it is, then the text, as Markdown or ``plain``: what a person wrote is no such.

    Plain text is also there at once, however long it is: Markdown takes a widget a paragraph.
    """

    DEFAULT_CSS = """
    Turn { height: auto; margin: 0 0 1 0; }
    Turn Markdown { padding: 0 0 0 2; margin: 0; background: transparent; }
    Turn #thinking { padding: 0 0 0 2; }
    Turn #written { padding: 0 0 0 2; }
    Turn #note { padding: 0 0 0 2; }
    """

    def __init__(self, title: Parts, text: str = "", *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain
        self._title = title
        self.text = text
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        """Lay out title, thinking, text and note."""
        yield Prose([self._title], id="title")
        yield Prose(id="thinking")
        if self._plain:
            yield Prose(plain_lines(self.text), id="written")
        else:
            yield Markdown(inert(self.text), open_links=False)
        yield Prose(id="note")

    @property
    def is_there(self) -> bool:
        """It is composed, and not yet taken away."""
        return self.is_attached and bool(self.query("#title"))

    def show_title(self, title: Parts) -> None:
        """Change the line above the text."""
        self.query_one("#title", Prose).show([title])

    def show_thinking(self, text: str) -> None:
        """Show what the model thinks, its last line only: the rest is folded."""
        last = inert(text).strip().splitlines()[-1:]
        self.query_one("#thinking", Prose).show([((line, "muted"),) for line in last])

    async def grow(self, piece: str) -> None:
        """Add a piece of the text."""
        self.text += piece
        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
        await self._stream.write(inert(piece))

    async def finish(self, note: list[Parts] | None = None) -> None:
        """Draw what is left, and say how it ended."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        if note:
            self.query_one("#note", Prose).show(note)


class Transcript(VerticalScroll):
    """Turns; stays at the end while it is there."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        "list", only=("list.down", "list.up", "list.first", "list.last", "list.page_down", "list.page_up")
    )

    async def add(self, turn: Turn) -> None:
        """Add a turn at the end, and go there."""
        await self.mount(turn)
        self.anchor()

    async def clear(self) -> None:
        """Remove all turns."""
        await self.query(Turn).remove()

    def action_cursor_down(self) -> None:
        """One line down."""
        self.scroll_down(animate=False)

    def action_cursor_up(self) -> None:
        """One line up."""
        self.scroll_up(animate=False)

    def action_first(self) -> None:
        """To the first turn."""
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        """To the end, and stay there."""
        self.anchor()

    def action_page(self, direction: int) -> None:
        """One page down (1) or up (-1)."""
        if direction > 0:
            self.scroll_page_down(animate=False)
        else:
            self.scroll_page_up(animate=False)
