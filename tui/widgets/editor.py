"""An editor of several lines: what is pasted into it is text, and nothing else.

Not beside the field of one line: the first frame needs that, and Textual's text area takes long to import.
"""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.widgets import TextArea

from data.text import pasted, signs


class Editor(TextArea):
    """A text of several lines. It may come from elsewhere: what a terminal would obey is shown as a sign."""

    def __init__(
        self,
        *,
        numbers: bool = False,
        marks_line: bool = False,
        disabled: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=numbers, highlight_cursor_line=marks_line, disabled=disabled, id=id
        )
        self.cursor_blink = False  # a blinking cursor alone would send bytes over a slow line for ever

    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn."""
        return Text(signs(self.document.get_line(line_index)), end="", no_wrap=True)

    def on_paste(self, event: events.Paste) -> None:
        """Take what was pasted as text."""
        event.prevent_default()
        event.stop()
        if not self.read_only:
            done = self.replace(pasted(event.text), *self.selection, maintain_selection_offset=False)
            self.move_cursor(done.end_location)
