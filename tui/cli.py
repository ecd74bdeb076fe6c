"""The entry of the command ``paddock``: refuse a broken installation, then hand over to ``tui.commands``.

Nothing of ours is imported before the guard has spoken; its words are English because the catalogue is ours too.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("backend", "data", "screens", "tui")
_STANDARD: Final = 2
"""The last of the standard streams' numbers"""


def strangers(home: Path) -> list[str]:
    """Return where those of our four packages come from that do not lie in ``home``; "NAME: PLACE" each."""
    found: list[str] = []
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).parent if spec is not None and spec.origin else None
        if place is None or place.resolve() != (home / name).resolve():
            found.append(f"{name}: {place or 'a folder without __init__.py, or missing'}")
    return found


def open_streams() -> None:
    """Give a place to the standard streams that were closed: no file may take their numbers, no write may fail."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STANDARD:
        pass
    os.close(handle)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the whole life
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Chinese or marks shows "?" in their place
            stream.reconfigure(errors="replace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done, 1 the work failed, 2 wrong request, 130 interrupted."""
    open_streams()
    home = Path(__file__).resolve().parent.parent
    foreign = strangers(home)
    if foreign:
        sys.stderr.write(
            "paddock: packages of Paddock are hidden by others of the same name\n"
            f"  {'; '.join(foreign)}\n"
            f"  Expected below {home}. Take the other folder off PYTHONPATH, or start paddock in another directory.\n"
        )
        return 2
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:  # the app, as soon as can be: what reads words and prints help is not needed for it
        from tui.commands.opening import open_workspace  # noqa: PLC0415 - after the guard
        from tui.commands.session import Session  # noqa: PLC0415

        session = Session()
        session.choose_language()
        return session.end(lambda: open_workspace(session))
    from tui.commands.root import run  # noqa: PLC0415 - after the guard

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
