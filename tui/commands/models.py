"""``paddock models``: what the Ollama servers have and hold in memory; ``model_changes`` changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from backend.deploy.server import Server
from backend.ollama.client import Client
from backend.ollama.name import parse_name
from backend.ollama.reply import ListedModel, LoadedModel, ShownModel
from data.i18n import Message, _
from data.jobs.spec import now, rfc3339
from data.size import size
from data.text import inert
from tui.commands.console import Console, columns
from tui.commands.form import Group, argument, command, common_options, flag, option
from tui.commands.model_servers import running, server_with, servers, tell_passed_over
from tui.commands.session import Session
from tui.services import Services
from tui.wording import age

_FOR_GOOD: Final = timedelta(days=3650)
"""Ollama writes a time in 2318 for a model that stays until it is stopped"""


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
            "servers": [_server_json(server) for server, _models in found],
        }
    )
    tell_passed_over(console, [server for server, _models in found])
    for server, models in found:
        console.say(_server_line(server))
        rows = [(inert(m.name), size(m.size_bytes), m.parameter_size, m.quantization, _age(m)) for m in models]
        for line in columns(rows, right=frozenset({1, 2, 4})) if rows else [str(_("no models yet"))]:
            console.say("  " + line)
    return 0


async def _lists(services: Services, host: str) -> list[tuple[Server, list[ListedModel]]]:
    found: list[tuple[Server, list[ListedModel]]] = []
    for server in await servers(services, host):
        async with Client(server.host) as client:
            found.append((server, await client.list()))
    return found


def _server_json(server: Server) -> dict[str, object]:
    return {"host": server.host, "version": server.version, "private": server.private}


def _server_line(server: Server) -> str:
    return f"Ollama {server.version}  {server.host}" + (f"  {_('(private)')}" if server.private else "")


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


@command(
    "ps",
    _("List the models in memory, how much of each is on the GPU, and how long it stays. Starts no server."),
    option("--host", metavar="HOST", about=_("Only this server, as in OLLAMA_HOST.")),
)
def ps(session: Session, host: str | None) -> int:
    """Print the loaded models."""
    console, services = session.console, session.services(adopt=True)
    found = asyncio.run(_loaded(services, host or ""))
    console.emit(
        {
            "models": [_loaded_json(model, server) for server, models in found for model in models],
            "servers": [_server_json(server) for server, _models in found],
        }
    )
    if not found:
        console.say(_("No Ollama server runs, so nothing is in memory."))
    tell_passed_over(console, [server for server, _models in found])
    for server, models in found:
        console.say(_server_line(server))
        rows = [(inert(m.name), size(m.size_bytes), str(place(m)), _context(m), str(stays(m))) for m in models]
        for line in columns(rows, right=frozenset({1})) if rows else [str(_("nothing is in memory"))]:
            console.say("  " + line)
    return 0


async def _loaded(services: Services, host: str) -> list[tuple[Server, list[LoadedModel]]]:
    found: list[tuple[Server, list[LoadedModel]]] = []
    for server in await running(services, host):
        async with Client(server.host) as client:
            found.append((server, await client.ps()))
    return found


def _loaded_json(model: LoadedModel, server: Server) -> dict[str, object]:
    return {
        "name": model.name,
        "bytes": model.size_bytes,
        "vram_bytes": model.vram_bytes,
        "context_length": model.context_length,
        "expires_at": rfc3339(model.expires_at) if model.expires_at else None,
        "host": server.host,
    }


def place(model: LoadedModel) -> Message:
    """Return where the model lies: on the GPU, on the CPU, or how much of it on which."""
    if model.vram_bytes <= 0:
        return _("CPU")
    if model.vram_bytes >= model.size_bytes:
        return _("GPU")
    percent = min(99, max(1, round(100 * model.vram_bytes / model.size_bytes)))
    return _("{gpu} % GPU, {cpu} % CPU", gpu=percent, cpu=100 - percent)


def _context(model: LoadedModel) -> str:
    return str(_("{count} tokens", count=model.context_length)) if model.context_length else ""


def stays(model: LoadedModel) -> Message | str:
    """Return how long the model stays in memory when nobody asks it."""
    moment = now()
    if model.expires_at is None:
        return ""
    if model.expires_at - moment > _FOR_GOOD:
        return _("stays")
    return _("stays {time}", time=age(moment, model.expires_at))


@command(
    "show",
    _(
        "Show one model: details, parameters, template, system prompt, licence.\n\nWith --modelfile only its "
        "Modelfile, from which `ollama create` would make it again; into a file or a pipe it goes untouched."
    ),
    argument("model"),
    flag("--modelfile", about=_("Print the Modelfile, and nothing else.")),
    option("--host", metavar="HOST", about=_("Only this server, as in OLLAMA_HOST.")),
)
def show(session: Session, model: str, modelfile: bool, host: str | None) -> int:
    """Print one model."""
    console, services = session.console, session.services(adopt=True)
    name = str(parse_name(model))
    server, shown = asyncio.run(_show(services, name, host or ""))
    tell_passed_over(console, [server])
    if modelfile:
        console.emit({"name": name, "host": server.host, "modelfile": shown.modelfile})
        console.say((inert(shown.modelfile) if console.out.isatty() else shown.modelfile).removesuffix("\n"))
        return 0
    console.emit(
        {
            "name": name,
            "host": server.host,
            "family": shown.family,
            "parameter_size": shown.parameter_size,
            "quantization": shown.quantization,
            "context_length": shown.context_length,
            "capabilities": list(shown.capabilities),
            "parameters": shown.parameters,
            "template": shown.template,
            "system": shown.system,
            "license": shown.license,
            "modelfile": shown.modelfile,
            "model_info": dict(shown.model_info),
        }
    )
    _print(console, name, server, shown)
    return 0


async def _show(services: Services, model: str, host: str) -> tuple[Server, ShownModel]:
    server = await server_with(services, model, host)
    async with Client(server.host) as client:
        return server, await client.show(model)


def _print(console: Console, name: str, server: Server, shown: ShownModel) -> None:
    facts = [(str(label), inert(text)) for label, text in _facts(name, server, shown) if text]
    for line in columns(facts):
        console.say(line)
    for title, text in _texts(shown):
        if text.strip():
            console.say()
            console.say(console.paint(str(title), "strong"))
            for line in inert(text.strip("\n")).split("\n"):
                console.say(f"  {line}".rstrip())


def _facts(name: str, server: Server, shown: ShownModel) -> Iterator[tuple[Message, str]]:
    yield _("Model"), name
    yield _("Server"), server.host
    yield _("Family"), shown.family
    yield _("Weights"), shown.parameter_size
    yield _("Quantisation"), shown.quantization
    yield _("Context"), str(_("{count} tokens", count=shown.context_length)) if shown.context_length else ""
    yield _("Can"), ", ".join(shown.capabilities)


def _texts(shown: ShownModel) -> Iterator[tuple[Message, str]]:
    yield _("Parameters"), shown.parameters
    yield _("Template"), shown.template
    yield _("System prompt"), shown.system
    yield _("Licence"), shown.license


models: Final = Group(
    "models",
    {
        "list": ("tui.commands.models:list_models", _("List the models of the Ollama server.")),
        "show": ("tui.commands.models:show", _("Show one model.")),
        "ps": ("tui.commands.models:ps", _("List the models in memory.")),
        "pull": ("tui.commands.model_changes:pull", _("Fetch a model from its registry.")),
        "copy": ("tui.commands.model_changes:copy", _("Give a model a second name.")),
        "remove": ("tui.commands.model_changes:remove", _("Remove models.")),
        "stop": ("tui.commands.model_changes:stop", _("Take a model out of memory.")),
    },
    about=_("Models of the Ollama server, and of Paddock's private one."),
    params=common_options(),
)
