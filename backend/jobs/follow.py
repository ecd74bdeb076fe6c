"""Follow a job: an async iterator over its events, cheap enough to leave running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from data.jobs.folder import Event, JobFolder
from data.jobs.library import Job, Library
from data.jobs.status import Fold, Status, derive


async def follow(
    folder: JobFolder, *, poll_s: float = 0.2, offset: int = 0, attempts: bool = False
) -> AsyncIterator[Event]:
    """Yield the events of ``folder`` from byte ``offset``, old ones first, until the job has ended.

    With ``attempts`` it goes on after an ending, for a later resume. Ends also when the folder is removed, and when
    the job turns out to be lost. Only new bytes are read.
    """
    fold = Fold()
    if offset:
        fold.add_all(folder.every_event())
    idle = 0
    while folder.path.exists():
        batch = folder.events(offset)
        offset = batch.offset
        for event in batch.events:
            fold.add(event)
            yield event
        if not attempts and fold.status is not None and fold.status.is_ended:
            return
        idle = 0 if batch.events else idle + 1
        if idle and idle % 25 == 0:  # nothing for a while: is anybody there?
            import time  # noqa: PLC0415 - the wall clock of the heartbeat, only needed here

            if derive(fold, folder, time.time()) is Status.LOST:
                return
        await asyncio.sleep(poll_s)


async def ended(library: Library, job_id: str, *, poll_s: float = 0.2) -> Job:
    """Wait until the job has ended or is lost, and return it."""
    while True:
        job = library.get(job_id)
        if job.status.is_ended:
            return job
        await asyncio.sleep(poll_s)
