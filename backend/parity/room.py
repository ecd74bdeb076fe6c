"""Which conversations a proof leaves out: those that a server cuts off for want of room in its context length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from data.i18n import Message, _

_STEP: Final = 256
"""A context length that is asked for is a multiple of this: an answer, too, wants some room"""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A conversation that was not compared, and the room that the server has for one."""

    name: str
    tokens: int
    room: int

    def as_json(self) -> dict[str, object]:
        """Return ``{name, tokens, room}``."""
        return {"name": self.name, "tokens": self.tokens, "room": self.room}


def fits(tokens: int, room: int | None) -> bool:
    """Say whether a server with ``room`` keeps a conversation whole and can still answer."""
    return room is None or tokens < room


def needed(skipped: Sequence[Skipped], cutoff_len: int, given: int | None) -> int | None:
    """Return the num_ctx that has room for ``skipped``; None where it is no help.

    What the training itself has cut by ``cutoff_len`` counts for nothing, nor does a ``given`` num_ctx that is large
    enough: then the model holds less than that.
    """
    whole = [one.tokens for one in skipped if not cutoff_len or one.tokens <= cutoff_len]
    if not whole:
        return None
    wanted = -(-(max(whole) + 1) // _STEP) * _STEP
    return wanted if given is None or given < wanted else None


def why(skipped: Sequence[Skipped], wanted: int | None) -> Message:
    """Return why ``skipped`` were not compared, with what mends it where a num_ctx of ``wanted`` does."""
    names = ", ".join(one.name for one in skipped)
    room = str(min(one.room for one in skipped))
    if wanted is None:
        return _("Not compared: {names}. The server keeps {room} tokens, and cuts them off.", names=names, room=room)
    return _(
        "Not compared: {names}. The server keeps {room} tokens, and cuts them off; a num_ctx of {needed} has room.",
        names=names,
        room=room,
        needed=str(wanted),
    )
