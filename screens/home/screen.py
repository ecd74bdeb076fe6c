"""Home: every job and its state, the machine beside it, and what to do next."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from data.errors import AppError
from data.i18n import _
from data.jobs.library import Job
from data.jobs.status import STATUS_WORDS, Status
from screens.home.rows import COLUMNS, Group, columns_for, groups, is_folded, job_rows
from screens.job_actions import JobActions
from screens.job_lines import JobDetail, answers, artifact_lines, deployed_model, detail_lines, failure_lines, headline
from screens.place import Place
from screens.status import machine_gauges
from tui.keys import bindings, key_name
from tui.services import Snapshot
from tui.theme import role_of
from tui.widgets.cells import Parts, part
from tui.widgets.meters import Meters
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.table import Table
from tui.wording import STATUS_GLYPHS, clip, fit, work_word

_EARLIER_ANSWER = 160
"""Cells of an answer that a later one has overtaken: a base model can talk for long"""


class HomeScreen(JobActions, Place):
    """The first screen."""

    PLACE = "home"
    BINDINGS: ClassVar[list[BindingType]] = bindings("home")

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[Group] = []
        self._toggled: frozenset[str] = frozenset()
        self._detail: JobDetail | None = None
        self._fresh = True

    def body(self) -> ComposeResult:
        """Lay out jobs, detail, machine and next steps."""
        with Horizontal(id="home", classes="layout"):
            with Vertical(id="work", classes="layout"):
                with Vertical(id="jobs", classes="pane"):
                    yield Table(COLUMNS, id="table")
                    yield Prose(id="welcome")
                yield Prose(id="detail", classes="pane")
            with Vertical(id="side", classes="layout"):
                yield Meters(id="machine", classes="pane")
                yield Prose(id="next", classes="pane")

    def on_mount(self) -> None:
        """Give the panes their titles."""
        self._titles()
        self.query_one("#welcome", Prose).show([(), part(str(_("Reading the job folders…")), "muted")])
        self.query_one("#table", Table).focus()
        self.call_after_refresh(self.search_wanted)

    async def search_wanted(self) -> None:
        """Bring in the search line: the first frame does without, since its styles cost as much as all others."""
        from tui.widgets.search import SearchField  # noqa: PLC0415 - not needed for the first frame

        if not self.query("#search"):
            await self.query_one("#jobs").mount(SearchField("table", id="search"))

    def _titles(self) -> None:
        for name, title in (("jobs", _("Jobs")), ("machine", _("Machine")), ("next", _("Next"))):
            entitle(self.query_one(f"#{name}"), str(title))

    # -- what is shown --------------------------------------------------------------------------------------------

    def show(self, snapshot: Snapshot) -> None:
        """Show the jobs as they are now."""
        super().show(snapshot)
        if not self.paddock.has_looked:
            return
        self._titles()
        self._groups = groups(snapshot.jobs)
        rows = job_rows(self._groups, snapshot.paces, snapshot.moment, self._toggled)
        table = self.query_one("#table", Table)
        empty = not rows
        self.set_class(empty, "-empty")
        if empty:
            self.query_one("#welcome", Prose).show(welcome_lines())
        table.set_columns(columns_for(rows))
        table.show(rows)
        if self._fresh and rows:
            self._fresh = False
            self._to_what_matters(table)
        counts = [sum(1 for job in snapshot.jobs if job.status is status) for status in (Status.RUNNING, Status.FAILED)]
        counted = _(
            "{running} running · {failed} failed · {count} in all",
            running=counts[0],
            failed=counts[1],
            count=len(snapshot.jobs),
        )
        entitle(self.query_one("#jobs"), subtitle=str(counted) if rows else "")
        if snapshot.machine is not None:
            self.query_one("#machine", Meters).show(machine_gauges(snapshot.machine))
        self._show_detail(snapshot)

    def _to_what_matters(self, table: Table) -> None:
        """Put the cursor on the newest pipeline's present step, so that its detail is what the eye meets."""
        newest = self._groups[0]
        table.select(newest.current.id if newest.is_chain and not is_folded(newest, self._toggled) else newest.key)

    def _show_detail(self, snapshot: Snapshot) -> None:
        pane = self.query_one("#detail", Prose)
        group = self.selected_group
        job = self.selected_job
        if group is None or job is None:
            self._advise(None, None)
            return
        if group.is_chain and self.query_one("#table", Table).cursor_key == group.key:
            lines = chain_lines(group, self._with_log(group.current, group), snapshot)
            entitle(pane, group.title)
        else:
            lines = [headline(job), *detail_lines(self._with_log(job, group, snapshot), snapshot.moment)]
            entitle(pane, str(work_word(job.spec)))
        pane.show(lines)
        self._advise(group, job)

    def _with_log(self, job: Job, group: Group, snapshot: Snapshot | None = None) -> JobDetail:
        """Return ``job`` with the end of its log where it failed (read once an attempt)."""
        pace = snapshot.paces.get(job.id) if snapshot else None
        if job.status is not Status.FAILED or job.state.cause == "after":
            return JobDetail(job, pace, chain=group.jobs)
        from data.log import last_exception, log_end  # noqa: PLC0415 - not needed for the first frame

        known = self._detail
        if known is None or (known.job.id, known.job.state.attempt) != (job.id, job.state.attempt):
            known = self._detail = JobDetail(job, None, tuple(last_exception(log_end(job.folder.log))))
        return JobDetail(job, pace, known.exception, group.jobs)

    def _advise(self, group: Group | None, job: Job | None) -> None:
        lines: list[Parts] = []

        def key(name: str, text: object) -> None:
            lines.append(((f"{name:<6}", "key"), (str(text), "text")))

        if job is not None and group is not None:
            model, _host = deployed_model(group.jobs)
            if job.status is Status.FAILED:
                key("enter", _("read the log"))
                key("r", _("resume it, when the cause is gone"))
                key("y", _("copy the failure"))
            elif job.status.is_live:
                key("enter", _("watch it: loss, log, meters"))
                key("s", _("stop it, and say how"))
            elif job.status in (Status.STOPPED, Status.LOST):
                key("r", _("resume it from where it was"))
            if self.check_action("export_job", ()):
                key("E", _("export it: merge, GGUF, Ollama"))
            if model:
                key("3", _("talk with {model}", model=model))
        key("d", _("run the demo: a model trained, deployed and asked"))
        lines += [
            (),
            part(str(_("Jobs go on when this app closes or the line breaks. `paddock` comes back.")), "muted"),
        ]
        self.query_one("#next", Prose).show(lines)

    # -- what is selected -----------------------------------------------------------------------------------------

    @property
    def selected_group(self) -> Group | None:
        """The pipeline or single job that the cursor is in."""
        key = self.query_one("#table", Table).cursor_key
        for group in self._groups:
            if group.key == key or any(job.id == key for job in group.jobs):
                return group
        return None

    @property
    def selected_job(self) -> Job | None:
        """The job that the cursor is on; of a pipeline the one that matters now."""
        group = self.selected_group
        if group is None:
            return None
        key = self.query_one("#table", Table).cursor_key
        return next((job for job in group.jobs if job.id == key), group.current)

    @property
    def jobs_to_remove(self) -> tuple[Job, ...]:
        """All of a pipeline where the cursor is on its own line."""
        group = self.selected_group
        if group is not None and group.is_chain and self.query_one("#table", Table).cursor_key == group.key:
            return group.jobs
        return super().jobs_to_remove

    @on(Table.Moved)
    def _moved(self) -> None:
        self._show_detail(self.paddock.snapshot)
        self.refresh_keys()

    @on(Table.Chosen)
    def _chosen(self) -> None:
        self.action_open_job()

    # -- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        if action in ("open_job", "fold"):
            return self.selected_job is not None if self.is_mounted else False
        return super().check_action(action, parameters)

    def action_open_job(self) -> None:
        """Open the job in Run."""
        job = self.selected_job
        if job is not None:
            self.paddock.open_run(job.id)

    def action_fold(self) -> None:
        """Fold or unfold the pipeline."""
        group = self.selected_group
        if group is not None and group.is_chain:
            self._toggled = self._toggled ^ {group.key}
            table = self.query_one("#table", Table)
            if is_folded(group, self._toggled):
                table.select(group.key)
            self.show(self.paddock.snapshot)

    def on_key(self, event: events.Key) -> None:
        """Stay where escape leads nowhere: whoever has come out of everything else presses it once too often."""
        keys = [key for key, active in self.active_bindings.items() if (active.binding.id or "") == "app.back"]
        others = [key for key in keys if key != "escape"]
        if event.key == "escape" and others:
            event.stop()
            event.prevent_default()
            self.say(_("This is Home. `{key}` closes the app; jobs go on.", key=key_name(others[0])))

    @work(exclusive=True, group="demo")
    async def action_demo(self) -> None:
        """Show what the demo does, then start or follow it."""
        from screens.demo import run_demo  # noqa: PLC0415 - not needed for the first frame

        await run_demo(self)

    @property
    def copy_text(self) -> str:
        """What ``copy`` takes: the detail pane."""
        return self.query_one("#detail", Prose).plain


