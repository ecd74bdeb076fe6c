"""The palette: what can be done here, found by some letters of its name; and every job by its name."""

from __future__ import annotations

from textual.dom import DOMNode

from data.i18n import _
from screens.finder import Finder
from screens.job_lines import name_of, status_parts
from screens.place import Place
from tui.keys import action_of, key_name
from tui.widgets.cells import part
from tui.widgets.table import Row
from tui.wording import work_word

JOB = "job:"


class PaletteScreen(Finder):
    """Lists the actions of the place below it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._calls: dict[str, tuple[str, DOMNode]] = {}
        super().__init__(_("Find an action"), _("What do you want to do?"), self._collect())

    def _collect(self) -> list[Row]:
        here: list[Row] = []
        everywhere: list[Row] = []
        for key, active in self._place.active_bindings.items():
            action = action_of(active.binding)
            if action is None or not action.palette or not active.enabled or action.id in self._calls:
                continue
            self._calls[action.id] = (active.binding.action, active.node)
            cells = (part(str(action.title), "strong"), part(str(action.help), "muted"), part(key_name(key), "accent"))
            text = f"{action.title} {action.help} {action.title.english()} {action.id}"
            group = everywhere if action.where[0] in ("app", "list") else here
            group.append(Row(action.id, cells, text))
        rows = [*here, *everywhere]
        for job in reversed(self._place.paddock.snapshot.jobs):
            title = str(_("Open {job}", job=f"{work_word(job.spec)} {name_of(job)}"))
            cells = (part(title, "text"), (*status_parts(job.status), ("  ", ""), (job.id, "muted")), ())
            rows.append(Row(JOB + job.id, cells, f"{title} {job.id} {job.status}"))
        return rows

    async def perform(self, key: str | None) -> None:
        """Do what was chosen, on the place below; the app calls it when the palette is closed."""
        place = self._place
        if key and key.startswith(JOB):
            place.paddock.open_run(key.removeprefix(JOB))
        elif key in self._calls:
            call, node = self._calls[key]
            await place.perform(call, node)
