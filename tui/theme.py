"""The look, in one place: colour roles of two themes, and what each role is for.

What the eye meets first is the accent (straw): the cursor, the focused frame, a key to press. States have a
colour each, but never only that: a glyph and a word go with them. All else is text, muted or faint.
Where there are only the sixteen colours of old, the roles are chosen among them, and shapes say the rest.

Frames are round and faint; the focused one is in the accent. Tables have no lines: a muted header, one blank
column between cells, and a bar at the left of the row that the cursor is on. Two cells of air at each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from rich.style import Style
from textual.theme import Theme

from data.jobs.status import Status

if TYPE_CHECKING:
    from textual.app import App
    from textual.dom import DOMNode

Roles = Mapping[str, Style]
"""Rich styles by role, for widgets that paint their own lines"""

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

# Role -> (dark, light) among the terminal's own sixteen colours, for terminals that have no others and for Textual's
# themes of them. Rich would choose the nearest: three states would look muted, and frames vanish under the cursor.
# On a light ground neither yellow nor green nor cyan can be read, whatever shade the terminal gives them.
_SIXTEEN: Final[Mapping[str, tuple[str, str]]] = {
    "muted": ("white", "bright_black"),
    "faint": ("bright_black", "bright_black"),
    "cursor": ("bright_black", "white"),
    "straw": ("bright_yellow", "blue"),
    "state-running": ("bright_cyan", "blue"),
    "state-done": ("bright_green", "black"),
    "state-failed": ("bright_red", "red"),
    "state-warn": ("bright_yellow", "magenta"),
    "state-lost": ("bright_magenta", "magenta"),
}
# What Rich takes for these colours, so that each becomes itself when it looks for the nearest of the sixteen.
_SHADES: Final[Mapping[str, str]] = {
    "black": "#000000",
    "red": "#aa0000",
    "blue": "#0000aa",
    "magenta": "#aa00aa",
    "white": "#aaaaaa",
    "bright_black": "#555555",
    "bright_red": "#ff5555",
    "bright_green": "#55ff55",
    "bright_yellow": "#ffff55",
    "bright_magenta": "#ff55ff",
    "bright_cyan": "#55ffff",
}
SHAPES: Final = "-shapes"
"""Class of the app where colours say little: without any, and with sixteen"""
_ANSI: Final = "ansi_"
"""Prefix of Textual's names of the terminal's own colours; Rich has the names without it"""

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


def _colours(column: int, *, few: bool) -> dict[str, str]:
    if few:
        return {role: _SHADES[pair[column]] for role, pair in _SIXTEEN.items()}
    return {role: pair[column] for role, pair in _COLOURS.items()}


def _theme(name: str, column: int, *, few: bool, background: str, surface: str, panel: str, foreground: str) -> Theme:
    colours = _colours(column, few=few)
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


def themes(*, few: bool) -> tuple[Theme, Theme]:
    """Return our themes, dark and light; ``few``: for a terminal with sixteen colours."""
    return (
        _theme(DARK, 0, few=few, background="#11151b", surface="#151a21", panel="#1b212a", foreground="#d8dde5"),
        _theme(LIGHT, 1, few=few, background="#fcfbf7", surface="#f6f3ea", panel="#efebdf", foreground="#20252c"),
    )


def role_defaults(theme: Theme, *, few: bool) -> dict[str, str]:
    """Return our roles for one of Textual's own themes, which do not know them."""
    column = 0 if theme.dark else 1
    if theme.ansi:
        return {role: _ANSI + pair[column] for role, pair in _SIXTEEN.items()}
    return _colours(column, few=few)


def roles(node: DOMNode) -> Roles:
    """Return the styles of the theme in use where ``node`` is."""
    app = cast("App[object]", node.app)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
    variables = app.theme_variables
    text, ground = variables["foreground"], variables["background"]
    inverse = app.has_class(SHAPES) or app.current_theme.ansi
    return _roles(tuple(variables[name] for name in _COLOURS), text, ground if inverse else "")


@lru_cache(maxsize=8)
def _roles(colours: tuple[str, ...], foreground: str, ground: str) -> Roles:
    """Return the styles; with ``ground`` the cursor's row is the inverse of the others, whatever is in it."""
    named = {role: colour.removeprefix(_ANSI) for role, colour in zip(_COLOURS, colours, strict=True)}
    foreground, ground = foreground.removeprefix(_ANSI), ground.removeprefix(_ANSI)
    cursor = Style(bgcolor=named["cursor"])
    if ground:
        # Of "default" it is not known what it is: only the terminal can turn it round.
        is_unknown = ground == "default"
        cursor = Style(color=ground, bgcolor=foreground, reverse=is_unknown, dim=False)
    return {
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
        "cursor": cursor,
        "match": Style(reverse=True),
    }
