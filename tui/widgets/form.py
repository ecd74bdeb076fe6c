"""A form that reads like a table: a row a field with its label, its real name and its value; edited in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message as TextualMessage
from textual.widgets import Input

from data.i18n import Message, _
from data.text import inert
from tui.keys import bindings
from tui.widgets.cells import Parts, part
from tui.widgets.entry import LINE_END, Entry
from tui.widgets.prose import Prose
from tui.widgets.table import Column, Row, Table

Kind = Literal["text", "choice", "switch", "heading", "asked"]
"""``asked``: whoever holds the form asks for the value, since it knows what there is to choose from"""

ON: Final = "on"
OFF: Final = "off"
_NOTHING: Final = Message("")
_COLUMNS: Final = (
    Column(Message(""), 24),
    Column(Message(""), 24, from_width=84),
    Column(Message("")),
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``value`` and ``default`` are texts; a switch has ``ON`` or ``OFF``."""

    key: str
    label: Message
    value: str = ""
    kind: Kind = "text"
    name: str = ""
    """The argument's real name, shown beside the label"""
    default: str = ""
    """A value that differs from it is marked as changed"""
    choices: tuple[str, ...] = ()
    help: Message = _NOTHING
    locked: Message | None = None
    """Why the value cannot be changed here"""
    problem: Message | None = None
    """What is wrong with the value, and what to do"""
    empty: Message = _NOTHING
    """What an empty value means"""


