"""Which Ollama server to use: the only place that decides, and that starts the private one when it is needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from backend.jobs.launch import launch
from backend.ollama import failure
from backend.ollama.address import Address, parse_address
from backend.ollama.discover import find_server, passed_over, person_address, usable_binary
from backend.ollama.private import lock_file, models_folder
from backend.ollama.probe import version_at
from backend.ollama.version import OLDEST, is_new_enough
from data.errors import AppError
from data.files import open_lock, try_lock
from data.i18n import Message, _
from data.jobs import process
from data.jobs.library import Job, Library
from data.jobs.spec import JobSpec
from data.jobs.status import STATUS_WORDS, Status
from data.paths import Paths
from data.settings import Settings

KIND: Final = "serve"
_NAMED_BY_WORD: Final = _(
    "Without --host (in Export: with an empty field Server) Paddock takes the server that runs here, else its own."
)
_NAMED_BY_SETTING: Final = _(
    "The setting ollama_host (or PADDOCK_OLLAMA_HOST) names it; where that is empty, Paddock takes the server that "
    "runs here, else its own."
)
_WAIT_S: Final = 150.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answered a moment ago and is new enough."""

    host: str
    """Base URL"""
    private: bool
    """Ours: it may be started again, and its folders are known"""
    version: str
    job: str | None = None
    """The ``serve`` job of the private server"""
    instead_of: Message | None = field(default=None, compare=False)
    """Of the private one: why a person's own was passed over; None where none was"""


async def ensure_server(
    paths: Paths,
    settings: Settings,
    *,
    want_private: bool = False,
    host: str = "",
    environ: Mapping[str, str] = os.environ,
) -> Server:
    """Return the server to use; start the private one where there is none.

    In turn: ``host`` when it is given, the server of the settings, a person's own that answers and is new enough, the
    private one. ``want_private`` takes only the last, and so does a ``host`` that the private one once had: it gets
    another port at each start. Raises AppError: a server that was named by ``host`` or the settings is never replaced
    by another.
    """
    was_private = bool(host) and is_private(await asyncio.to_thread(Library(paths.jobs).list), host)
    if host and not was_private:
        return await _named(parse_address(host), _NAMED_BY_WORD)
    instead_of = None
    if not want_private and not was_private:
        if settings.ollama_host:
            return await _named(person_address(settings, environ)[0], _NAMED_BY_SETTING)
        found = await find_server(settings, environ)
        if found is not None and found.is_new_enough:
            return Server(found.address.url, private=False, version=found.version)
        instead_of = passed_over(found, settings, environ)
    return await _private(paths, settings, environ, instead_of)


def own_instead(why: Message) -> Message:
    """Return what to tell of a private server that is used ``instead_of`` a person's own, for the reason ``why``."""
    return _("{why} Paddock's own server is used.", why=why)


def is_private(jobs: Iterable[Job], host: str) -> bool:
    """Say whether ``host`` is where the private server of this home listens, or has listened once."""
    url = parse_address(host).url
    return any(job.spec.kind == KIND and job.state.result.get("host") == url for job in jobs)


async def running_server(
    paths: Paths, settings: Settings, *, environ: Mapping[str, str] = os.environ, library: Library | None = None
) -> Server | None:
    """Return the server that ``ensure_server`` would use if it runs now; starts nothing."""
    found = await find_server(settings, environ)
    if found is not None and found.is_new_enough:
        return Server(found.address.url, private=False, version=found.version)
    if settings.ollama_host:
        return None
    server = await private_server(library or Library(paths.jobs), ask=False)
    return server and replace(server, instead_of=passed_over(found, settings, environ))


async def running_servers(
    paths: Paths, settings: Settings, *, environ: Mapping[str, str] = os.environ, library: Library | None = None
) -> list[Server]:
    """Return the servers that run: the one that ``ensure_server`` would use, then the private one where it is another.

    Starts none. Raises AppError where the settings name a server and it cannot be used.
    """
    library = library or Library(paths.jobs)
    first = await running_server(paths, settings, environ=environ, library=library)
    if first is None and settings.ollama_host:
        first = await ensure_server(paths, settings, environ=environ)
    own = await private_server(library)
    found = [server for server in (first, own) if server is not None]
    return found[:1] if len({server.host for server in found}) == 1 else found


async def private_server(library: Library, *, ask: bool = True) -> Server | None:
    """Return the private server if its job runs and it answers; without ``ask``, its job's word is enough.

    Every question is a line in the server's log: whoever looks again and again should not ask.
    """
    for job in reversed(_serve_jobs(library)):
        server = await _answering(job, ask=ask)
        if server is not None:
            return server
    return None


