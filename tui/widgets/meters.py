"""Meters: a label, a bar and a value a line; what is not available is said in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tui.theme import roles
from tui.widgets.cells import Parts, fit_parts, segments
from tui.widgets.ground import blank, laid
from tui.wording import bar

_WARM: Final = 0.75
_HOT: Final = 0.92


class Gauge(NamedTuple):
    """A line of a meter; ``part`` None shows the value without a bar, an empty label and value a blank line."""

    label: str
    value: str = ""
    part: float | None = None
    heading: bool = False


def gauge_parts(gauge: Gauge, width: int, *, label_width: int, value_width: int) -> Parts:
    """Return the line of ``gauge`` in ``width`` cells."""
    if gauge.heading:
        return fit_parts(((gauge.label, "strong"), ("  ", ""), (gauge.value, "muted")), width)
    label = fit_parts(((gauge.label, "muted"),), label_width)
    space = width - label_width - value_width - 2
    if gauge.part is None or space < 4:
        return (*label, (" ", ""), *fit_parts(((gauge.value, "text"),), width - label_width - 1))
    filled, empty = bar(gauge.part, space)
    role = "failed" if gauge.part >= _HOT else "warn" if gauge.part >= _WARM else "running"
    value = fit_parts(((gauge.value, "text"),), value_width, right=True)
    return (*label, (" ", ""), (filled, role), (empty, "faint"), (" ", ""), *value)


class Meters(Widget):
    """Gauges below each other."""

    DEFAULT_CSS = "Meters { height: auto; width: 1fr; }"

    def __init__(
        self,
        *,
        label_width: int = 7,
        value_width: int = 17,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._gauges: tuple[Gauge, ...] = ()
        self._label_width = label_width
        self._value_width = value_width

    def show(self, gauges: Sequence[Gauge]) -> None:
        """Show ``gauges``; only those that changed are drawn again."""
        new = tuple(gauges)
        if new != self._gauges:
            old, self._gauges = self._gauges, new
            if len(new) != len(old):
                self.refresh(layout=True)
                return
            changed = [y for y, (before, after) in enumerate(zip(old, new, strict=True)) if before != after]
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line a gauge."""
        return len(self._gauges)

    def render_line(self, y: int) -> Strip:
        """Paint one gauge."""
        width = self.size.width
        if y >= len(self._gauges):
            return blank(self, width)
        line = gauge_parts(self._gauges[y], width, label_width=self._label_width, value_width=self._value_width)
        return laid(self, segments(line, roles(self)), width)