def welcome_lines() -> list[Parts]:
    """Return what an empty Home says."""
    return [
        (),
        part(str(_("Nothing has been run here yet.")), "strong"),
        (),
        part(
            str(
                _(
                    "Paddock trains a model with LLaMA-Factory, merges it, turns it into GGUF, puts it into Ollama and "
                    "lets you talk to it. Every step is a job that outlives this terminal."
                )
            ),
            "muted",
        ),
        (),
        (("d   ", "key"), (str(_("Watch it happen with a small real model; first it says what that costs")), "text")),
        (("?   ", "key"), (str(_("All keys, and what the states mean")), "text")),
        (),
        part(str(_("From the command line:")), "muted"),
        (
            ("    ", ""),
            ("paddock train CONFIG.yaml", "accent"),
            ("   ", ""),
            (str(_("a YAML file of LLaMA-Factory")), "muted"),
        ),
        (
            ("    ", ""),
            ("paddock doctor", "accent"),
            ("              ", ""),
            (str(_("what is installed, and what is missing")), "muted"),
        ),
    ]


def chain_lines(group: Group, current: JobDetail, snapshot: Snapshot) -> list[Parts]:
    """Return what is worth saying about a pipeline: its failure, or its answers, else its present step."""
    job = current.job
    status = group.status
    role = role_of(status)
    lines: list[Parts] = [
        (
            (f"{STATUS_GLYPHS[status]} ", role),
            (str(STATUS_WORDS[status]), role),
            ("  ", ""),
            (group.title, "strong"),
        )
    ]
    if status is not Status.SUCCEEDED:
        lines.append(headline(job))
        detail = current._replace(pace=snapshot.paces.get(job.id))
        lines += failure_lines(detail) if status is Status.FAILED else detail_lines(detail, snapshot.moment)
    told = answers(group.jobs)
    width = max((cell_len(name) for name, _answer in told), default=0)
    for index, (name, answer) in enumerate(told, 1):
        is_last = index == len(told)
        short = answer if is_last else clip(" ".join(answer.split()), _EARLIER_ANSWER)
        lines.append(((f"{fit(name, width)}  ", "muted"), (short, "accent" if is_last else "text")))
    model, host = deployed_model(group.jobs)
    if model:
        lines.append(((f"{_('model')}  ", "muted"), (f"{model}  ", "text"), (host, "muted")))
    if status is Status.SUCCEEDED:
        for member in group.jobs:
            lines += artifact_lines(member, 1)
    return lines


def explain(error: AppError) -> list[Parts]:
    """Return an error in lines: what failed, why, what to do."""
    lines = [part(str(error.title), "failed"), part(str(error.detail), "text")]
    if error.hint:
        lines.append((("→ ", "key"), (str(error.hint), "text")))
    return lines
