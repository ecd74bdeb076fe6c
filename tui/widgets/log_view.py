"""The log: lines in cells, a search with marked matches, and an end that is followed until somebody scrolls up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message as TextualMessage
from textual.scroll_view import ScrollView
from textual.strip import Strip

from data.i18n import _
from data.text import bar_name
from tui.keys import bindings
from tui.theme import Roles, roles
from tui.widgets.ground import laid

LIMIT = 50_000
"""Lines that are kept at most; older ones are read again when they are scrolled to"""

_WHEEL = 3
"""Lines that one notch of a mouse's wheel scrolls"""
_LEAST = 3
"""Cells that a mark on each side needs beside a letter"""
_BAD = ("Error", "ERROR", "Traceback", "CRITICAL", "FAILED")
_WARN = ("WARNING", "Warning", "warn")


class LogView(ScrollView, can_focus=True):
    """Takes lines that are inert already (``data.log``)."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("list", "log")
    DEFAULT_CSS = """
    LogView { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: auto; }
    """

    class OlderWanted(TextualMessage):
        """The first line is in view, and there may be older ones."""

    class SearchWanted(TextualMessage):
        """A search was asked for."""

    class OlderMatchWanted(TextualMessage):
        """No match above in what is loaded: the search goes on in older lines."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.lines: list[str] = []
        self.live = ""
        self.follow = True
        self.needle = ""
        self.match = -1
        self._widest = 0
        self._empty = ""

    # -- values ---------------------------------------------------------------------------------------------------

    def clear(self, empty: str = "") -> None:
        """Forget all lines; ``empty`` is said in their place."""
        self.lines, self.live, self.match, self._widest, self._empty = [], "", -1, 0, empty
        self.follow = True
        self._measure()

    def append(self, lines: Sequence[str], live: str = "") -> None:
        """Add lines at the end; ``live`` is the unfinished one. A progress bar replaces its last state."""
        if not lines and live == self.live:
            return
        for line in lines:
            name = bar_name(line)
            if self.lines and name is not None and bar_name(self.lines[-1]) == name:
                self.lines[-1] = line
            else:
                self.lines.append(line)
        if len(self.lines) > LIMIT:
            cut = len(self.lines) - LIMIT
            del self.lines[:cut]
            self.match = max(-1, self.match - cut)
        name = bar_name(live)
        if name is not None and self.lines and bar_name(self.lines[-1]) == name:
            self.lines.pop()
        self.live = live
        self._measure(lines)
        if self.follow:
            self.call_after_refresh(self._to_end)

    def prepend(self, lines: Sequence[str]) -> None:
        """Add older lines above; what is in view stays in view."""
        if not lines:
            return
        self.lines[:0] = lines
        if self.match >= 0:
            self.match += len(lines)
        offset = self.scroll_offset.y
        self._measure(lines)
        if not self.follow:
            self.scroll_to(y=offset + len(lines), animate=False, force=True)

    def _measure(self, fresh: Sequence[str] = ()) -> None:
        self._widest = max([self._widest, *(cell_len(line) for line in fresh), cell_len(self.live)])
        self.virtual_size = Size(self._widest + 2, self.count)
        self.refresh()

    @property
    def count(self) -> int:
        """Lines with the unfinished one."""
        return len(self.lines) + bool(self.live)

    def line_at(self, index: int) -> str:
        """Return the line with ``index``."""
        return self.lines[index] if index < len(self.lines) else self.live

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_cursor_down(self) -> None:
        """One line down."""
        self._scroll(self.scroll_offset.y + 1)

    def action_cursor_up(self) -> None:
        """One line up."""
        self._scroll(self.scroll_offset.y - 1)

    def action_page(self, direction: int) -> None:
        """One page down (1) or up (-1)."""
        self._scroll(self.scroll_offset.y + direction * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """To the first line that is loaded, and ask for older ones."""
        self._scroll(0)

    def action_last(self) -> None:
        """To the end, and follow it."""
        self.follow = True
        self._to_end()

    def action_follow(self) -> None:
        """Follow the end, or stay."""
        self.follow = not self.follow
        if self.follow:
            self._to_end()
        self.refresh()

    def action_sideways(self, direction: int) -> None:
        """Half a screen to the right (1) or to the left (-1), where lines are longer than the screen is wide."""
        self.scroll_to(x=self.scroll_offset.x + direction * self.size.width // 2, animate=False, force=True)

    def action_search(self) -> None:
        """Ask for a search."""
        self.post_message(self.SearchWanted())

    def action_next_match(self, direction: int) -> None:
        """To the next (1) or previous (-1) line with the text that was searched."""
        if not self.needle:
            self.post_message(self.SearchWanted())
            return
        start = self.match if self.match >= 0 else self.scroll_offset.y - direction
        index = start + direction
        needle = self.needle.casefold()
        while 0 <= index < self.count:
            if needle in self.line_at(index).casefold():
                self.show_match(index)
                return
            index += direction
        if direction < 0:
            self.post_message(self.OlderMatchWanted())

    def find(self, needle: str) -> bool:
        """Search ``needle`` upwards from the end, and on in lines that are not loaded yet; False for no needle."""
        self.needle = needle
        self.match = -1
        folded = needle.casefold()
        if needle:
            for index in range(self.count - 1, -1, -1):
                if folded in self.line_at(index).casefold():
                    self.show_match(index)
                    return True
            self.post_message(self.OlderMatchWanted())
        self.refresh()
        return bool(needle)

    def show_match(self, index: int) -> None:
        """Bring the match in line ``index`` into view."""
        self.match = index
        self.follow = False
        self._scroll(max(0, index - self.size.height // 2))
        self.refresh()

    def _scroll(self, y: int) -> None:
        bottom = max(0, self.count - self.size.height)
        self.follow = y >= bottom and self.match < 0
        self.scroll_to(y=max(0, min(y, bottom)), animate=False, force=True)
        if y <= 0:
            self.post_message(self.OlderWanted())

    def _to_end(self) -> None:
        self.scroll_to(y=max(0, self.count - self.size.height), animate=False, force=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Stop following where somebody looks back."""
        self._wheel(event, -_WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll, and follow again at the end."""
        self._wheel(event, _WHEEL)

    def _wheel(self, event: events.MouseEvent, lines: int) -> None:
        if event.shift or event.ctrl:  # sideways, which Textual does
            return
        event.stop()
        event.prevent_default()  # else Textual would scroll once more
        self.match = -1
        self._scroll(self.scroll_offset.y + lines)

    def on_resize(self) -> None:
        """Stay at the end where that is followed."""
        if self.follow:
            self.call_after_refresh(self._to_end)

    # -- painting -------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Paint one line of what is in view."""
        left, top = self.scroll_offset
        width = self.scrollable_content_region.width
        styles = roles(self)
        index = y + top
        if index >= self.count:
            text = self._empty if self.count == 0 and y == 0 else ""
            return laid(self, [Segment(text, styles["muted"])], width)
        return laid(self, _within(Strip(self._paint(index, styles)), left, width, styles["muted"]), width)

    def role_of(self, line: str) -> str:
        """Return the role in which ``line`` is painted."""
        if bar_name(line) is not None:
            return "running"
        if any(word in line for word in _BAD):
            return "failed"
        if any(word in line for word in _WARN):
            return "warn"
        return "muted" if line.startswith(("[INFO", "  File ")) else "text"

    def _paint(self, index: int, styles: Roles) -> list[Segment]:
        line = self.line_at(index)
        style = styles[self.role_of(line)]
        if not self.needle or self.needle.casefold() not in line.casefold():
            return [Segment(line, style)]
        return _marked(line, self.needle, style, styles["match"], current=index == self.match)


def _within(strip: Strip, left: int, width: int, mark: Style) -> Strip:
    """Return the ``width`` cells of ``strip`` from ``left`` on; a mark stands where it goes on, on either side."""
    before, after = left > 0 and strip.cell_length > 0, strip.cell_length > left + width
    if not (before or after) or width < _LEAST:
        return strip.crop(left, left + width)
    pieces = [strip.crop(left + before, left + width - after)]
    if before:
        pieces.insert(0, Strip([Segment("…", mark)]))
    if after:
        pieces.append(Strip([Segment("…", mark)]))
    return Strip.join(pieces)


def _marked(line: str, needle: str, base: Style, match: Style, *, current: bool) -> list[Segment]:
    found = base + match + Style(bold=current, underline=current)
    painted: list[Segment] = []
    folded, wanted = line.casefold(), needle.casefold()
    if len(folded) != len(line):  # a letter whose folding has another length: mark the whole line
        return [Segment(line, found)]
    at = 0
    while (hit := folded.find(wanted, at)) >= 0:
        painted += [Segment(line[at:hit], base), Segment(line[hit : hit + len(wanted)], found)]
        at = hit + len(wanted)
    return [*painted, Segment(line[at:], base)]


EMPTY = _("The log is empty so far.")
SILENT = _("It has written nothing.")
