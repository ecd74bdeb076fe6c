"""The app: starts on Home, looks once a second at what the job folders say, and hands it to the place on top."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar, cast

from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from data import i18n
from data.errors import AppError
from data.i18n import _
from data.jobs.status import Status
from screens.home.screen import HomeScreen
from screens.place import Place
from screens.room import fit_to
from tui import keys, theme
from tui.chatting import OllamaState
from tui.services import Services, Snapshot
from tui.wording import home_relative

if TYPE_CHECKING:
    from screens.export.drafts import Drafts

Answer = TypeVar("Answer")

_METERS_EVERY: Final = 2
_OLLAMA_EVERY: Final = 10
_ADOPT_EVERY: Final = 60  # looks, for a job whose new supervisor dies as well


class PaddockApp(App[None]):
    """The shell around the places."""

    TITLE = "paddock"
    # Textual does not load the style of a default screen, so Home's is named here.
    CSS_PATH = ["app.tcss", "../screens/home/home.tcss"]  # noqa: RUF012 - Textual's own form
    ENABLE_COMMAND_PALETTE = False  # ours is made from the action table, in two languages
    BINDINGS: ClassVar[list[BindingType]] = []
    _has_few_colours = False  # while Textual makes itself ready

    def __init__(self, services: Services, *, open_chat: str = "") -> None:
        super().__init__()
        self.services = services
        self.snapshot = Snapshot(services.clock())
        self.has_looked = False
        self.failure: AppError | None = None
        """Why the app had to end, for the lines after it"""
        self._open_chat = open_chat
        self._ticks = 0
        self._looking = False
        self._adopting = False
        self._adopted_at: dict[str, int] = {}
        self._last_job = ""
        self._export_drafts: Drafts | None = None
        self._mouse_released = False
        self._keymap_chosen = keys.keymap(services.settings.keys)
        # Textual binds ctrl+q in every app; it is flow control, so the key belongs to the terminal.
        self._bindings.key_to_bindings.pop("ctrl+q", None)
        if services.is_remote:
            self.animation_level = "none"
        # The services' environment, too: what a test's terminal can do is no part of what it tests.
        self._has_few_colours = bool(services.environ.get("TERM")) and self.console.color_system == "standard"
        self.set_class(self._has_few_colours or self.no_color, theme.SHAPES)
        for own in theme.themes(few=self._has_few_colours):
            self.register_theme(own)
        # Without watchers: nothing is drawn yet, and the style sheets would be read twice.
        self.set_reactive(App.theme, services.settings.theme)
        self.stylesheet.set_variables(self.get_css_variables())  # what the watcher would have done
        self.set_keymap(self._keymap_chosen)

    def get_driver_class(self) -> type[Driver]:
        """Return our driver in the place of Textual's for terminals."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":  # of a test, or named by TEXTUAL_DRIVER
            return chosen
        from tui.driver import TerminalDriver  # noqa: PLC0415 - Textual, too, imports it here

        return TerminalDriver

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return a theme by its name. Textual asks for each line that it draws, and would copy its table each time."""
        return self._registered_themes.get(theme_name) or super().get_theme(theme_name)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our roles for themes that are not ours."""
        return theme.role_defaults(self.current_theme, few=self._has_few_colours)

    @property
    def workspace_words(self) -> str:
        """The workspace as a person writes it."""
        return home_relative(str(self.services.workspace), self.services.environ.get("HOME", ""))

    # -- life -----------------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[object]:
        """Return Home, so that the first frame is the first screen."""
        return cast("Screen[object]", HomeScreen())

    def on_resize(self, event: events.Resize) -> None:
        """Let every screen know, those below another, too: they are seen again."""
        for screen in self.screen_stack:
            fit_to(screen, event.size)

    def on_mount(self) -> None:
        """Take over orphans, then look again and again."""
        self.set_interval(2.0 if self.services.is_remote else 1.0, self._tick)
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        gc.freeze()  # modules and styles are no rubbish: later collections need not look at them
        gc.enable()
        self.run_worker(self.look(), exclusive=True, group="look", exit_on_error=False)
        self.run_worker(self._adopt(), group="adopt", exit_on_error=False)
        if self._open_chat:
            await self.open_chat(self._open_chat)

    async def _adopt(self) -> None:
        self._adopting = True
        try:
            adopted = await self.attempt(self.services.adopt)
        finally:
            self._adopting = False
        if adopted:
            self.notify(str(_("Jobs that had lost their supervisor and were taken over: {count}", count=len(adopted))))

    def _tick(self) -> None:
        self._ticks += 1
        if not self._looking:
            self.run_worker(self.look(), group="look", exit_on_error=False)

    def look_soon(self) -> None:
        """Look now instead of at the next second: something was just changed."""
        self.run_worker(self.look(), group="look", exit_on_error=False)

    async def look(self) -> None:
        """Read the state of everything in a thread, and hand it to the place on top."""
        self._looking = True
        try:
            meters = self._ticks % _METERS_EVERY == 0 or self.snapshot.machine is None
            fresh = await self.attempt(lambda: self.services.look(meters=meters, server=False))
        finally:
            self._looking = False
        if fresh is None:
            return
        ollama = self.snapshot.ollama
        if ollama is None or self._ticks % _OLLAMA_EVERY == 0:
            self.run_worker(self._ask_ollama(), exclusive=True, group="ollama", exit_on_error=False)
        machine = fresh.machine or self.snapshot.machine
        self._take(Snapshot(fresh.moment, fresh.jobs, machine, ollama, fresh.paces))
        alone = {job.id for job in fresh.jobs if job.status is Status.UNSUPERVISED}
        is_due = any(self._ticks - self._adopted_at.get(one, -_ADOPT_EVERY) >= _ADOPT_EVERY for one in alone)
        if is_due and not self._adopting:
            self._adopted_at.update(dict.fromkeys(alone, self._ticks))
            self.run_worker(self._adopt(), group="adopt", exit_on_error=False)

    async def _ask_ollama(self) -> None:
        state = await self.attempt(self.services.ollama)
        if isinstance(state, OllamaState):
            old = self.snapshot
            self._take(Snapshot(old.moment, old.jobs, old.machine, state, old.paces))

    def _take(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.has_looked = True
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Place) and screen.is_there:
                screen.show(snapshot)
                screen.refresh_keys()
                return

    # -- failures -------------------------------------------------------------------------------------------------

    async def attempt(self, work: Callable[[], Answer]) -> Answer | None:
        """Run ``work`` in a thread; what it raises is explained on the screen, and gives None."""
        return await self.attempt_async(asyncio.to_thread(work))

    async def attempt_async(self, work: Awaitable[Answer]) -> Answer | None:
        """Await ``work``; what it raises is explained on the screen, and gives None."""
        try:
            return await work
        except AppError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - the one broad except of screens' work: a surprise becomes an AppError
            self.fail(self.services.surprise(error))
        return None

    def fail(self, error: AppError) -> None:
        """Show what failed, why, and what to do; the same failure is not shown twice at a time."""
        from screens.failure import FailureDialog  # noqa: PLC0415 - not needed for the first frame

        top = self.screen
        if isinstance(top, FailureDialog) and top.error.as_json() == error.as_json():
            return
        self.push_screen(FailureDialog(error))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Explain a surprise in a worker; the app goes on."""
        worker = cast("Worker[object]", event.worker)  # pyright: ignore[reportUnknownMemberType] - Textual leaves it open
        error = worker.error
        if event.state is WorkerState.ERROR and error is not None:
            self.fail(error if isinstance(error, AppError) else self.services.surprise(error))

    def _fatal_error(self) -> None:
        """End on a surprise in the app itself: the traceback goes to the log, never to the screen."""
        error = sys.exc_info()[1] or self._exception
        if error is not None:
            self.failure = error if isinstance(error, AppError) else self.services.surprise(error)
        self._close_messages_no_wait()

    # -- places ---------------------------------------------------------------------------------------------------

    async def action_go(self, place: str) -> None:
        """Go to a place."""
        match place:
            case "run":
                job_id = self._last_job or self._newest_job()
                if job_id:
                    self.open_run(job_id)
                else:
                    self.notify(str(_("There is no job yet; `d` on Home runs the demo.")))
            case "chat":
                await self.open_chat("")
            case "export":
                await self.open_export()
            case _:
                self._pop_to(HomeScreen)

    def _newest_job(self) -> str:
        live = [job for job in self.snapshot.jobs if job.status is Status.RUNNING]
        chosen = live or list(self.snapshot.jobs)
        return chosen[-1].id if chosen else ""

    def _pop_to(self, kind: type[Screen[None]]) -> Screen[None] | None:
        """Close what lies above the place of ``kind``; return it, or None where it is not open."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, kind):
                while self.screen is not screen:
                    self.pop_screen()
                return screen
        return None

    def open_run(self, job_id: str) -> None:
        """Show one job."""
        from screens.run.screen import RunScreen  # noqa: PLC0415 - not needed for the first frame

        self._last_job = job_id
        opened = self._pop_to(RunScreen)
        if isinstance(opened, RunScreen):
            opened.open(job_id)
        else:
            self._pop_to(HomeScreen)
            self.push_screen(RunScreen(job_id))

    async def open_chat(self, model: str, host: str = "") -> None:
        """Talk with ``model``; with none, let the person choose."""
        from screens.chat.screen import ChatScreen  # noqa: PLC0415 - not needed for the first frame

        opened = self._pop_to(ChatScreen)
        if isinstance(opened, ChatScreen):
            if model:
                opened.use(model, host)
        else:
            await self.push_screen(ChatScreen(model, host))

    async def open_export(self, path: str = "") -> None:
        """Export the weights at ``path``; with none, let the person choose."""
        from screens.export.drafts import Drafts  # noqa: PLC0415 - not needed for the first frame
        from screens.export.screen import ExportScreen  # noqa: PLC0415 - as above

        opened = self._pop_to(ExportScreen)
        if isinstance(opened, ExportScreen):
            opened.use(path)
        else:
            self._export_drafts = self._export_drafts or Drafts()
            await self.push_screen(ExportScreen(self._export_drafts, path))

    async def open_gguf(self, path: str) -> None:
        """Show what the GGUF at ``path`` consists of."""
        from screens.gguf.screen import GgufScreen  # noqa: PLC0415 - not needed for the first frame

        await self.push_screen(GgufScreen(path))

    async def action_ask_gguf(self) -> None:
        """Ask which GGUF is to be shown."""
        from screens.entry import EntryDialog  # noqa: PLC0415 - not needed for the first frame

        async def show(path: str | None) -> None:
            if path:
                await self.open_gguf(path)

        about = _("Its keys, tensors, chat template and tokenizer are shown; the weights are not read.")
        await self.push_screen(EntryDialog(_("Path of a GGUF"), about), show)

    async def action_back(self) -> None:
        """Go back; from Home, leave."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self.exit()

    # -- everywhere -----------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show every key."""
        from screens.help import HelpScreen  # noqa: PLC0415 - not needed for the first frame

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(keys.resolve(self.services.settings.keys)))

    async def action_palette(self) -> None:
        """Find an action by its name. Waits for the palette, so that letters typed at once are not lost."""
        from screens.palette import PaletteScreen  # noqa: PLC0415 - not needed for the first frame

        if isinstance(self.screen, Place):
            palette = PaletteScreen(self.screen)
            await self.push_screen(palette, palette.perform)

    def action_other_theme(self) -> None:
        """Change between dark and light."""
        self.theme = theme.LIGHT if self.current_theme.dark else theme.DARK

    def action_other_language(self) -> None:
        """Change between English and Chinese."""
        i18n.activate("en" if i18n.active_language() == "zh_CN" else "zh_CN")
        for screen in self.screen_stack:
            if isinstance(screen, Place):
                screen.language_changed()

    def action_mouse(self) -> None:
        """Give the mouse to the terminal, or take it back."""
        driver = self._driver
        if driver is None:
            return
        self._mouse_released = not self._mouse_released
        last = "l" if self._mouse_released else "h"
        for mode in (1000, 1003, 1015, 1006):  # the modes that Textual's driver sets
            driver.write(f"\x1b[?{mode}{last}")
        driver.flush()
        released = _("The mouse belongs to the terminal now; the same key takes it back.")
        self.notify(str(released if self._mouse_released else _("The mouse works in the app again.")), timeout=3)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52, and for tmux once more in its passthrough (``allow-passthrough on``)."""
        super().copy_to_clipboard(text)
        if self._driver is not None and self.services.environ.get("TMUX"):
            import base64  # noqa: PLC0415 - only here

            coded = base64.b64encode(text.encode()).decode()
            self._driver.write(f"\x1bPtmux;\x1b\x1b]52;c;{coded}\x07\x1b\\")

    def action_help_quit(self) -> None:
        """Answer ctrl+c: say how to leave."""
        self.notify(str(_("`q` goes back, and on Home closes the app. Jobs go on.")), timeout=3)


def farewell(services: Services) -> str:
    """Return what is printed after the app has closed: what goes on, and the command that comes back."""
    live = [job for job in services.jobs() if job.status.is_live and job.spec.kind != "serve"]
    if not live:
        return ""
    return str(_("{count} jobs go on without this window. `paddock` comes back to them.", count=len(live)))


def run(services: Services, *, open_chat: str = "") -> int:
    """Run the app until it is left; print what goes on. Return the exit status."""
    app = PaddockApp(services, open_chat=open_chat)
    app.run()
    if app.failure is not None:
        sys.stderr.write(f"{app.failure}\n")
        return 1
    words = farewell(services)
    if words:
        sys.stdout.write(words + "\n")
    return 0
