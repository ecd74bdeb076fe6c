"""Run a command of Paddock, or without words the app until it has looked round once; then name what was imported.

The last line of stderr is a JSON list of top-level modules.
"""

import asyncio
import json
import sys
from pathlib import Path

from tui.cli import main


async def look_around() -> None:
    """Open the app as `paddock` does, without a terminal, and wait until it has seen jobs, machine and Ollama."""
    from tui.app import PaddockApp
    from tui.services import build_services

    app = PaddockApp(build_services(Path.cwd()))
    async with app.run_test() as pilot:
        while not (app.has_looked and app.snapshot.machine and app.snapshot.ollama):
            await pilot.pause(0.02)


def say() -> None:
    """Name the modules."""
    names = sorted({name.partition(".")[0] for name in sys.modules})
    sys.stderr.write("\n" + json.dumps(names) + "\n")


if sys.argv[1:]:
    try:
        main(sys.argv[1:])
    finally:
        say()
else:
    asyncio.run(look_around())
    say()
