"""``paddock models``: what the Ollama servers have."""

from __future__ import annotations

import asyncio
from typing import Final

from backend.deploy.server import Server, ensure_server, private_server, running_server
from backend.ollama.client import Client
from backend.ollama.reply import ListedModel
from data.errors import AppError
from data.i18n import _
from data.jobs.spec import now, rfc3339
from tui.commands.console import columns
from tui.commands.form import Group, command, common_options, option
from tui.commands.session import Session
from tui.services import Services
from tui.wording import age, size


async def servers(services: Services, host: str = "") -> list[Server]:
    """Return the servers that run: the one to use first, then Paddock's private one where it is another.

    Where none runs, the private one is started. Raises AppError where that is impossible.
    """
    if host:
        return [await ensure_server(services.paths, services.settings, host=host, environ=services.environ)]
    first = await running_server(services.paths, services.settings, environ=services.environ)
    own = await private_server(services.library)
    found = [server for server in (first, own) if server is not None]
    if not found:
        found = [await ensure_server(services.paths, services.settings, environ=services.environ)]
    return list({server.host: server for server in found}.values())


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
    raise AppError(
        _("There is no model {model}", model=model),
        _("Asked: {hosts}", hosts=", ".join(server.host for server in looked)),
        _("`paddock models list` shows what is there; `paddock deploy` adds one."),
    )


@command(
    "list",
    _("List the models of the Ollama server, newest first, and of Paddock's private one."),
    option("--host", metavar="HOST", about=_("Only this server, as in OLLAMA_HOST.")),
)
def list_models(session: Session, host: str | None) -> int:
    """Print the models."""
    console, services = session.console, session.services(adopt=True)
    found = asyncio.run(_lists(services, host or ""))
    console.emit(
        {
            "models": [_as_json(model, server) for server, models in found for model in models],
            "servers": [{"host": s.host, "version": s.version, "private": s.private} for s, _models in found],
        }
    )
    for server, models in found:
        console.say(f"Ollama {server.version}  {server.host}" + ("  " + str(_("(private)")) if server.private else ""))
        rows = [(m.name, size(m.size_bytes), m.parameter_size, m.quantization, _age(m)) for m in models]
        for line in columns(rows, right=frozenset({1, 2, 4})) if rows else [str(_("no models yet"))]:
            console.say("  " + line)
    return 0


async def _lists(services: Services, host: str) -> list[tuple[Server, list[ListedModel]]]:
    found: list[tuple[Server, list[ListedModel]]] = []
    for server in await servers(services, host):
        async with Client(server.host) as client:
            found.append((server, await client.list()))
    return found


def _as_json(model: ListedModel, server: Server) -> dict[str, object]:
    return {
        "name": model.name,
        "digest": model.digest,
        "bytes": model.size_bytes,
        "modified_at": rfc3339(model.modified_at) if model.modified_at else None,
        "family": model.family,
        "parameter_size": model.parameter_size,
        "quantization": model.quantization,
        "host": server.host,
    }


def _age(model: ListedModel) -> str:
    return str(_("{time} ago", time=age(model.modified_at, now()))) if model.modified_at else ""


models: Final = Group(
    "models",
    {"list": ("tui.commands.models:list_models", _("List the models of the Ollama server."))},
    about=_("Models of the Ollama server."),
    params=common_options(),
)
