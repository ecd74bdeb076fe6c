"""What one call of the command line shares: where to print, which language, and the services."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data import i18n
from data.errors import AppError, RequestError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings, load_settings
from tui.commands.console import Console

if TYPE_CHECKING:
    from tui.services import Services

INTERRUPTED: Final = 130


class Session:
    """One call of ``paddock``."""

    def __init__(self) -> None:
        self.console = Console(sys.stdout, sys.stderr)
        self.environ: Mapping[str, str] = os.environ
        self.language = ""
        """What --lang asked for; empty leaves it to the settings and the locale"""

    def use_language(self, language: str) -> None:
        """Speak ``language`` from now on."""
        self.language = language
        i18n.activate(language)

    def choose_language(self) -> None:
        """Speak what the settings or the locale ask for; settings that cannot be read are the commands' to tell."""
        try:
            wished = load_settings(Paths.default(self.environ).settings, self.environ).values.language
        except RequestError:
            wished = ""
        i18n.activate(wished or i18n.language_from_environment(self.environ))

    def services(
        self, workspace: Path | None = None, *, adopt: bool = False, settings: Settings | None = None
    ) -> Services:
        """Return the services for ``workspace`` (default: here); ``adopt`` takes over jobs without a supervisor.

        With ``settings`` neither file nor environment is asked for them. Raises RequestError for settings or a
        workspace that cannot be used.
        """
        from tui.services import build_services  # noqa: PLC0415 - help and errors of the words need none of it

        services = build_services(workspace, language=self.language, environ=self.environ, settings=settings)
        if adopt:
            services.adopt()
        return services

    def end(self, work: Callable[[], int]) -> int:
        """Do ``work`` and return its exit status; every error ends here as text or JSON, and as a status."""
        try:
            status = work()
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has what it wanted (`paddock jobs log JOB | head`)
            status = 0
        except KeyboardInterrupt:
            self.console.leave_echo()
            self._fail(AppError(_("Interrupted")))
            status = INTERRUPTED
        except AppError as error:
            status = self._fail(error)
        except Exception as error:  # noqa: BLE001 - the one broad except of the command line
            status = self._fail(self.surprise(error))
        _leave_streams()
        return status

    def _fail(self, error: AppError) -> int:
        """Tell an error and return its status, which is all that can be told where nothing can be written."""
        try:
            return self.console.fail(error)
        except OSError:
            return error.exit_status

    def surprise(self, error: Exception) -> AppError:
        """Log an exception that nobody expected, and return what the person is told."""
        try:
            return self.services().surprise(error)
        except AppError:
            return AppError(_("Something unexpected went wrong"), f"{type(error).__name__}: {error}", "")


def _leave_streams() -> None:
    """Write what is left, or let it go where nobody takes it: else the interpreter complains of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader is gone, or the disk is full
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
