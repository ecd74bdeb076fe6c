"""The way from the command line into the app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from data.errors import RequestError
from data.i18n import _
from tui.commands.session import Session

_BLIND: Final = ("", "dumb", "unknown")
"""Values of TERM that promise nothing but lines of text"""
_OTHERWISE: Final = _(
    "Every screen has a command that needs none: `paddock --help` lists them, e.g. `paddock jobs list`."
)


def open_workspace(session: Session, workspace: Path | None = None) -> int:
    """Open the app; raises RequestError where there is no terminal for it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RequestError(_("The app needs a terminal"), _("Its input or its output is not one."), _OTHERWISE)
    kind = session.environ.get("TERM", "")
    if kind.lower() in _BLIND:
        why = _("TERM is {kind}: such a terminal cannot move its cursor.", kind=kind) if kind else _("TERM is not set.")
        remedy = _("If yours can: `export TERM=xterm-256color`. {otherwise}", otherwise=_OTHERWISE)
        raise RequestError(_("The app needs a terminal that it can draw on"), why, remedy)
    if session.console.as_json:
        raise RequestError(
            _("The app prints no JSON"), "", _("`paddock jobs list --json` is what Home shows; see `paddock --help`.")
        )
    from tui.launch import open_app as launch_app  # noqa: PLC0415 - Textual, for the app alone

    return launch_app(workspace, language=session.language)
