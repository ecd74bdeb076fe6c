"""How much room there is, as classes of a screen that the style sheets ask for."""

from __future__ import annotations

from typing import Final

from textual.dom import DOMNode
from textual.geometry import Size

_WIDE_COLUMNS: Final = 120
_SLIM_COLUMNS: Final = 60
_LOW_LINES: Final = 20


def fit_to(screen: DOMNode, size: Size) -> None:
    """Give ``screen`` its classes: -wide or -narrow, -slim where one column is all there is, -low with lines to save.

    Textual's breakpoints are for the screen on top alone: the places below it would keep the classes of an older size.
    """
    width, height = size
    screen.update_classes(
        {
            "-wide": width >= _WIDE_COLUMNS,
            "-narrow": width < _WIDE_COLUMNS,
            "-slim": width < _SLIM_COLUMNS,
            "-low": height < _LOW_LINES,
        },
        animate=False,
    )
