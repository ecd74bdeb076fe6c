"""The Modelfile of an export in an editor: the draft as the job would write it, and what a person makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import TextArea

from backend.export.plan import ExportPlan
from data.i18n import _
from data.text import inert
from screens.place import Place
from tui.keys import bindings
from tui.widgets.cells import Parts, part
from tui.widgets.editor import Editor
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose


class ModelfileScreen(Place):
    """Edits the Modelfile of ``plan``; tells ``take`` each text, an empty one where it is the draft."""

    PLACE = "modelfile"
    CSS_PATH = "modelfile.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("modelfile")

    def __init__(self, plan: ExportPlan, take: Callable[[str], None]) -> None:
        super().__init__()
        self._plan = plan
        self._take = take
        self._draft: str | None = None
        self._is_writing = True

    def body(self) -> ComposeResult:
        """Lay out the text above what is wrong with it."""
        with Vertical(id="modelfile", classes="pane"):
            yield Editor(numbers=True, marks_line=True, disabled=True, id="text")
        yield Prose([part(str(_("Writing the draft…")), "muted")], id="verdict")

    def on_mount(self) -> None:
        """Write the draft."""
        entitle(self.query_one("#modelfile"), "Modelfile")
        self._write()

    def where(self) -> str:
        """Name the model."""
        return inert(self._plan.deployment.name) if self._plan.deployment else ""

    def language_changed(self) -> None:
        """Say everything again."""
        super().language_changed()
        self._judge()

    @property
    def is_typing(self) -> bool:
        """Letters are text, from the first one on."""
        return self._is_writing or super().is_typing

    def on_key(self, event: Key) -> None:
        """Keep letters that come before the text from being taken for keys of the app."""
        if self._is_writing and event.is_printable:
            event.stop()

    @work(exclusive=True, group="draft")
    async def _write(self) -> None:
        draft = await self.attempt(lambda: self.services.export_modelfile(self._plan))
        self._is_writing = False
        if not self.is_there:
            return
        self.refresh_keys()
        edited = self._plan.deployment.edited if self._plan.deployment else ""
        if draft is None and not edited:
            self.query_one("#verdict", Prose).show([part(str(_("There is no draft to be shown yet.")), "muted")])
            return
        self._draft = draft or ""
        text = self.query_one("#text", TextArea)
        text.text = edited or self._draft
        text.disabled = False
        text.focus()
        self._judge()

    @on(TextArea.Changed, "#text")
    def _judge(self) -> None:
        """Say what is wrong with the text, and hand it on."""
        if self._draft is None:
            return
        text = self.query_one("#text", TextArea).text
        is_draft = text == self._draft
        edited = "" if is_draft or not text.strip() else text
        self._take(edited)
        self.query_one("#verdict", Prose).show([self._verdict(text, is_draft=is_draft)])
        entitle(self.query_one("#modelfile"), subtitle=str(_("edited")) if edited else "")
        self.refresh_keys()

    def _verdict(self, text: str, *, is_draft: bool) -> Parts:
        if not text.strip():
            words = _("Empty, so the draft goes to Ollama: what the training says.")
            return (("• ", "accent"), (str(words), "text"))
        gguf = self._plan.deployment.gguf if self._plan.deployment else ""
        problem = self.services.modelfile_problem(text, gguf)
        if problem is not None:
            return (("✗ ", "failed"), (inert(str(problem.detail or problem.title)), "text"))
        if is_draft:
            return (("✓ ", "done"), (str(_("The draft: what the training says. Write in it to change it.")), "muted"))
        odd = self.services.modelfile_caution(text)
        words = odd or _("Edited: it goes to Ollama as it stands, if the proof holds.")
        return (("• ", "accent"), (str(words), "text"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        if action == "back_to_draft":
            is_there = self.is_there and bool(self._draft)
            return is_there and self.query_one("#text", TextArea).text != self._draft
        return super().check_action(action, parameters)

    def action_back_to_draft(self) -> None:
        """Write the draft again."""
        text = self.query_one("#text", TextArea)
        if self._draft is not None:
            text.replace(self._draft, text.document.start, text.document.end)
