"""The look, in one place: colour roles of two themes, and what each role is for.

What the eye meets first is the accent (straw): the cursor, the focused frame, a key to press. States have a
colour each, but never only that: a glyph and a word go with them. All else is text, muted or faint.

Frames are round and faint; the focused one is in the accent. Tables have no lines: a muted header, one blank
column between cells, and a bar at the left of the row that the cursor is on. Two cells of air at each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from rich.style import Style
from textual.theme import Theme

from data.jobs.status import Status

if TYPE_CHECKING:
    from textual.app import App
    from textual.dom import DOMNode

DARK: Final = "paddock-dark"
LIGHT: Final = "paddock-light"

# Role -> (dark, light). Each has a contrast of 4.5 or more on its own background, faint excepted (frames only).
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "muted": ("#8f98a8", "#5c6470"),
    "faint": ("#3c4553", "#c3beb0"),
    "cursor": ("#232a35", "#e7e1cf"),
    "straw": ("#e6b450", "#855400"),
    "state-running": ("#5bb8ea", "#0a66a3"),
    "state-done": ("#84c881", "#27702b"),
    "state-failed": ("#f47a80", "#b1241d"),
    "state-warn": ("#eda964", "#8f4d00"),
    "state-lost": ("#c594ec", "#7435a6"),
}

_STATUS_ROLES: Final[Mapping[Status, str]] = {
    Status.WAITING: "muted",
    Status.RUNNING: "running",
    Status.STOPPING: "warn",
    Status.SUCCEEDED: "done",
    Status.FAILED: "failed",
    Status.STOPPED: "warn",
    Status.LOST: "lost",
    Status.UNSUPERVISED: "lost",
    Status.UNREACHABLE: "lost",
}


def role_of(status: Status) -> str:
    """Return the role that paints ``status``."""
    return _STATUS_ROLES[status]


def _theme(name: str, column: int, *, background: str, surface: str, panel: str, foreground: str) -> Theme:
    colours = {role: pair[column] for role, pair in _COLOURS.items()}
    return Theme(
        name=name,
        primary=colours["straw"],
        secondary=colours["state-running"],
        accent=colours["straw"],
        warning=colours["state-warn"],
        error=colours["state-failed"],
        success=colours["state-done"],
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
        dark=column == 0,
        variables={
            **colours,
            "border": colours["straw"],
            "border-blurred": colours["faint"],
            "scrollbar": colours["faint"],
            "scrollbar-hover": colours["muted"],
            "scrollbar-active": colours["straw"],
            "scrollbar-background": background,
            "scrollbar-background-hover": background,
            "scrollbar-background-active": background,
            "scrollbar-corner-color": background,
            "block-cursor-background": colours["straw"],
            "block-cursor-foreground": background,
            "input-selection-background": colours["cursor"],
            "link-color": colours["state-running"],
            "link-background-hover": colours["cursor"],
            "link-color-hover": colours["straw"],
        },
    )


THEMES: Final = (
    _theme(DARK, 0, background="#11151b", surface="#151a21", panel="#1b212a", foreground="#d8dde5"),
    _theme(LIGHT, 1, background="#fcfbf7", surface="#f6f3ea", panel="#efebdf", foreground="#20252c"),
)

VARIABLE_DEFAULTS: Final[Mapping[str, str]] = {role: pair[0] for role, pair in _COLOURS.items()}
"""For Textual's own themes, which do not know our roles."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Rich styles by role, for widgets that paint their own lines."""

    styles: Mapping[str, Style]

    def __getitem__(self, role: str) -> Style:
        return self.styles[role]


def roles(node: DOMNode) -> Roles:
    """Return the styles of the theme in use where ``node`` is."""
    app = cast("App[object]", node.app)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
    variables = app.theme_variables
    return _roles(tuple(variables[name] for name in _COLOURS), variables["foreground"], app.no_color)


@lru_cache(maxsize=8)
def _roles(colours: tuple[str, ...], foreground: str, no_color: bool) -> Roles:
    named = dict(zip(_COLOURS, colours, strict=True))
    styles = {
        "": Style(color=named["faint"]),
        "text": Style(color=foreground),
        "strong": Style(color=foreground, bold=True),
        "muted": Style(color=named["muted"]),
        "faint": Style(color=named["faint"]),
        "accent": Style(color=named["straw"]),
        "key": Style(color=named["straw"], bold=True),
        "title": Style(color=named["muted"], bold=True),
        "running": Style(color=named["state-running"]),
        "done": Style(color=named["state-done"]),
        "failed": Style(color=named["state-failed"], bold=True),
        "warn": Style(color=named["state-warn"]),
        "lost": Style(color=named["state-lost"]),
        "cursor": Style(bgcolor=named["cursor"], bold=no_color),
        "match": Style(reverse=True),
    }
    return Roles(styles)
