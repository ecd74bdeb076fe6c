"""The question before an export starts: what it does, what it takes, and what leaves this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.i18n import _
from screens.choice import Choice, ChoiceDialog
from screens.export.rows import prospect_lines
from screens.place import Place

if TYPE_CHECKING:
    from tui.exporting import Prospect


async def is_wanted(place: Place, prospect: Prospect, home: str) -> bool:
    """Say what ``prospect`` will do, and ask whether it is to be started."""
    leaves = bool(prospect.pushes_to)
    title = _("Start, and push to the hub") if leaves else _("Start")
    start = _("Lays all steps down as jobs; they finish even when this terminal is gone.")
    answer = await place.choose(
        ChoiceDialog(
            _("Start this export?"),
            prospect_lines(prospect, home),
            [Choice("start", "s", title, start, danger=leaves)],
            leave=_("Not now"),
        )
    )
    return answer == "start"
