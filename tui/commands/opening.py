"""The way from the command line into the app."""

from __future__ import annotations

import sys
from pathlib import Path

from data.errors import RequestError
from data.i18n import _
from tui.commands.session import Session


def open_workspace(session: Session, workspace: Path | None = None) -> int:
    """Open the app; raises RequestError where there is no terminal for it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RequestError(
            _("The app needs a terminal"),
            _("Its input or its output is not one."),
            _("Every screen has a command that needs none: `paddock --help` lists them, e.g. `paddock jobs list`."),
        )
    if session.console.as_json:
        raise RequestError(
            _("The app prints no JSON"), "", _("`paddock jobs list --json` is what Home shows; see `paddock --help`.")
        )
    from tui.launch import open_app as launch_app  # noqa: PLC0415 - Textual, for the app alone

    return launch_app(workspace, language=session.language)
