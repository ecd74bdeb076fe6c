"""What all places share: the bars around them, the look of the moment, and the road of a failure to the eye."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from data.errors import AppError
from data.i18n import _
from screens.room import fit_to
from screens.shell import Shell
from screens.status import status_parts
from tui.actions import WHERE
from tui.keys import action_of, bindings, is_typed, key_name
from tui.services import Services, Snapshot
from tui.widgets.bars import KeyBar, KeyHint, LineBar, Spot
from tui.widgets.cells import Parts, width_of
from tui.widgets.table import Table

Answer = TypeVar("Answer")

PLACES = ("home", "run", "chat", "export")
"""The places that the bar above names, in the order of their keys."""

_ALWAYS = ("app.help", "app.palette")


class Place(Screen[None]):
    """A screen with the three bars. Subclasses compose their ``body`` and take each ``Snapshot`` in ``show``."""

    PLACE: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")

    @property
    def paddock(self) -> Shell:
        """The app, typed."""
        return cast("Shell", self.app)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open

    @property
    def services(self) -> Services:
        """What screens may call."""
        return self.paddock.services

    def compose(self) -> ComposeResult:
        """Put the body between the bars."""
        # Now, and not at the first resize, when everything has been styled and laid out: all of it would be again.
        fit_to(self, self.app.size)  # pyright: ignore[reportUnknownMemberType] - as above
        yield LineBar(id="places")
        yield from self.body()
        yield LineBar(id="status")
        yield KeyBar(id="keys")

    def body(self) -> ComposeResult:
        """Return what is between the bars."""
        raise NotImplementedError

    @property
    def is_there(self) -> bool:
        """Its widgets exist, those within others, too: it is mounted, and not yet taken away."""
        return self.is_mounted and self.is_attached and bool(self.query("#keys"))

    def show(self, snapshot: Snapshot) -> None:
        """Show what has changed; subclasses do their own part, too."""
        self.query_one("#status", LineBar).show_parts(*status_parts(snapshot, self.services))

    def where(self) -> str:
        """Return what stands behind the place's name in the bar above: the job, the model."""
        return ""

    def on_mount(self) -> None:
        """Show what is known already."""
        self.watch(self, "focused", self.refresh_keys, init=False)
        self.show_places()

    @on(Table.SearchAsked)
    async def _search_asked(self) -> None:
        from tui.widgets.search import SearchField  # noqa: PLC0415 - not needed for the first frame

        await self.search_wanted()
        self.query_one("#search", SearchField).open()

    async def search_wanted(self) -> None:
        """Bring in the search line, where it is not there from the start."""

    def on_screen_resume(self) -> None:
        """Come up to date when this place is on top again."""
        self.show_places()
        self.show(self.paddock.snapshot)
        self.refresh_keys()

    def language_changed(self) -> None:
        """Say everything again, in the other language."""
        for table in self.query(Table):
            table.refresh()  # its heads are no rows, which it draws again by itself where they have changed
        self.show_places()
        self.show(self.paddock.snapshot)
        self.refresh_keys()

    def show_places(self) -> None:
        """Name the places, this one marked, and where in it we are."""
        left: Parts = (("  ", ""), ("paddock", "key"), ("   ", ""))
        spots: list[Spot] = []
        for number, place in enumerate(PLACES, 1):
            here = place == self.PLACE
            name: Parts = (
                (f"{number} ", "key" if here else "muted"),
                (str(WHERE[place]), "strong" if here else "muted"),
            )
            spots.append(Spot(width_of(left), width_of((*left, *name)), f"app.go('{place}')"))
            left += (*name, ("   ", ""))
        where = self.where()
        if where:
            left += (("› ", "faint"), (where, "text"))
        right: Parts = ((self.paddock.workspace_words, "muted"), ("  ", ""))
        self.query_one("#places", LineBar).show_parts(left, right, spots)

    @property
    def is_typing(self) -> bool:
        """The focused widget takes letters as text."""
        return self.focused is not None and self.focused.check_consume_key("a", "a")

    def refresh_keys(self) -> None:
        """Name the keys that do something here and now."""
        if not self.is_there:
            return
        hints: list[KeyHint] = []
        always: list[KeyHint] = []
        seen: set[str] = set()
        typing = self.is_typing
        own: list[KeyHint] = []
        for key, active in self.active_bindings.items():
            action = action_of(active.binding)
            if action is None or not action.footer or not active.enabled or action.id in seen:
                continue
            if typing and is_typed(key) and not active.binding.priority:
                continue
            seen.add(action.id)
            hint = KeyHint(key_name(key), str(action.title), active.binding.action)
            if action.id in _ALWAYS:
                always.append(hint)
            elif action.where[0] in ("log", "chart", "form"):
                own.append(hint)
            else:
                hints.append(hint)
        self.query_one("#keys", KeyBar).show_keys([*own, *hints], always)

    async def perform(self, call: str, node: DOMNode) -> None:
        """Do an action of Textual's form on ``node``, this place, or the app."""
        await self.app.run_action(call, node)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open

    async def on_line_bar_pressed(self, event: LineBar.Pressed) -> None:
        """Do what was clicked in the bars: go to a place, or what a key does."""
        await self.perform(event.action, self.focused or self)

    async def choose(self, dialog: ModalScreen[str]) -> str:
        """Show a dialog and return its answer; only from a worker.

        The answer is "" where a person has gone elsewhere meanwhile: nothing is asked over another place.
        """
        if self.app.screen is not self:  # pyright: ignore[reportUnknownMemberType] - as above
            return ""
        return await self.app.push_screen_wait(dialog)  # pyright: ignore[reportUnknownMemberType] - as above

    async def attempt(self, work: Callable[[], Answer]) -> Answer | None:
        """Run ``work`` in a thread and return its answer; a failure is shown and gives None."""
        return await self.paddock.attempt(work)

    async def attempt_async(self, work: Awaitable[Answer]) -> Answer | None:
        """Await ``work``; a failure is shown and gives None."""
        return await self.paddock.attempt_async(work)

    def say(self, text: object) -> None:
        """Show a short note that goes away."""
        self.notify(str(text), timeout=4)

    def copy(self, name: str, text: str) -> None:
        """Copy ``text`` to the clipboard by OSC 52, and write it to a file."""
        try:
            path = self.services.write_copy(name, text)
        except AppError as error:
            self.paddock.fail(error)
            return
        self.paddock.copy_to_clipboard(text)
        self.say(_("Copied; also written to {file}", file=str(path)))
