"""A field of one line, and an editor of several: what is pasted into them is text, and nothing else."""

from __future__ import annotations

from typing import Final

from rich.text import Text
from textual import events
from textual.widgets import Input, TextArea

from data.text import one_line, pasted, signs

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


class Editor(TextArea):
    """A text of several lines. It may come from elsewhere: what a terminal would obey is shown as a sign."""

    def __init__(
        self,
        *,
        numbers: bool = False,
        marks_line: bool = False,
        disabled: bool = False,
        id: str | None = None,  # noqa: A002 - as above
    ) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=numbers, highlight_cursor_line=marks_line, disabled=disabled, id=id
        )
        self.cursor_blink = False  # as above

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
