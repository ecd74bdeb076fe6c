"""The look holds in every theme, and where a terminal has sixteen colours."""

from __future__ import annotations

import pytest
from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from data.settings import THEMES
from tui.theme import DARK, LIGHT, role_defaults, themes

READ = ("muted", "straw", "state-running", "state-done", "state-failed", "state-warn", "state-lost")
"""Roles of text"""
OTHERS = [theme for theme in BUILTIN_THEMES.values() if not theme.ansi]


def sixteen(colour: str) -> int | None:
    return RichColor.parse(colour).downgrade(ColorSystem.STANDARD).number


def test_the_settings_name_every_theme_that_there_is() -> None:
    assert (DARK, LIGHT, *sorted(BUILTIN_THEMES)) == THEMES


@pytest.mark.parametrize("theme", themes(few=True), ids=lambda theme: theme.name)
def test_with_sixteen_colours_no_text_has_the_colour_of_its_ground(theme: Theme) -> None:
    colours = {role: sixteen(theme.variables[role]) for role in (*READ, "faint", "cursor")}
    grounds = {sixteen(str(ground)) for ground in (theme.background, theme.surface, theme.panel)}
    assert len(grounds) == 1
    for role, colour in colours.items():
        assert colour not in grounds, role
    assert sixteen(str(theme.foreground)) not in grounds
    states = [colours[role] for role in READ if role.startswith("state-")]
    assert colours["muted"] not in states, "a state looks like what matters less"


@pytest.mark.parametrize("theme", OTHERS, ids=lambda theme: theme.name)
def test_our_roles_can_be_read_in_a_theme_that_does_not_know_them(theme: Theme) -> None:
    made = theme.to_color_system().generate()
    roles = role_defaults(theme, few=False)
    ground = Color.parse(made["background"])
    for role in READ:
        assert contrast(Color.parse(roles[role]), ground) >= 4.0, role
    assert contrast(Color.parse(made["foreground"]), Color.parse(roles["cursor"])) >= 4.0


def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours as WCAG has it."""
    first, second = sorted((luminance(one), luminance(other)))
    return (second + 0.05) / (first + 0.05)


def luminance(colour: Color) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
