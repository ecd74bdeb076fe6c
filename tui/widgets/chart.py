"""The chart of a run: raw and smoothed values over steps, with keys to zoom, move and change the scale."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from textual.binding import BindingType
from textual.strip import Strip
from textual.widget import Widget

from data.i18n import _
from tui.keys import bindings
from tui.theme import Roles, roles
from tui.widgets.ground import laid
from tui.widgets.pane import entitle
from tui.widgets.plot import Picture, Series, View, draw
from tui.wording import number

_ROLES = {"raw": "running", "curve": "accent", "mark": "done", "axis": "muted", "frame": "faint", "": ""}
_FEWEST_STEPS = 8


class Chart(Widget, can_focus=True):
    """Draws only when a point has come, or the view has changed."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("chart")
    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.raw = Series()
        self.marks: Series | None = None
        self.view = View()
        self._picture: tuple[tuple[object, ...], Picture | None] = ((), None)
        self._drawn: tuple[int, int] = (-1, -1)

    def show(self, raw: Series, marks: Series | None = None) -> None:
        """Show ``raw`` and, as marks, ``marks``; both may grow, and this is called again."""
        revision = (raw.revision, marks.revision if marks else 0)
        if raw is not self.raw or revision != self._drawn:
            if raw is not self.raw:
                self.view = View(log=self.view.log, smooth=self.view.smooth)
            self.raw, self.marks, self._drawn = raw, marks, revision
            self.refresh()

    @property
    def legend(self) -> str:
        """What the shapes stand for, and the scale: the pane's subtitle."""
        words = [str(_("⠂ raw"))]
        if self.view.smooth:
            words.append(str(_("⠒ smoothed")))
        if self.marks is not None and len(self.marks):
            words.append(str(_("o evaluation")))
        if self.view.log:
            words.append(str(_("log scale")))
        if self.raw.bad:
            words.append(str(_("{count} values are not numbers (NaN)", count=self.raw.bad)))
        return " · ".join(words)

    def action_zoom_in(self) -> None:
        """Show half as many steps, the newest of them at the right."""
        first, last = self._range()
        if last - first > _FEWEST_STEPS:
            self._set(replace(self.view, first=last - (last - first) / 2))

    def action_zoom_out(self) -> None:
        """Show twice as many steps."""
        first, last = self._range()
        begin = last - (last - first) * 2
        whole = self.raw.steps[0] if self.raw.steps else 0.0
        self._set(
            View(log=self.view.log, smooth=self.view.smooth) if begin <= whole else replace(self.view, first=begin)
        )

    def action_zoom_all(self) -> None:
        """Show all steps, and those to come."""
        self._set(View(log=self.view.log, smooth=self.view.smooth))

    def action_pan(self, direction: int) -> None:
        """Move by a quarter of what is seen."""
        if self.view.first is None or not self.raw.steps:
            return
        first, last = self._range()
        span = last - first
        begin = min(max(first + direction * span / 4, self.raw.steps[0]), self.raw.steps[-1] - span)
        at_end = begin + span >= self.raw.steps[-1]
        self._set(replace(self.view, first=begin, last=None if at_end else begin + span))

    def action_log_scale(self) -> None:
        """Change between a linear and a logarithmic axis."""
        self._set(replace(self.view, log=not self.view.log))

    def action_smoothing(self) -> None:
        """Show or hide the smoothed curve."""
        self._set(replace(self.view, smooth=not self.view.smooth))

    def _range(self) -> tuple[float, float]:
        steps = self.raw.steps or [0.0, 1.0]
        first = steps[0] if self.view.first is None else self.view.first
        last = steps[-1] if self.view.last is None else self.view.last
        return first, last

    def _set(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self.refresh()
            if self.parent is not None and isinstance(self.parent, Widget):
                entitle(self.parent, subtitle=self.legend)

    def _drawing(self) -> Picture | None:
        revision = (self.raw.revision, self.marks.revision if self.marks else 0)
        key = (id(self.raw), revision, self.view, self.size)
        if self._picture[0] != key:
            self._picture = (key, draw(self.raw, self.marks, self.view, self.size.width, self.size.height))
        return self._picture[1]

    def render_line(self, y: int) -> Strip:
        """Paint one line."""
        width = self.size.width
        picture = self._drawing()
        styles = roles(self)
        if picture is None:
            return self._waiting(y, width, styles)
        row = picture.rows[y] if y < len(picture.rows) else []
        painted = [Segment(text, styles[_ROLES[role]]) for text, role in row]
        return laid(self, Segment.simplify(painted), width)

    def _waiting(self, y: int, width: int, styles: Roles) -> Strip:
        text = ""
        if y == self.size.height // 2 and not len(self.raw):
            text = str(_("The curve begins with the first logged step.")).center(width)
        if len(self.raw) and y == 0:  # too small for a chart: say the value at least
            text = number(self.raw.last)
        return laid(self, [Segment(text, styles["muted"])], width)
