"""Lines of text in roles, wrapped by cells: details, empty states, failures."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tui.theme import roles
from tui.widgets.cells import Parts, fit_parts, segments, width_of
from tui.widgets.ground import blank, laid
from tui.wording import wrap

_GAP = 3


def wrap_line(line: Parts, width: int) -> list[Parts]:
    """Return ``line`` in lines of ``width`` cells. Only its last part is wrapped, hanging below its own beginning."""
    if not line or (width_of(line) <= width and "\n" not in line[-1][0]):
        return [line]
    head, (text, role) = line[:-1], line[-1]
    if width_of(head) > width * 2 // 3:
        return _break_between(line, width)
    indent = min(width_of(head), width // 2)
    pieces = wrap(text, max(8, width - indent)) or [""]
    return [(*head, (pieces[0], role)), *(((" " * indent, ""), (piece, role)) for piece in pieces[1:])]


def _break_between(line: Parts, width: int) -> list[Parts]:
    """Return ``line`` broken at its wide gaps: a row of values becomes two."""
    lines: list[Parts] = []
    present: Parts = ()
    group: Parts = ()
    for one in (*line, ("", "")):
        if one[0].strip() or (one[0] and len(one[0]) < _GAP):
            group += (one,)
            continue
        if present and width_of(present) + _GAP + width_of(group) > width:
            lines.append(present)
            present = group
        else:
            present = (*present, (" " * _GAP, ""), *group) if present else group
        group = ()
    return [*lines, present]


class Prose(Widget):
    """Lines that are wrapped to the width; longer text than there is room for is cut at the end."""

    DEFAULT_CSS = "Prose { height: auto; width: 1fr; }"

    def __init__(self, lines: Sequence[Parts] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._lines = tuple(lines)
        self._wrapped: tuple[int, list[Parts]] = (-1, [])

    def show(self, lines: Sequence[Parts]) -> None:
        """Show ``lines``; only those that changed are drawn again."""
        new = tuple(lines)
        if new == self._lines:
            return
        width, before = self._wrapped
        self._lines = new
        self._wrapped = (-1, [])
        after = self._wrap(width) if width == self.size.width else []
        if not after or len(after) != len(before):
            self.refresh(layout=True)
            return
        changed = [y for y, (old, line) in enumerate(zip(before, after, strict=True)) if old != line]
        self.refresh(*(Region(0, y, width, 1) for y in changed))

    @property
    def plain(self) -> str:
        """The text without roles, for copying."""
        return "\n".join("".join(text for text, _role in line) for line in self._lines)

    def _wrap(self, width: int) -> list[Parts]:
        if self._wrapped[0] != width:
            self._wrapped = (width, [piece for line in self._lines for piece in wrap_line(line, width)])
        return self._wrapped[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the lines after wrapping."""
        return len(self._wrap(width))

    def render_line(self, y: int) -> Strip:
        """Paint one line."""
        width = self.size.width
        lines = self._wrap(width)
        if y >= len(lines):
            return blank(self, width)
        line = lines[y]
        if y == self.size.height - 1 and len(lines) > self.size.height:
            line = (*line, (" …" if line else "…", "muted"))
        return laid(self, segments(fit_parts(line, width), roles(self)), width)