class Form(Vertical):
    """Fields under each other. Posts ``Changed`` with what was entered; whoever holds the form shows the new fields."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("form")
    DEFAULT_CSS = """
    Form #fields { height: 1fr; }
    Form #entry { height: 1; border: none; padding: 0 2; display: none; background: $panel; }
    Form #entry:focus { border: none; }
    Form.-editing #entry { display: block; }
    Form #about-field { height: auto; min-height: 2; max-height: 5; padding: 0 2; }
    """

    class _OfField(TextualMessage):
        """Something about the field ``key`` and its ``value``."""

        def __init__(self, form: Form, key: str, value: str) -> None:
            super().__init__()
            self.form = form
            self.key = key
            self.value = value

        @property
        def control(self) -> Form:
            """The form, for ``on(Form.Changed, "#id")``."""
            return self.form

    class Changed(_OfField):
        """A person has entered ``value`` for the field ``key``."""

    class Asked(_OfField):
        """A person wants to choose another value for the field ``key``, of the kind ``asked``."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._fields: tuple[Field, ...] = ()
        self._before = ""

    def compose(self) -> ComposeResult:
        """Lay out the table, the entry, and the help of the field."""
        yield Table(_COLUMNS, header=False, id="fields")
        yield Entry(keeps_lines=True, id="entry")
        yield Prose(id="about-field")

    def show(self, fields: Sequence[Field]) -> None:
        """Show ``fields``; the cursor stays on the field with the same key."""
        self._fields = tuple(fields)
        self.query_one("#fields", Table).show([_row(field) for field in self._fields])
        self._explain()

    @property
    def field(self) -> Field | None:
        """The field that the cursor is on."""
        key = self.query_one("#fields", Table).cursor_key
        return next((field for field in self._fields if field.key == key), None)

    def focus_fields(self) -> None:
        """Give the keys to the fields."""
        self.query_one("#fields", Table).focus()

    def select(self, key: str) -> None:
        """Put the cursor on the field ``key``."""
        self.query_one("#fields", Table).select(key)
        self._explain()

    @on(Table.Moved, "#fields")
    def _explain(self) -> None:
        field = self.field
        lines: list[Parts] = []
        if field is not None:
            if field.problem is not None:
                lines.append((("✗ ", "failed"), (str(field.problem), "text")))
            if field.locked is not None:
                lines.append((("▪ ", "warn"), (str(field.locked), "muted")))
            if field.help:
                name: Parts = ((f"{field.name}  ", "accent"),) if field.name else ()
                lines.append((*name, (str(field.help), "muted")))
            if field.kind == "choice" and len(field.choices) > 1:
                lines.append(part(" · ".join(choice or str(field.empty) for choice in field.choices), "faint"))
        self.query_one("#about-field", Prose).show(lines)

    # -- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        if action in ("edit_field", "turn_field"):
            field = self.field if self.query("#fields") else None
            if field is None or field.locked is not None or field.kind == "heading":
                return False
            return action == "edit_field" or field.kind in ("choice", "switch")
        return super().check_action(action, parameters)

    def action_edit_field(self) -> None:
        """Edit the field: a switch is turned, a choice taken further, a text opened, what is asked for asked."""
        field = self.field
        if field is None:
            return
        if field.kind == "asked":
            self.post_message(self.Asked(self, field.key, field.value))
            return
        if field.kind != "text":
            self.action_turn_field(1)
            return
        entry = self.query_one("#entry", Entry)
        self.add_class("-editing")
        entry.placeholder = str(field.empty)
        entry.write(field.value)
        self._before = entry.value
        entry.focus()

    def action_turn_field(self, direction: int) -> None:
        """Take the next (1) or the previous (-1) choice."""
        field = self.field
        if field is None:
            return
        choices = (OFF, ON) if field.kind == "switch" else field.choices
        if choices:
            at = choices.index(field.value) if field.value in choices else -1
            self.post_message(self.Changed(self, field.key, choices[(at + direction) % len(choices)]))

    @on(Table.Chosen, "#fields")
    def _chosen(self) -> None:
        if self.check_action("edit_field", ()):
            self.action_edit_field()

    @on(Input.Submitted, "#entry")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._enter()
        self.focus_fields()

    def on_key(self, event: events.Key) -> None:
        """Leave the entry: with escape nothing is changed, with tab the value is entered and the next one at hand."""
        if event.key in ("escape", "tab", "shift+tab") and self.has_class("-editing"):
            event.stop()
            event.prevent_default()
            if event.key == "escape":
                self.remove_class("-editing")
            else:
                self._enter()
            self.focus_fields()
            table = self.query_one("#fields", Table)
            if event.key == "tab":
                table.action_cursor_down()
            elif event.key == "shift+tab":
                table.action_cursor_up()

    @on(events.DescendantBlur)
    def _left(self, event: events.DescendantBlur) -> None:
        """Enter what was written when somebody goes elsewhere with the mouse: nothing is lost."""
        if event.widget.id == "entry":
            self._enter()

    def _enter(self) -> None:
        """Close the entry, and tell what was written."""
        if not self.has_class("-editing"):
            return
        self.remove_class("-editing")
        entry, field = self.query_one("#entry", Entry), self.field
        if field is not None and entry.value.strip() != self._before.strip():
            self.post_message(self.Changed(self, field.key, entry.text))


def _row(field: Field) -> Row:
    if field.kind == "heading":
        return Row(field.key, (part(str(field.label), "title"),), str(field.label), enabled=False)
    label: Parts = (("  ", ""), (str(field.label), "text"))
    text = f"{field.label} {field.name} {field.value}"
    return Row(field.key, (label, part(field.name, "muted"), _value(field)), text)


def _value(field: Field) -> Parts:
    if field.problem is not None:
        return (("✗ ", "failed"), (_shown(field.value) or str(field.empty), "failed"))
    if field.kind == "switch":
        return (
            (("✓ ", "done"), (str(_("yes")), "text"))
            if field.value == ON
            else (("– ", "muted"), (str(_("no")), "muted"))
        )
    mark = (
        ("▪ ", "warn") if field.locked is not None else ("• ", "accent") if field.value != field.default else ("  ", "")
    )
    if not field.value:
        return (mark, (str(field.empty), "muted"))
    changed = field.value != field.default
    return (mark, (_shown(field.value), "strong" if changed and field.locked is None else "text"))


def _shown(value: str) -> str:
    return inert(value).replace("\n", LINE_END)
