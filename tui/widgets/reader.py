"""Text that scrolls where there is more of it than room; a dialog turns its pages, so that the keys stay elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from tui.widgets.cells import Parts
from tui.widgets.prose import Prose, wrap_line


def height_of(lines: Sequence[Parts], width: int) -> int:
    """Return how many lines ``lines`` are when they are wrapped to ``width`` cells."""
    return sum(len(wrap_line(line, width)) for line in lines)


def share(wanted: Sequence[int], room: int) -> list[int]:
    """Return how many of ``room`` lines each text gets: what it wants, or an even part, and one at least."""
    given = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for place, index in enumerate(order):
        given[index] = max(1, min(wanted[index], room // (len(order) - place)))
        room -= given[index]
    return given


class Reader(VerticalScroll, can_focus=False):
    """Lines that are wrapped to the width, in as much room as ``give`` gave."""

    DEFAULT_CSS = "Reader { height: auto; width: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }"

    def __init__(self, lines: Sequence[Parts] = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._prose = Prose(lines)

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield self._prose

    def show(self, lines: Sequence[Parts]) -> None:
        """Show ``lines`` from their beginning."""
        self._prose.show(lines)
        self.scroll_home(animate=False)

    def give(self, lines: int) -> None:
        """Take exactly ``lines`` lines of the screen."""
        self.styles.height = lines

    def turn(self, lines: int) -> bool:
        """Scroll by ``lines``, forwards or back; False where there is nothing more."""
        target = min(max(0, round(self.scroll_offset.y) + lines), self.max_scroll_y)
        if target == round(self.scroll_offset.y):
            return False
        self.scroll_to(y=target, animate=False, force=True)
        return True


def read_on(readers: Sequence[Reader], direction: int, lines: int = 0) -> None:
    """Scroll the first of ``readers`` that has more in ``direction`` (1 or -1): a page, or ``lines`` lines."""
    for reader in readers if direction > 0 else reversed(readers):
        if reader.turn(direction * (lines or max(1, reader.size.height - 1))):
            return
