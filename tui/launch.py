"""Open the app: everything that must be decided before Textual is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tui.services import build_services

_SLOW_FPS = "10"


def open_app(workspace: Path | None = None, *, language: str = "", chat: str = "") -> int:
    """Open the app in ``workspace`` (default: the current directory), on ``chat``'s model where one is named.

    Returns the exit status. Raises RequestError for settings, a key or a workspace that cannot be used.
    """
    services = build_services(workspace, language=language)
    if services.is_remote:
        os.environ.setdefault("TEXTUAL_FPS", _SLOW_FPS)  # read once, when Textual is imported
    from tui.app import run  # noqa: PLC0415 - after the line above

    return run(services, open_chat=chat)


if __name__ == "__main__":
    sys.exit(open_app(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
