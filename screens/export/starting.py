"""The start of an export, after a question: what it does, what it takes, and what leaves this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import RequestError
from data.i18n import _
from screens.choice import Choice, ChoiceDialog
from screens.export.rows import prospect_lines
from screens.place import Place

if TYPE_CHECKING:
    from backend.export.plan import ExportPlan
    from tui.exporting import Prospect


async def start(place: Place, plan: ExportPlan, home: str) -> None:
    """Say what ``plan`` will do, lay its chain down where that is wanted, and show it."""
    prospect = await place.attempt_async(place.services.export_prospect(plan))
    if prospect is None:
        return
    try:
        prospect.check()
    except RequestError as error:
        place.paddock.fail(error)
        return
    if not await _is_wanted(place, prospect, home):
        return
    ids = await place.attempt(lambda: place.services.launch(prospect.specs))
    if ids:
        await place.paddock.look()
        place.paddock.open_run(ids[0])


async def _is_wanted(place: Place, prospect: Prospect, home: str) -> bool:
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