async def _named(address: Address, origin: Message) -> Server:
    """Return the server at ``address``; raises AppError that says by ``origin`` who named it."""
    try:
        return Server(address.url, private=False, version=await _version(address))
    except AppError as error:
        hint = _("{remedy} {origin}", remedy=error.hint, origin=origin)
        raise type(error)(error.title, error.detail, hint) from error


async def _version(address: Address) -> str:
    version = await asyncio.to_thread(version_at, address, timeout_s=10.0)
    if version is None:
        # The client knows the reasons; the probe does not say why nothing came.
        from backend.ollama.client import Client  # noqa: PLC0415 - httpx only when it is needed

        async with Client(address) as client:
            version = await client.version()
    if not is_new_enough(version):
        raise failure.too_old(address, version, OLDEST)
    return version


async def _private(paths: Paths, settings: Settings, environ: Mapping[str, str], instead_of: Message | None) -> Server:
    library = Library(paths.jobs)
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    launched = ""
    while asyncio.get_running_loop().time() < deadline:
        async with _lock(paths, deadline):
            server = await private_server(library)
            if server is not None:
                os.utime(lock_file(paths))  # it must not end for idleness before it is used
                return replace(server, instead_of=instead_of)
            live = _serve_jobs(library)
            if not live:
                _raise_ending(library, launched)
                launched = await _launch(paths, settings, environ, instead_of)
        await asyncio.sleep(_POLL_S)
    raise AppError(
        _("The private Ollama server does not answer"),
        _("Nothing answered within {seconds} seconds.", seconds=int(_WAIT_S)),
        _("`paddock jobs list` shows its job (kind serve): see its log, stop it, and try again."),
    )


def _serve_jobs(library: Library) -> list[Job]:
    """Return the living ``serve`` jobs of this machine, oldest first: the loopback of another one is out of reach."""
    return [
        job
        for job in library.list()
        if job.spec.kind == KIND
        and job.status.is_live
        and job.status is not Status.UNREACHABLE
        and job.state.host in ("", process.host())
    ]


async def _answering(job: Job, *, ask: bool) -> Server | None:
    host, version = job.state.result.get("host"), job.state.result.get("version")
    if job.status is Status.STOPPING or not isinstance(host, str) or not isinstance(version, str):
        return None
    if ask:
        version = await asyncio.to_thread(version_at, parse_address(host))
    return None if version is None else Server(host, private=True, version=version, job=job.id)


def _raise_ending(library: Library, job_id: str) -> None:
    """Raise what the server that we have just launched died of."""
    if not job_id:
        return
    state = library.get(job_id).state
    if state.title:
        raise AppError(state.title, state.detail, state.hint)
    raise AppError(
        _("The private Ollama server ended before it answered"),
        _("Its job {job} is {status}.", job=job_id, status=STATUS_WORDS[state.status]),
        _("`paddock jobs log {job}` shows its log.", job=job_id),
    )


async def _launch(paths: Paths, settings: Settings, environ: Mapping[str, str], instead_of: Message | None) -> str:
    binary = await usable_binary(paths, settings, environ, instead_of=instead_of)
    spec = serve_spec(paths, settings, binary.path)
    return launch(paths.jobs, [spec], keep=settings.environment_keep, environ=environ)[0]


def serve_spec(paths: Paths, settings: Settings, binary: Path) -> JobSpec:
    """Return the job of a private server that is run by ``binary``."""
    return JobSpec.new(
        KIND,
        "ollama",
        workspace=str(paths.ollama_home),
        params={
            "binary": str(binary),
            "models_dir": str(models_folder(paths)),
            "home": str(paths.ollama_home),
            "idle_minutes": settings.ollama_idle_minutes,
        },
    )


@asynccontextmanager
async def _lock(paths: Paths, deadline: float) -> AsyncGenerator[None]:
    """Hold the lock on deciding about the server: two views must not start two, nor may one end that was just found."""
    try:
        paths.ollama_home.mkdir(parents=True, exist_ok=True)
        handle = open_lock(lock_file(paths))
    except OSError as error:
        raise AppError(
            _("Ollama's folder cannot be made"), str(error), _("Check the free space and the permissions.")
        ) from error
    try:
        while not try_lock(handle):
            if asyncio.get_running_loop().time() > deadline:
                raise AppError(
                    _("Somebody else has been starting the private Ollama server for too long"),
                    str(lock_file(paths)),
                    _("Try again; `paddock jobs list` shows jobs of kind serve."),
                )
            await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)
