"""Temporary models of deployments that were killed: gigabytes on a server that nobody else would ever remove."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from backend.deploy.request import KIND
from backend.ollama.client import Client
from backend.ollama.name import ModelName, parse_name
from backend.ollama.replacement import MEND, NEW_TAG, OLD_TAG
from backend.ollama.reply import ListedModel
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.library import Job, Library
from data.jobs.report import Reporter
from data.jobs.spec import now

_STRANGE_S: Final = 24 * 3600.0
"""How old a model has to be of whose deployment nobody here knows: no deployment takes a day"""


def token_of(job_id: str) -> str:
    """Return what tells the temporary tags of one deployment from those of others; a resumed one has its own again."""
    return job_id.rpartition("-")[2]


async def remove_leftovers(client: Client, library: Library, reporter: Reporter, *, is_private: bool) -> None:
    """Remove what killed deployments have left on a server, and say so; what cannot be removed is in nobody's way."""
    with contextlib.suppress(AppError):
        listed = await client.list()
        jobs = await asyncio.to_thread(library.list)
        for name in leftovers(listed, jobs, is_private=is_private, moment=now()):
            reporter.stage("leftover", _("Removing {model}, which a killed deployment has left", model=name))
            await client.delete(name)


def leftovers(
    listed: Sequence[ListedModel], jobs: Iterable[Job], *, is_private: bool, moment: datetime
) -> Iterator[str]:
    """Yield the names of temporary models in ``listed`` that no deployment needs any more.

    Those of ``jobs`` that have ended, and those of unknown jobs: at once on the private server, which only jobs of
    this home deploy to, elsewhere after a day, since another machine may deploy there. A former model stays where
    the name that it had is missing, or not known.
    """
    deployments = {token_of(job.id): job for job in jobs if job.spec.kind == KIND}
    for model in listed:
        tag = model.name.rpartition(":")[2]
        kind = next((kind for kind in (NEW_TAG, OLD_TAG) if tag.startswith(kind)), None)
        if kind is None:
            continue
        token = tag.removeprefix(kind)
        job = deployments.get(token)
        if job is not None:
            is_left = not job.status.is_live and (kind == NEW_TAG or _has(listed, job))
        else:
            is_strange = not is_private or token == MEND  # a mending is no job
            is_left = kind == NEW_TAG and (not is_strange or _age_s(model, moment) > _STRANGE_S)
        if is_left:
            yield model.name


def _has(listed: Iterable[ListedModel], job: Job) -> bool:
    name = _name_of(job)
    return name is not None and any(name.same_as(model.name) for model in listed)


def _name_of(job: Job) -> ModelName | None:
    try:
        return parse_name(str(job.spec.params.get("name") or ""))
    except RequestError:
        return None


def _age_s(model: ListedModel, moment: datetime) -> float:
    return 0.0 if model.modified_at is None else moment.timestamp() - model.modified_at.timestamp()
