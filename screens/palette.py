"""The palette: what can be done here, found by some letters of its name; and every job by its name."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Input

from data.i18n import Message, _
from screens.job_lines import name_of, status_parts
from screens.place import Place
from tui.keys import action_of, bindings, key_name
from tui.widgets.cells import part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.table import Column, Row, Table
from tui.wording import kind_word

JOB = "job:"


def matches(needle: str, text: str) -> bool:
    """Say whether every word of ``needle`` is somewhere in ``text``, whatever the case."""
    folded = text.casefold()
    return all(word in folded for word in needle.casefold().split())


def title_of(row: Row) -> str:
    """Return the name of an action or a job."""
    return "".join(text for text, _role in row.cells[0])


class PaletteScreen(ModalScreen[str]):
    """Lists the actions of the place below it."""

    CSS_PATH = "palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("dialog", only=("dialog.close",)),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False, priority=True),
    ]

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._calls: dict[str, tuple[str, DOMNode]] = {}
        self._rows = self._collect()

    def _collect(self) -> list[Row]:
        here: list[Row] = []
        everywhere: list[Row] = []
        for key, active in self._place.active_bindings.items():
            action = action_of(active.binding)
            if action is None or not action.palette or not active.enabled or action.id in self._calls:
                continue
            self._calls[action.id] = (active.binding.action, active.node)
            cells = (part(str(action.title), "strong"), part(str(action.help), "muted"), part(key_name(key), "accent"))
            text = f"{action.title} {action.help} {action.title.english()} {action.id}"
            group = everywhere if action.where[0] in ("app", "list") else here
            group.append(Row(action.id, cells, text))
        rows = [*here, *everywhere]
        for job in reversed(self._place.paddock.snapshot.jobs):
            title = str(_("Open {job}", job=f"{kind_word(job.spec.kind)} {name_of(job)}"))
            cells = (part(title, "text"), (*status_parts(job.status), ("  ", ""), (job.id, "muted")), ())
            rows.append(Row(JOB + job.id, cells, f"{title} {job.id} {job.status}"))
        return rows

    def compose(self) -> ComposeResult:
        """Lay out the field above what it finds."""
        with Vertical(id="palette"):
            yield Input(placeholder=str(_("What do you want to do?")), id="needle")
            yield Table(
                [Column(Message(""), 30), Column(Message("")), Column(Message(""), 8, right=True)],
                header=False,
                id="found",
            )
            yield Prose(id="meaning")

    def on_mount(self) -> None:
        """Show everything."""
        entitle(self.query_one("#palette"), str(_("Find an action")))
        self.query_one("#found", Table).can_focus = False
        self.query_one("#found", Table).show(self._rows)
        self._show_meaning()
        needle = self.query_one("#needle", Input)
        needle.cursor_blink = False
        needle.focus()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        table = self.query_one("#found", Table)
        table.cursor = 0
        found = [row for row in self._rows if matches(event.value, row.text)]
        found.sort(key=lambda row: not matches(event.value, title_of(row)))  # what is called so goes first
        table.show(found)
        self._show_meaning()

    @on(Table.Moved)
    def _show_meaning(self) -> None:
        """Say in full what the table may have cut."""
        table = self.query_one("#found", Table)
        chosen = table.rows[table.cursor] if table.rows else None
        self.query_one("#meaning", Prose).show([chosen.cells[1] if chosen else part(str(_("Nothing is called so.")))])

    @on(Input.Submitted)
    @on(Table.Chosen)
    def _chosen(self) -> None:
        self.dismiss(self.query_one("#found", Table).cursor_key)

    async def perform(self, key: str | None) -> None:
        """Do what was chosen, on the place below; the app calls it when the palette is closed."""
        place = self._place
        if key and key.startswith(JOB):
            place.paddock.open_run(key.removeprefix(JOB))
        elif key in self._calls:
            call, node = self._calls[key]
            await place.perform(call, node)

    def action_move(self, direction: int) -> None:
        """Move the cursor while the field has the keys."""
        table = self.query_one("#found", Table)
        if direction > 0:
            table.action_cursor_down()
        else:
            table.action_cursor_up()
