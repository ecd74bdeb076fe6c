"""A dialog with texts of any length: they share what room there is and scroll; keys and choices are always in sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple, TypeVar

from textual.screen import ModalScreen

from data.i18n import _
from screens.room import fit_to
from tui.widgets.cells import Parts
from tui.widgets.pane import entitle
from tui.widgets.reader import Reader, height_of, read_on, share

Answer = TypeVar("Answer")

_WIDEST: Final = 78
"""Cells of the frame, as in the .tcss of the dialogs"""


class Text(NamedTuple):
    """A reader, and all that it may have to show in turn: it gets the room of the longest."""

    reader: Reader
    contents: Sequence[Sequence[Parts]]
    indent: int = 0


class ReadingDialog(ModalScreen[Answer]):
    """Subclasses name their frame, their texts in reading order, and the lines that everything else takes."""

    FRAME: ClassVar[str]

    def texts(self) -> Sequence[Text]:
        """Return the texts in the order in which they are read."""
        raise NotImplementedError

    def fixed_lines(self, *, low: bool) -> int:
        """Return how many lines the rest takes, with its margins; ``low``: on a screen with no lines to spare."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Give each text its room."""
        fit_to(self, self.app.size)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        self._share_room()

    def on_resize(self) -> None:
        """Share the room anew."""
        self._share_room()

    def _share_room(self) -> None:
        screen = self.app.size  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        low = self.has_class("-low")
        width = max(8, min(_WIDEST, screen.width * 94 // 100) - (4 if low else 6))
        room = (screen.height if low else screen.height * 9 // 10) - (2 if low else 4) - self.fixed_lines(low=low)
        texts = self.texts()
        wanted = [max(height_of(lines, width - text.indent) for lines in text.contents) for text in texts]
        for text, lines in zip(texts, share(wanted, room), strict=True):
            text.reader.give(lines)
        more = str(_("pgdn and pgup: the rest of the text")) if sum(wanted) > room else ""
        entitle(self.query_one(self.FRAME), subtitle=more)

    def read(self, direction: int, lines: int = 0) -> None:
        """Go on reading, or back: a page, or ``lines`` lines."""
        read_on([text.reader for text in self.texts()], direction, lines)
