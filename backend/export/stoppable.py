"""Run a work's coroutine so that a SIGTERM cancels it: what it has begun is undone, then it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine

from data.errors import AppError


def run_stoppable(work: Coroutine[None, None, None], stopped: AppError) -> None:
    """Run ``work`` to its end; raises ``stopped`` when a SIGTERM came before."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def watched() -> None:
            task = asyncio.current_task()
            if task is not None:
                loop.add_signal_handler(signal.SIGTERM, task.cancel)
            await work

        try:
            runner.run(watched())
        except asyncio.CancelledError as error:
            raise stopped from error
