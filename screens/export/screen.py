"""Export: choose weights, say what is to become of them, and start the chain."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from data.errors import AppError, RequestError
from data.i18n import _
from data.text import inert
from screens.entry import EntryDialog
from screens.export.drafts import Draft, Drafts
from screens.export.existing import model_to_prove
from screens.export.rows import COLUMNS, disk_lines, elsewhere_rows, empty_lines, weight_rows
from screens.export.starting import start
from screens.export.templates import NONE, choose_template, offers
from screens.place import Place
from tui.keys import bindings
from tui.services import Snapshot
from tui.widgets.cells import Parts, part
from tui.widgets.form import Form
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.search import SearchField
from tui.widgets.table import Table

if TYPE_CHECKING:
    from backend.export.plan import ExportPlan
    from backend.export.source import Run
    from tui.exporting import Prospect

_MODELFILE: Final = "modelfile"


class ExportScreen(Place):
    """From a training to a model in Ollama."""

    PLACE = "export"
    CSS_PATH = "export.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("export")

    def __init__(self, drafts: Drafts, path: str = "") -> None:
        super().__init__()
        self._wanted = path
        self._runs: list[Run] = []
        self._drafts = drafts
        self._draft: Draft | None = None
        self._prospect: Prospect | None = None
        self._templates: frozenset[str] = frozenset()
        """All that LLaMA-Factory has; none while, or where, they are not known for certain"""
        self._has_read = False

    def body(self) -> ComposeResult:
        """Lay out weights and room at the left, the form at the right."""
        with Horizontal(id="export", classes="layout"):
            with Vertical(id="from", classes="layout"):
                with Vertical(id="weights", classes="pane"):
                    yield Table(COLUMNS, id="table")
                    yield Prose(id="nothing")
                    yield SearchField("table", id="search")
                with Vertical(id="room", classes="pane"):
                    yield Prose(id="disks")
            with Vertical(id="what", classes="pane"):
                yield Form(id="form")

    def on_mount(self) -> None:
        """Read the runs."""
        self._titles()
        self._say_why_empty()
        self.add_class("-nothing", "-no-plan")
        self.set_focus(self.query_one("#table", Table))  # at once: later it may be hidden, since there is nothing
        self._read()

    def _titles(self) -> None:
        for name, title in (("weights", _("From")), ("room", _("Room")), ("what", _("To"))):
            entitle(self.query_one(f"#{name}"), str(title))

    def _say_why_empty(self) -> None:
        looking: list[Parts] = [(), part(str(_("Looking for trainings…")), "muted")]
        self.query_one("#nothing", Prose).show(empty_lines() if self._has_read else looking)

    def language_changed(self) -> None:
        """Say everything again."""
        self._titles()
        super().language_changed()
        self._say_why_empty()
        if self._has_read:
            self._show_weights()
        self._show_plan()
        self._look_ahead()

    def show(self, snapshot: Snapshot) -> None:
        """Look again for runs: a training leaves weights while one looks."""
        super().show(snapshot)
        if self._has_read:
            self._read()

    @property
    def _made(self) -> set[Path]:
        """The files that jobs have made."""
        jobs = self.paddock.snapshot.jobs
        return {Path(job.spec.workspace, path) for job in jobs for path in job.state.artifacts}

    def where(self) -> str:
        """Name what is exported."""
        return inert(self._plan.source.path.name) if self._plan else ""

    @property
    def _plan(self) -> ExportPlan | None:
        return self._draft.plan if self._draft is not None else None

    @property
    def _home(self) -> str:
        return self.services.environ.get("HOME", "")

    # -- weights --------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="runs")
    async def _read(self) -> None:
        found = await self.attempt(self.services.export_runs)
        if found is None or not self.is_there:
            return
        first = not self._has_read
        self._runs, self._has_read = found, True
        self._show_weights()
        preferred = self._drafts.preferred(found, self._wanted)
        if first and preferred is not None:
            self._open(preferred, again=not self._wanted and preferred == self._drafts.chosen)

    def use(self, path: str) -> None:
        """Export what lies at ``path``; with none, go on as it was."""
        if path:
            self._wanted = path
            self._read_anew()

    def _read_anew(self) -> None:
        self._has_read = False
        self._read()

    def _show_weights(self) -> None:
        table = self.query_one("#table", Table)
        chosen = self._plan.adapters or (self._plan.source.path,) if self._plan else ()
        rows = weight_rows(self._runs, chosen, self.services.workspace, self.services.clock())
        listed = {row.key for row in rows}
        others = [source for path, source in self._drafts.elsewhere.items() if str(path) not in listed]
        rows = [*elsewhere_rows(others, chosen, self._home), *rows]
        table.show(rows)
        self.set_class(not rows, "-nothing")
        self.set_class(self._plan is None, "-no-plan")
        self._say_why_empty()
        self.call_after_refresh(self._settle_keys)

    def _settle_keys(self) -> None:
        """Give the keys to the list when there is one, and take them from what is hidden."""
        if not self.is_there:
            return
        if self.has_class("-nothing") and self.has_class("-no-plan"):
            self.set_focus(None)
        elif self.focused is None and not self.has_class("-nothing"):
            self.query_one("#table", Table).focus()

    @work(exclusive=True, group="choice")  # not of "runs": a later look at the runs must not end it
    async def _open(self, path: Path, *, to_form: bool = False, again: bool = False) -> None:
        """Export what lies at ``path``; ``to_form`` goes on to the fields, ``again`` to where the cursor was left."""
        usual = await self.attempt_async(self._usual(path))
        if not self.is_there:
            return
        if usual is not None:
            self._draft = self._drafts.choose(usual)
            self._take(self._draft.plan)
            self._put_cursor(str(usual.source.path), again=again)
        elif again and self._drafts.chosen is None:
            self._read_anew()
        else:
            self._show_weights()
        if to_form:
            self.query_one("#form", Form).focus_fields()

    async def _usual(self, path: Path) -> ExportPlan:
        try:
            return await asyncio.to_thread(self.services.export_draft, path)
        except RequestError:  # it is no export any more
            self._drafts.drop(path)
            raise

    def _put_cursor(self, row: str, *, again: bool) -> None:
        if again:
            self.query_one("#form", Form).select(self._drafts.at_field)
        else:
            self._drafts.at_weights = row
        self.query_one("#table", Table).select(self._drafts.at_weights)

    @on(Table.Chosen, "#table")
    def _row_clicked(self) -> None:
        self.action_choose_weights()

    @on(Table.Moved)
    def _moved(self, event: Table.Moved) -> None:
        """Name the keys of the field or the weights that the cursor is on now."""
        if event.table.id == "table":
            self._drafts.at_weights = event.key
        else:
            self._drafts.at_field = event.key
        self.refresh_keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        in_list = self.focused is not None and self.focused.id == "table"
        match action:
            case "choose_weights":
                return in_list and bool(self.query_one("#table", Table).cursor_key)
            case "add_weights":
                return in_list and self._addable() is not None
            case "start" | "modelfile":
                return self._plan is not None and (action == "start" or self._plan.deployment is not None)
            case "inspect":
                return self._gguf() is not None
            case "unlock":
                return self._locked_field() is not None
            case _:
                return super().check_action(action, parameters)

    def action_choose_weights(self) -> None:
        """Export what the cursor is on, and go on to the form."""
        key = self.query_one("#table", Table).cursor_key
        if key:
            self._open(Path(key), to_form=True)

    def _addable(self) -> Path | None:
        """Return the adapter under the cursor, where adapters are merged: a whole model is none."""
        if not self.is_there or self._plan is None or self._plan.source.kind != "adapter":
            return None
        path = Path(self.query_one("#table", Table).cursor_key)
        found = (one for run in self._runs for one in run.checkpoints if one.kind == "adapter")
        return path if any(one.path == path for one in found) else None

    def action_add_weights(self) -> None:
        """Merge the adapter under the cursor as well, or leave it out again."""
        path, plan = self._addable(), self._plan
        if path is None or plan is None:
            return
        if path in plan.adapters:
            rest = tuple(adapter for adapter in plan.adapters if adapter != path)
        else:
            rest = (*plan.adapters, path)
        if rest:
            self._take(dataclasses.replace(plan, adapters=rest))

    @work
    async def action_open_path(self) -> None:
        """Ask for a path, and export what lies there."""
        answer = await self.choose(
            EntryDialog(
                _("Export from elsewhere"),
                _("The output_dir of a training, a checkpoint in it, a model's folder, or a GGUF."),
            )
        )
        if answer:
            self._open(Path(answer))

    # -- the plan -------------------------------------------------------------------------------------------------

    def _take(self, plan: ExportPlan) -> None:
        if self._draft is None:
            return
        self._draft.plan = plan
        self._prospect = None
        self._show_weights()
        self._show_plan()
        self.show_places()
        self._look_ahead()

    def _show_plan(self) -> None:
        if self._draft is None:
            return
        from screens.export.changes import problems  # noqa: PLC0415 - what it needs of backend comes with it
        from screens.export.fields import fields  # noqa: PLC0415 - as above

        plan, unlocked = self._draft.plan, self._draft.unlocked
        shown = fields(plan, unlocked=unlocked, problems=problems(plan, self._templates), home=self._home)
        self.query_one("#form", Form).show(shown)
        self.refresh_keys()

    @work(exclusive=True, group="ahead")
    async def _look_ahead(self) -> None:
        draft = self._draft
        if draft is None:
            return
        plan = draft.plan
        lines: list[Parts]
        await self._know_templates()
        try:
            self._prospect = await self.services.export_prospect(plan)
            lines = disk_lines(self._prospect, self._home)
        except AppError as error:
            lines = [(("✗ ", "failed"), (str(error.title), "text")), part(str(error.hint), "muted")]
        if self.is_there and self._plan is plan:
            self.query_one("#disks", Prose).show(lines)
            settled = self._prospect.plan if self._prospect else None
            if settled is not None and settled != plan:
                draft.plan = settled
                self._show_plan()

    async def _know_templates(self) -> None:
        """Learn which templates there are, once; a name that is not among them is marked."""
        known = await offers(self) if not self._templates else None
        if known is not None and known.exact and self.is_there:
            self._templates = frozenset(one.name for one in known.all)
            self._show_plan()

    @on(Form.Changed)
    def _changed(self, event: Form.Changed) -> None:
        self._set(event.key, event.value)

    @on(Form.Asked)
    @work
    async def _asked(self, event: Form.Asked) -> None:
        """Let the template be chosen, the one field whose values are known by name."""
        title = _("Which template was it trained with?")
        answer = await choose_template(self, title, present=event.value, can_be_none=True)
        if answer and self.is_there:
            self._set(event.key, "" if answer == NONE else answer)

    def _set(self, key: str, value: str) -> None:
        if self._draft is None:
            return
        try:
            plan = self._draft.changed(key, value, self._home)
        except RequestError as error:
            self.say(f"{error.title}. {error.detail}")
            return
        self._take(plan)

    def _locked_field(self) -> str | None:
        if not self.is_there or self._plan is None:
            return None
        field = self.query_one("#form", Form).field
        # The Modelfile is no fact of the training: its own key opens it.
        return field.key if field is not None and field.locked is not None and field.key != _MODELFILE else None

    def action_unlock(self) -> None:
        """Let what the training decided be changed."""
        key = self._locked_field()
        if key is not None and self._draft is not None:
            self._draft.unlocked.add(key)
            self._show_plan()

    async def action_modelfile(self) -> None:
        """Show the Modelfile in an editor."""
        from screens.export.modelfile import ModelfileScreen  # noqa: PLC0415 - what it needs of backend comes with it

        if self._plan is not None and self._plan.deployment is not None:
            await self.app.push_screen(ModelfileScreen(self._plan, self._edited))  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open

    def _edited(self, text: str) -> None:
        """Keep what was made of the Modelfile; "" is the draft."""
        if self._draft is not None:
            self._draft.edit(text)
            self._show_plan()

    def _gguf(self) -> Path | None:
        """Return the GGUF that is there to be looked into: the source itself, or what an earlier export has made."""
        plan = self._plan
        if plan is None or plan.gguf is None:
            return None
        return plan.gguf if plan.source.kind == "gguf" or plan.gguf in self._made else None

    async def action_inspect(self) -> None:
        """Show what the GGUF consists of."""
        file = self._gguf()
        if file is not None:
            await self.paddock.open_gguf(str(file))

    @work(exclusive=True, group="prove")
    async def action_prove_model(self) -> None:
        """Choose a model that Ollama has, and prove it by a job that is followed."""
        spec = await model_to_prove(self)
        ids = await self.attempt(lambda: self.services.launch([spec])) if spec is not None else None
        if ids:
            await self.paddock.look()
            self.paddock.open_run(ids[0])

    # -- the start ------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="start")
    async def action_start(self) -> None:
        """Say what will be done, then lay the chain down and show it."""
        if self._plan is not None:
            await start(self, self._plan, self._home)
