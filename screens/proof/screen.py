"""The proof of one job: conversations at the left, text against text and token against token at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from data.i18n import _
from data.jobs.library import Job
from data.text import inert
from screens.job_lines import deployed_model
from screens.place import Place
from screens.proof.lines import COLUMNS, about, headline, rows
from screens.proof.mending import mend
from tui.keys import bindings
from tui.proving import may_mend
from tui.widgets.cells import Parts, part
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.reader import Reader
from tui.widgets.search import SearchField
from tui.widgets.table import Table

if TYPE_CHECKING:
    from tui.proving import ProofView


class ProofScreen(Place):
    """Shows what the job has proven."""

    PLACE = "proof"
    CSS_PATH = "proof.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("proof")

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._proof: ProofView | None = None
        self._has_failed = False

    def body(self) -> ComposeResult:
        """Lay out the verdict above the conversations, and what is said of one beside them."""
        yield Prose(id="verdict")
        with Horizontal(id="proof", classes="layout"):
            with Vertical(id="cases", classes="pane"):
                yield Table(COLUMNS, header=False, id="table")
                yield Prose(id="nothing")
                yield SearchField("table", id="search")
            with Vertical(id="case", classes="pane"):
                yield Reader(id="about")

    def on_mount(self) -> None:
        """Read the proof."""
        self._titles()
        self.add_class("-reading")
        self._say_why_empty()
        self.query_one("#table", Table).focus()
        # Only the layout knows whether a text is longer than its room, and the bar is what it says so with.
        self.watch(self.query_one("#about", Reader), "show_vertical_scrollbar", self.refresh_keys, init=False)
        self._read()

    def _titles(self) -> None:
        entitle(self.query_one("#cases"), str(_("Proof")))

    def _say_why_empty(self) -> None:
        lines: list[Parts] = [part(str(_("Reading the proof…")), "muted")]
        if self._has_failed:  # what failed is said in a panel; nothing is to be seen here
            back: Parts = (("q ", "key"), (str(_("goes back")), "text"))
            lines = [part(str(_("This proof cannot be shown.")), "strong"), (), back]
        self.query_one("#nothing", Prose).show(lines)

    def where(self) -> str:
        """Name the model."""
        return inert(self._proof.model if self._proof else self._job.spec.name)

    def language_changed(self) -> None:
        """Say everything again."""
        self._titles()
        super().language_changed()
        self._say_why_empty()
        self._show()

    def on_resize(self) -> None:
        """Break the texts anew."""
        if self.is_there:
            self.call_after_refresh(self._explain)

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        self._proof = await self.attempt(lambda: self.services.proof(self._job))
        self._has_failed = self._proof is None
        if not self.is_there:
            return
        if self._proof is None:
            self._say_why_empty()
            return
        self.remove_class("-reading")
        self._show()
        wrong = next((case for case in self._proof.cases if case.grave), None)
        if wrong is not None:
            self.query_one("#table", Table).select(f"case:{wrong.name}")
        self.show_places()
        self.refresh_keys()
        self.call_after_refresh(self._explain)

    def _show(self) -> None:
        if self._proof is not None:
            self.query_one("#verdict", Prose).show([headline(self._proof)])
            self.query_one("#table", Table).show(rows(self._proof))
            self._explain()

    @on(Table.Moved, "#table")
    def _explain(self) -> None:
        if self._proof is None or not self.is_there:
            return
        key = self.query_one("#table", Table).cursor_key
        pane = self.query_one("#about", Reader)
        if key and pane.size.width:
            entitle(self.query_one("#case"), next(row.text for row in rows(self._proof) if row.key == key))
            pane.show(about(self._proof, key, max(30, pane.size.width - 2)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        match action:
            case "mend_job":
                return may_mend(self._job) and self._proof is not None and self._proof.mendable
            case "chat":
                return bool(deployed_model([self._job])[0])
            case "read_on":
                return self._proof is not None and self.query_one("#about", Reader).show_vertical_scrollbar
            case _:
                return super().check_action(action, parameters)

    def action_read_on(self) -> None:
        """Turn a page of the text; behind its end, back to its beginning."""
        pane = self.query_one("#about", Reader)
        if not pane.turn(max(1, pane.size.height - 1)):
            pane.scroll_home(animate=False)

    @work(exclusive=True, group="mend")
    async def action_mend_job(self) -> None:
        """Make right what differs, by a job that is followed."""
        await mend(self, self._job)

    async def action_chat(self) -> None:
        """Talk with the model."""
        model, host = deployed_model([self._job])
        if model:
            await self.paddock.open_chat(model, host)
