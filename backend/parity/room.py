"""The room in a server's context length: which conversations a proof leaves out for want of it, and what gives more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from data.i18n import Message, _

DEFAULT: Final = 4096
"""What Ollama takes without num_ctx on a machine with little video memory"""
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


def needed(skipped: Sequence[Skipped], cutoff_len: int, given: int | None, limit: int | None) -> int | None:
    """Return the num_ctx that has room for ``skipped``; None where it is no help.

    What the training itself has cut by ``cutoff_len`` counts for nothing, nor does what is more than the model holds
    (``limit``).
    """
    whole = [one.tokens for one in skipped if not cutoff_len or one.tokens <= cutoff_len]
    if not whole or not fits(max(whole), limit):
        return None
    wanted = -(-(max(whole) + 1) // _STEP) * _STEP
    wanted = wanted if limit is None else min(wanted, limit)
    return wanted if given is None or given < wanted else None


def num_ctx(cutoff_len: int, needed: int | None, limit: int | None = None) -> int:
    """Return the least num_ctx of a new Modelfile; 0 where nothing asks for one.

    Where nobody knows ``cutoff_len``, less than Ollama's own default would only be what the conversations of a proof
    take.
    """
    wanted = max(cutoff_len, needed or 0)
    wanted = max(wanted, DEFAULT) if wanted and not cutoff_len else wanted
    return wanted if limit is None else min(wanted, limit)


def lacking(wanted: int, given: int | None, limit: int | None, mend: Message) -> tuple[Message, Message]:
    """Return why a server does not keep ``wanted`` tokens as the training did, and what is to be done.

    ``mend`` is that where a num_ctx gives more room than is ``given``.
    """
    if limit is not None and limit < wanted:
        why = _(
            "The model itself holds {limit} tokens, whatever num_ctx says, but the training kept {wanted} of a "
            "conversation: longer ones are cut.",
            limit=str(limit),
            wanted=str(wanted),
        )
        rest = _("No Modelfile gives it more room: keep conversations within {limit} tokens.", limit=str(limit))
        return why, mend if given is None or given < limit else rest
    if given is None:
        why = _(
            "It is not known how many tokens the server keeps, and the training kept {wanted} of a conversation: only "
            "a num_ctx in the Modelfile makes that sure.",
            wanted=str(wanted),
        )
        return why, mend
    why = _(
        "num_ctx is {given}, but the training kept {wanted} tokens of a conversation: longer ones are cut.",
        given=str(given),
        wanted=str(wanted),
    )
    return why, mend


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
