"""Run: one job in its pipeline: progress, curve, meters, log, and what can be done with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from data.i18n import _
from data.jobs.library import Job
from data.jobs.status import Status
from data.size import size
from screens.home.rows import groups
from screens.job_actions import JobActions
from screens.job_lines import JobDetail, deployed_model, name_of
from screens.run.lines import STEP_COLUMNS, now_lines, step_rows, story_lines
from screens.run.record import RunRecord
from screens.status import machine_gauges
from tui.keys import bindings
from tui.proving import has_proof
from tui.services import Snapshot
from tui.widgets.cells import part
from tui.widgets.chart import Chart
from tui.widgets.log_view import EMPTY, SILENT, LogView
from tui.widgets.meters import Meters
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.search import SearchField
from tui.widgets.table import Table
from tui.wording import chain_title, number

_SEARCH_S = 3.0
_PERCENT = 5
"""Cells of the percentage behind a bar"""


class RunScreen(JobActions):
    """Shows the job ``job_id`` and its pipeline."""

    PLACE = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("run")

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self._job_id = job_id
        self._jobs: tuple[Job, ...] = ()
        self._records: dict[str, RunRecord] = {}
        self._reading = False
        self._log_of = ""

    def body(self) -> ComposeResult:
        """Lay out steps, curve and machine above the log."""
        yield Prose(id="gone")
        with Horizontal(id="upper", classes="layout"):
            with Vertical(id="steps", classes="pane"):
                yield Table(STEP_COLUMNS, header=False, id="step-table")
            with Vertical(id="centre", classes="layout"):
                with Vertical(id="now", classes="pane"):
                    yield Prose(id="about")
                with Vertical(id="curve", classes="pane"):
                    yield Chart(id="chart")
            with Vertical(id="machine", classes="pane"):
                yield Meters(id="meters")
        with Vertical(id="lower", classes="pane"):
            yield LogView(id="log")
            yield SearchField("log", id="search")

    def on_mount(self) -> None:
        """Read the job."""
        self.query_one("#about", Prose).show([part(str(_("Reading the job…")), "muted")])
        self._titles()
        self.open(self._job_id)
        self.query_one("#log", LogView).focus()

    def _titles(self) -> None:
        for name, title in (
            ("steps", _("Steps")),
            ("curve", _("Loss")),
            ("machine", _("Machine")),
            ("lower", _("Log")),
        ):
            entitle(self.query_one(f"#{name}"), str(title))

    def language_changed(self) -> None:
        """Say everything again."""
        self._titles()
        super().language_changed()

    # -- which job ------------------------------------------------------------------------------------------------

    def open(self, job_id: str) -> None:
        """Show another job."""
        self._job_id = job_id
        self.add_class("-no-curve")
        self._forget_log()
        self.show(self.paddock.snapshot)
        self.refresh_keys()

    @property
    def selected_job(self) -> Job | None:
        """The job that is shown."""
        return next((job for job in self._jobs if job.id == self._job_id), None)

    def where(self) -> str:
        """Name the pipeline and the job."""
        job = self.selected_job
        if job is None:
            return ""
        chain = f"{chain_title(job.spec.chain)} › " if job.spec.chain else ""
        return f"{chain}{name_of(job)}"

    @on(Table.Moved, "#step-table")
    def _step_moved(self, event: Table.Moved) -> None:
        if event.key and event.key != self._job_id:
            self.open(event.key)

    def action_step(self, direction: int) -> None:
        """Show the next (1) or previous (-1) job of the pipeline."""
        ids = [job.id for job in self._jobs]
        if self._job_id in ids:
            index = ids.index(self._job_id) + direction
            if 0 <= index < len(ids):
                self.open(ids[index])

    # -- what is shown --------------------------------------------------------------------------------------------

    def show(self, snapshot: Snapshot) -> None:
        """Show the job as it is now, and read on."""
        super().show(snapshot)
        if not self.paddock.has_looked:
            return
        watched = self.selected_job
        group = next((one for one in groups(snapshot.jobs) if any(job.id == self._job_id for job in one.jobs)), None)
        self._jobs = group.jobs if group else ()
        job = self.selected_job
        if watched is not None and job is not None and (successor := self._successor(watched, job)) is not None:
            self.open(successor.id)
            return
        self.set_class(job is None, "-gone")
        self.set_class(len(self._jobs) < 2, "-single")
        if job is None:
            self.query_one("#gone", Prose).show(
                [
                    part(str(_("This job is not here any more.")), "strong"),
                    (),
                    part(str(_("It was removed, perhaps in another window.")), "muted"),
                    (("q ", "key"), (str(_("goes back to the jobs that are here")), "text")),
                ]
            )
            return
        self.show_places()
        self._present(job, snapshot)
        self._read_on(job)

    def _successor(self, watched: Job, job: Job) -> Job | None:
        """Return the step to go on with when ``job`` has come well to its end while somebody watched it.

        Whoever has scrolled up its log, which then no longer follows, is left where they read.
        """
        has_ended = job.status is Status.SUCCEEDED and watched.id == job.id and not watched.status.is_ended
        if not has_ended or not self.query_one("#log", LogView).follow:
            return None
        later = self._jobs[self._jobs.index(job) + 1 :]
        return next((one for one in later if not one.status.is_ended), None)

    def _forget_log(self) -> None:
        """Let the next reading begin at the end of the log again."""
        self._log_of = ""
        self.query_one("#log", LogView).clear()
        entitle(self.query_one("#lower"), subtitle="")

    def _read_on(self, job: Job) -> None:
        """Read what is new of ``job``; one reading at a time, for a record is not made for two."""
        if not self._reading:
            self._reading = True  # here, not in the worker, which begins later: a second one could slip in
            self._read(job)

    @work(exclusive=False, group="read")
    async def _read(self, job: Job) -> None:
        """Read on in a thread, then show what came; where another job is shown by now, go on with that one."""
        record = self._records.setdefault(job.id, RunRecord(job.folder))
        fresh = self._log_of != job.id
        if fresh:
            record.restart_log()
            self._log_of = job.id
        try:
            lines = await self.attempt(lambda: record.read(job.status, job.state.attempt))
        finally:
            self._reading = False
        shown = self.selected_job
        if lines is None or shown is None or not self.is_there:
            return
        if shown.id != job.id or self._log_of != job.id:
            self._read_on(shown)
            return
        log = self.query_one("#log", LogView)
        if fresh:
            log.clear(str(SILENT if job.status.is_ended else EMPTY))
        log.append(lines, record.log.live)
        self._log_title(record)
        self._present(shown, self.paddock.snapshot)

    @property
    def _centre_width(self) -> int:
        """Cells of a line beside the steps (see run.tcss); known before the first layout, too."""
        narrow = self.has_class("-narrow")
        steps = 0 if len(self._jobs) < 2 or self.has_class("-slim") else 27 if narrow else 38
        return max(20, self.size.width - steps - (0 if narrow else 38) - 6)

    def on_resize(self) -> None:
        """Cut lines anew."""
        if self.is_there:
            self.show(self.paddock.snapshot)

    def _log_title(self, record: RunRecord) -> None:
        log = self.query_one("#log", LogView)
        words = [size(record.log.size())]
        words.append(str(_("following") if log.follow else _("standing still; f follows")))
        entitle(self.query_one("#lower"), subtitle=" · ".join(words))

    def _present(self, job: Job, snapshot: Snapshot) -> None:
        record = self._records.get(job.id)
        read = record is not None and record.is_read
        pace = record.pace if record is not None and read else snapshot.paces.get(job.id)
        detail = JobDetail(job, pace, record.exception if record else (), self._jobs)
        table = self.query_one("#step-table", Table)
        table.show(step_rows(self._jobs, detail, snapshot.moment, names=not self.has_class("-narrow")))
        table.select(job.id)
        drawn = record is not None and len(record.loss) > 0
        has_curve = drawn or (job.spec.kind == "train" and job.status is not Status.FAILED)
        self.set_class(not has_curve, "-no-curve")
        bar_width = max(10, min(48, self.size.width - 60, self._centre_width - _PERCENT))
        entitle(self.query_one("#now"), name_of(job))
        if has_curve:
            lines = now_lines(detail, snapshot.moment, bar_width, self._centre_width)
        else:
            lines = story_lines(detail, self._jobs, snapshot.moment, bar_width)
        self.query_one("#about", Prose).show(lines if read else [*lines, part(str(_("Reading the job…")), "muted")])
        if record is not None and has_curve:
            chart = self.query_one("#chart", Chart)
            chart.show(record.loss, record.evaluations)
            last = f"  {number(record.loss.last)}" if len(record.loss) else ""
            legend = chart.legend if len(record.loss) else ""
            entitle(self.query_one("#curve"), f"{_('Loss')}{last}", legend)
        machine = snapshot.machine if job.status.is_live and job.status is not Status.UNREACHABLE else None
        machine = machine or (record.machine if record else None)
        title = _("Machine") if job.status.is_live else _("Machine, at the end")
        entitle(self.query_one("#machine"), str(title))
        if machine is not None:
            self.query_one("#meters", Meters).show(machine_gauges(machine))
        else:
            self.query_one("#meters", Meters).show([])

    # -- the log --------------------------------------------------------------------------------------------------

    @on(LogView.SearchWanted)
    def _search_wanted(self) -> None:
        self.query_one("#search", SearchField).open()

    @on(LogView.OlderWanted)
    @work(exclusive=True, group="older")
    async def _older(self) -> None:
        record = self._records.get(self._job_id)
        if record is None or record.log.is_at_start:
            return
        lines = await self.attempt(record.log.older)
        if lines and self._log_of == self._job_id:
            self.query_one("#log", LogView).prepend(lines)

    @on(LogView.OlderMatchWanted)
    @work(exclusive=True, group="older")
    async def _older_match(self) -> None:
        """Search on in older lines, piece by piece, for a few seconds at most."""
        record = self._records.get(self._job_id)
        log = self.query_one("#log", LogView)
        needle = log.needle.casefold()
        loop = asyncio.get_running_loop()
        end = loop.time() + _SEARCH_S
        while record is not None and not record.log.is_at_start and loop.time() < end:
            lines = await self.attempt(record.log.older)
            if lines is None or self._log_of != self._job_id:
                return
            log.prepend(lines)
            for index in range(len(lines) - 1, -1, -1):
                if needle in lines[index].casefold():
                    log.show_match(index)
                    return
        if record is not None and record.log.is_at_start:
            self.say(_("{text} is nowhere above", text=log.needle))
        else:
            self.say(_("Not found so far; the same key searches on"))

    # -- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        if action == "chat":
            return bool(deployed_model(self._jobs)[0])
        if action == "proof":
            return self.selected_job is not None and has_proof(self.selected_job)
        if action == "inspect":
            return bool(self._gguf)
        if action == "step":
            return len(self._jobs) > 1
        return super().check_action(action, parameters)

    async def action_chat(self) -> None:
        """Talk with the model that was deployed."""
        model, host = deployed_model(self._jobs)
        if model:
            await self.paddock.open_chat(model, host)

    @property
    def _gguf(self) -> str:
        """The GGUF that the job has made; "" where it has made none."""
        job = self.selected_job
        made = job.state.artifacts if job is not None and job.status is Status.SUCCEEDED else {}
        return next((str(Path(job.spec.workspace, path)) for path in made if path.endswith(".gguf")), "") if job else ""

    async def action_inspect(self) -> None:
        """Show what the GGUF of the job consists of."""
        await self.paddock.open_gguf(self._gguf)

    async def action_proof(self) -> None:
        """Show what the job has proven."""
        from screens.proof.screen import ProofScreen  # noqa: PLC0415 - only where there is one

        job = self.selected_job
        if job is not None:
            await self.app.push_screen(ProofScreen(job))  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open

    def action_zoom(self) -> None:
        """Give the focused pane the whole screen, or give it back."""
        if self.maximized is not None:
            self.minimize()
            return
        focused = self.focused
        pane = focused.parent if focused is not None else None
        if isinstance(pane, Widget):
            pane.can_focus = False
            self.maximize(pane)

    @property
    def copy_text(self) -> str:
        """The failure where there is one, and the end of the log."""
        job = self.selected_job
        about = self.query_one("#about", Prose).plain
        log = self.query_one("#log", LogView)
        tail = "\n".join(log.lines[-200:])
        if job is not None and job.status is Status.FAILED:
            return f"{job.id}\n{about}\n\n{tail}"
        return tail or about

    def removed(self, job: Job) -> None:
        """Go back: the job is gone."""
        self.dismiss()
