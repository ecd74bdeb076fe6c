"""Help: every key of every place, and what the states mean; made from the action table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from data.i18n import Message, _
from data.jobs.status import STATUS_WORDS
from screens.room import fit_to
from tui.actions import ACTIONS, WHERE
from tui.keys import bindings, key_name
from tui.theme import role_of
from tui.widgets.cells import part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.table import Column, Row, Table
from tui.wording import STATUS_GLYPHS, STATUS_MEANINGS


def help_rows(keys: Mapping[str, tuple[str, ...]]) -> list[Row]:
    """Return the rows of the help: places with their actions, then the states."""
    rows: list[Row] = []

    def heading(title: Message) -> None:
        if rows:
            rows.append(Row(f"gap:{len(rows)}", (), enabled=False))
        rows.append(Row(f"place:{len(rows)}", (part(str(title), "key"),), enabled=False))

    for place, title in WHERE.items():
        heading(title)
        for action in ACTIONS:
            if place not in action.where:
                continue
            shown = " ".join(key_name(key) for key in keys[action.id])
            text = f"{shown} {action.title} {action.help} {action.id}"
            cells = (
                part(shown, "accent"),
                part(str(action.title), "strong"),
                part(str(action.help), "muted"),
                part(action.id, "muted"),
            )
            rows.append(Row(f"{place}:{action.id}", cells, text))
    heading(_("States of a job"))
    for status, word in STATUS_WORDS.items():
        role = role_of(status)
        cells = (
            part(STATUS_GLYPHS[status], role),
            part(str(word), role),
            part(str(STATUS_MEANINGS[status]), "muted"),
            (),
        )
        rows.append(Row(f"state:{status}", cells, f"{word} {STATUS_MEANINGS[status]}"))
    return rows


class HelpScreen(ModalScreen[None]):
    """The keys; closes with escape or q."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("dialog", only=("dialog.close",)),
        *bindings("app", only=("app.mouse",)),
    ]

    def __init__(self, keys: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Lay out one long table."""
        with Vertical(id="help"):
            yield Table(
                [
                    Column(Message(""), 12),
                    Column(Message(""), 18),
                    Column(Message("")),
                    Column(Message(""), 16, from_width=110),
                ],
                header=False,
                id="keys-table",
            )
            yield Prose(id="meaning")

    def on_mount(self) -> None:
        """Show the keys as they are now."""
        fit_to(self, self.app.size)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        pane = self.query_one("#help")
        entitle(pane, str(_("Keys")), str(_("esc closes · ids, as app.help, are for the settings file")))
        table = self.query_one(Table)
        table.show(help_rows(self._keys))
        table.focus()
        self._show_meaning()

    @on(Table.Moved)
    def _show_meaning(self) -> None:
        """Say in full what the table may have cut."""
        table = self.query_one(Table)
        _keys, _title, meaning, name = table.rows[table.cursor].cells
        self.query_one("#meaning", Prose).show([(*name, ("  ", ""), *meaning) if name else meaning])
