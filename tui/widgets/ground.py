"""Lines of widgets that paint their own, laid on the widget's ground."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget


def laid(widget: Widget, painted: Iterable[Segment], width: int, *, rest: Style | None = None) -> Strip:
    """Return ``painted`` in ``width`` cells on the ground of ``widget``; ``rest`` is the style of what is left free."""
    ground = widget.visual_style.rich_style  # which Textual keeps, where rich_style walks up the tree for each line
    filling = ground + rest if rest else ground
    return Strip(Segment.apply_style(painted, ground)).adjust_cell_length(width, filling)


def blank(widget: Widget, width: int) -> Strip:
    """Return ``width`` cells of the ground of ``widget``."""
    return Strip.blank(width, widget.visual_style.rich_style)
