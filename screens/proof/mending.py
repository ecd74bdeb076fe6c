"""The one key that mends: a job that writes the Modelfile anew and proves it, then followed in Run."""

from __future__ import annotations

from data.jobs.library import Job
from screens.place import Place


async def mend(place: Place, job: Job) -> None:
    """Start the job that makes right what ``job`` has found to differ, and show it."""
    spec = await place.attempt(lambda: place.services.mending(job))
    if spec is None:
        return
    ids = await place.attempt(lambda: place.services.launch([spec]))
    if ids:
        await place.paddock.look()
        place.paddock.open_run(ids[0])
