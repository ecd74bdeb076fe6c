"""Run a work's coroutine so that the end of its terminal cancels it: what it has begun is undone, then it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Final, TypeVar

from data.errors import AppError

T = TypeVar("T")
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


def run_stoppable(work: Coroutine[None, None, T], stopped: AppError) -> T:
    """Return what ``work`` returns; raises ``stopped`` when a SIGTERM came before, or a SIGHUP that is not ignored."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def watched() -> T:
            task = asyncio.current_task()
            for number in _ENDS:
                if task is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    loop.add_signal_handler(number, task.cancel)
            return await work

        try:
            return runner.run(watched())
        except asyncio.CancelledError as error:
            raise stopped from error
