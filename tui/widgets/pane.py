"""The words in a frame: text and never markup, and drawn again only where they have changed."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


def entitle(pane: Widget, title: str | None = None, subtitle: str | None = None) -> None:
    """Put ``title`` and ``subtitle`` into the frame of ``pane``; None leaves what is there.

    Textual draws a pane and all that is in it again whenever a title is set, and reads a plain string as markup.
    """
    if title is not None and pane.border_title != (said := Content(title)).markup:
        pane.border_title = said
    if subtitle is not None and pane.border_subtitle != (said := Content(subtitle)).markup:
        pane.border_subtitle = said
