"""A field of one line: what is pasted into it is text, and nothing else."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.widgets import Input

from data.text import one_line

LINE_END: Final = "⏎"
"""Stands for a line end in a field of one line that may have several"""


class Entry(Input):
    """Takes all of a paste, its line ends as blanks; with ``keeps_lines`` as signs, which ``text`` turns back."""

    def __init__(
        self,
        value: str = "",
        *,
        placeholder: str = "",
        keeps_lines: bool = False,
        select_on_focus: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        self._line_end = LINE_END if keeps_lines else " "
        super().__init__(one_line(value, self._line_end), placeholder, select_on_focus=select_on_focus, id=id)
        self.cursor_blink = False  # a blinking cursor alone would send bytes over a slow line for ever

    @property
    def text(self) -> str:
        """What was written, with its line ends, without blank ends."""
        return self.value.replace(LINE_END, "\n").strip()

    def write(self, text: str) -> None:
        """Put ``text`` into the field, the cursor behind it."""
        self.value = one_line(text, self._line_end)
        self.cursor_position = len(self.value)

    def on_paste(self, event: events.Paste) -> None:
        """Take what was pasted, and not only its first line, as Textual would."""
        event.prevent_default()
        event.stop()
        text = one_line(event.text, self._line_end)
        if self.selection.is_empty:
            self.insert_text_at_cursor(text)
        else:
            self.replace(text, *self.selection)
