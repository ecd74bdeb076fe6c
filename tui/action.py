"""What a person can do, as a value: its id, its name, its keys, and where they work."""

from __future__ import annotations

from typing import NamedTuple

from data.i18n import Message


class Action(NamedTuple):
    """Something that a person can do. ``keys`` are Textual's names; the first is the one that is shown."""

    id: str
    title: Message
    keys: tuple[str, ...]
    where: tuple[str, ...]
    help: Message
    call: str
    """Textual's action: the method is ``action_<call>`` of what has the focus, its screen, or the app"""
    footer: bool = False
    palette: bool = True
    priority: bool = False
    """Works before the focused field gets the key"""
