"""The three lines around every screen: places above, what is going on and what can be pressed below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.message import Message as TextualMessage
from textual.strip import Strip
from textual.widget import Widget

from tui.theme import roles
from tui.widgets.cells import Part, Parts, fit_parts, segments, width_of
from tui.widgets.ground import blank, laid

GAP = 3
_SLIM_COLUMNS = 60
"""In fewer columns one of the keys that are always named is enough, and none where it would hide the place's own"""


class Spot(NamedTuple):
    """Where a part that stands for an action begins and ends, in cells."""

    begin: int
    end: int
    action: str


class LineBar(Widget):
    """One line of parts at the left and at the right; parts may be clicked."""

    DEFAULT_CSS = "LineBar { height: 1; width: 1fr; }"

    class Pressed(TextualMessage):
        """A part that stands for an action was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._left: Parts = ()
        self._right: Parts = ()
        self._spots: list[Spot] = []

    def show_parts(self, left: Parts, right: Parts = (), spots: Sequence[Spot] = ()) -> None:
        """Show ``left`` and ``right``, which gives way when there is no room; ``spots`` of the left can be clicked."""
        self._spots = list(spots)
        width = self.size.width
        before = self.line(width)
        self._left, self._right = left, right
        if self.line(width) != before:  # a clock that there is no room for sends nothing
            self.refresh()

    def line(self, width: int) -> Parts:
        """Return what is painted in ``width`` cells."""
        space = width - width_of(self._right)
        if not self._right or space < width_of(self._left) + 1:
            return fit_parts(self._left, width)
        return fit_parts(self._left, space) + self._right

    def render(self) -> Text:
        """Return the line as text, for screen readers and screenshots of the tree."""
        return Text("".join(text for text, _role in self.line(self.size.width)))

    def render_line(self, y: int) -> Strip:
        """Paint the line."""
        width = self.size.width
        if y:
            return blank(self, width)
        return laid(self, segments(self.line(width), roles(self)), width)

    def on_click(self, event: events.Click) -> None:
        """Tell which part was meant."""
        for begin, end, action in self._spots:
            if begin <= event.x < end:
                self.post_message(self.Pressed(action))


class KeyHint(NamedTuple):
    """A key, what it does, and the action to run when it is clicked."""

    key: str
    title: str
    action: str


class KeyBar(LineBar):
    """The footer: as many keys as there is room for, the ones at the right (help, palette) always."""

    def show_keys(self, hints: Sequence[KeyHint], always: Sequence[KeyHint]) -> None:
        """Show ``hints`` from the left and ``always`` at the right."""
        if (new := (tuple(hints), tuple(always))) != (self._hints, self._always):
            self._hints, self._always = new
            self.refresh()

    _hints: tuple[KeyHint, ...] = ()
    _always: tuple[KeyHint, ...] = ()

    def line(self, width: int) -> Parts:
        """Return the hints that fit, whole ones only."""
        self._spots = []
        right: list[Part] = []
        always = self._always if width >= _SLIM_COLUMNS else self._room_for(width)
        taken = [_hint_parts(hint) for hint in always]
        right_width = sum(width_of(parts) + GAP for parts in taken) - GAP + 2 if taken else 0
        left: list[Part] = [("  ", "")]
        at = 2
        for hint in self._hints:
            parts = _hint_parts(hint)
            cells = width_of(parts)
            if at + cells + GAP + right_width > width:
                break
            left += [*parts, (" " * GAP, "")]
            self._spots.append(Spot(at, at + cells, hint.action))
            at += cells + GAP
        at = width - right_width
        for hint, parts in zip(always, taken, strict=True):
            right += [*parts, (" " * GAP, "")]
            self._spots.append(Spot(at, at + width_of(parts), hint.action))
            at += width_of(parts) + GAP
        if right:
            right[-1] = ("  ", "")
        return fit_parts(left, width - right_width) + tuple(right)

    def _room_for(self, width: int) -> tuple[KeyHint, ...]:
        """Return the first of what is always named, where the two first keys of the place fit beside it."""
        wanted = (*self._hints[:2], *self._always[:1])
        needed = 2 + sum(width_of(_hint_parts(hint)) + GAP for hint in wanted) - GAP + 2
        return self._always[:1] if needed <= width else ()


def _hint_parts(hint: KeyHint) -> Parts:
    return ((hint.key, "key"), (" ", ""), (hint.title, "muted"))
