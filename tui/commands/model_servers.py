"""Which Ollama server a command about models means: the one named, the first that has the model, or all that run."""

from __future__ import annotations

from collections.abc import Iterable

from backend.deploy.server import Server, ensure_server, own_instead, running_servers
from backend.ollama.client import Client
from data.errors import AppError
from data.i18n import Message, _, lines_of
from tui.commands.console import Console
from tui.services import Services


async def servers(services: Services, host: str = "") -> list[Server]:
    """Return the servers that run: the one to use first, then Paddock's private one where it is another.

    Where none runs, the private one is started. Raises AppError where that is impossible.
    """
    return await running(services, host) or [
        await ensure_server(services.paths, services.settings, environ=services.environ)
    ]


async def running(services: Services, host: str = "") -> list[Server]:
    """Return the servers that run, as ``servers`` does, but start none.

    Raises AppError where the one that ``host`` or the settings name does not answer: none stands in for it.
    """
    if host:
        return [await ensure_server(services.paths, services.settings, host=host, environ=services.environ)]
    around = services.paths, services.settings
    return await running_servers(*around, environ=services.environ, library=services.library)


def tell_passed_over(console: Console, servers: Iterable[Server]) -> None:
    """Say why a person's own server is not among ``servers``, where that was to be expected."""
    for why in _reasons(servers):
        console.warn(own_instead(why))


def _reasons(servers: Iterable[Server]) -> list[Message]:
    return [server.instead_of for server in servers if server.instead_of is not None]


async def server_with(services: Services, model: str, host: str = "") -> Server:
    """Return a server that has ``model``, starting the private one if need be; raises AppError where none has it."""
    looked: list[Server] = []
    for server in await servers(services, host):
        looked.append(server)
        async with Client(server.host) as client:
            if await client.has(model):
                return server
    if not host and not any(server.private for server in looked):
        try:
            server = await ensure_server(services.paths, services.settings, want_private=True, environ=services.environ)
        except AppError:  # no program for a private server: then there are no models of its own either
            server = None
        if server is not None:
            looked.append(server)
            async with Client(server.host) as client:
                if await client.has(model):
                    return server
    raise no_model(model, looked)


def no_model(model: str, looked: list[Server]) -> AppError:
    """Return the error for a model that none of ``looked`` has."""
    return AppError(
        _("There is no model {model}", model=model),
        lines_of([_("Asked: {hosts}", hosts=", ".join(server.host for server in looked)), *_reasons(looked)]),
        _("`paddock models list` shows what is there; `paddock deploy` adds one, `paddock models pull` fetches one."),
    )
