"""Open the app: everything that must be decided before Textual is imported."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from tui.services import build_services

_SLOW_FPS = "10"
_SWITCH_S = 0.001


def open_app(workspace: Path | None = None, *, language: str = "", chat: str = "") -> int:
    """Open the app in ``workspace`` (default: the current directory), on ``chat``'s model where one is named.

    Returns the exit status. Raises RequestError for settings, a key or a workspace that cannot be used.
    """
    services = build_services(workspace, language=language)
    if services.is_remote:
        os.environ.setdefault("TEXTUAL_FPS", _SLOW_FPS)  # read once, when Textual is imported
    # Textual writes in a thread of its own, which waits so long for its turn: each frame is seen 4 ms sooner.
    sys.setswitchinterval(_SWITCH_S)
    # What is imported now lives as long as the app; looking through it for rubbish, again and again, takes a tenth of
    # the start. The app turns the collector on again after its first frame.
    gc.disable()
    try:
        from tui.app import run  # noqa: PLC0415 - after the lines above

        return run(services, open_chat=chat)
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(open_app(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
