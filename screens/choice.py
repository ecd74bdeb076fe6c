"""A dialog that says what stands to be done, and each choice with what it means; nothing is asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message as TextualMessage

from data.i18n import Message, _
from screens.dialog import ReadingDialog, Text
from tui.keys import bindings
from tui.widgets.cells import Parts, part
from tui.widgets.pane import entitle
from tui.widgets.reader import Reader
from tui.widgets.table import Column, Row, Table


class Choice(NamedTuple):
    """One thing that can be done: its answer, its letter, its name, and what will happen."""

    answer: str
    key: str
    title: Message
    consequence: Message | str
    danger: bool = False


class _Choices(Table):
    """The choices; they all fit, so the keys of a page turn the pages of what is to be read about them."""

    class Turned(TextualMessage):
        """Somebody reads on (1) or back (-1)."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def action_page(self, direction: int) -> None:
        """Turn a page of the text."""
        self.post_message(self.Turned(direction))


class ChoiceDialog(ReadingDialog[str]):
    """Returns the chosen answer; "" when nothing is to be done."""

    FRAME = "#dialog"
    CSS_PATH = "choice.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dialog"), *bindings("app", only=("app.mouse",))]

    def __init__(
        self,
        title: Message,
        body: Message | Sequence[Parts],
        choices: Sequence[Choice],
        *,
        leave: Message | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._body: list[Parts] = [part(str(body), "text")] if isinstance(body, Message) else list(body)
        self._choices = [*choices, Choice("", "esc", leave or _("Leave it as it is"), _("Nothing is done."))]

    def compose(self) -> ComposeResult:
        """Lay out the text above the choices."""
        with Vertical(id="dialog"):
            yield Reader(self._body, id="body")
            yield _Choices([Column(Message(""), 4), Column(Message(""))], header=False, id="choices")
            yield Reader(id="meaning")

    def texts(self) -> Sequence[Text]:
        """Return what it is about, then what the choice under the cursor means."""
        meanings = [self._meaning(choice) for choice in self._choices]
        return (
            Text(self.query_one("#body", Reader), [self._body]),
            Text(self.query_one("#meaning", Reader), meanings, indent=2),
        )

    def fixed_lines(self, *, low: bool) -> int:
        """Return the lines of the choices."""
        return len(self._choices) + (0 if low else 2)

    def on_mount(self) -> None:
        """Show the choices."""
        dialog = self.query_one("#dialog")
        entitle(dialog, str(self._title))
        table = self.query_one("#choices", Table)
        table.styles.height = len(self._choices)
        table.show(
            [
                Row(
                    choice.answer or "-",
                    (part(choice.key, "key"), part(str(choice.title), "failed" if choice.danger else "text")),
                )
                for choice in self._choices
            ]
        )
        table.focus()
        self._show_meaning()

    @on(Table.Moved)
    def _show_meaning(self) -> None:
        table = self.query_one("#choices", Table)
        self.query_one("#meaning", Reader).show(self._meaning(self._choices[table.cursor]))

    @staticmethod
    def _meaning(choice: Choice) -> list[Parts]:
        return [part(str(choice.consequence), "warn" if choice.danger else "muted")]

    @on(_Choices.Turned)
    def _turned(self, event: _Choices.Turned) -> None:
        self.read(event.direction)

    @on(Table.Chosen)
    def action_choose(self) -> None:
        """Answer with what the cursor is on."""
        self.dismiss(self._choices[self.query_one("#choices", Table).cursor].answer)

    async def action_dismiss(self, result: str | None = None) -> None:
        """Close without doing anything."""
        self.dismiss("")

    def on_key(self, event: events.Key) -> None:
        """Choose by letter."""
        for choice in self._choices:
            if event.key == choice.key:
                event.stop()
                self.dismiss(choice.answer)
