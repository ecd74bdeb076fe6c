"""Which Ollama answers, which models it has, and a reply of one of them; nothing is imported before it is asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.errors import AppError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings

if TYPE_CHECKING:
    from backend.chat.engine import ChatEngine


class OllamaState(NamedTuple):
    """Whether an Ollama answers, and which."""

    is_up: bool
    version: str = ""
    host: str = ""
    private: bool = False


class ModelOffer(NamedTuple):
    """A model that can be talked with."""

    name: str
    host: str
    private: bool
    size_bytes: int


def ollama_state(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> OllamaState:
    """Ask for the server that would be used; blocks, so call it in a thread."""
    from backend.deploy.server import running_server  # noqa: PLC0415 - not needed for the first frame

    server = asyncio.run(running_server(paths, settings, environ=environ))
    if server is None:
        return OllamaState(is_up=False)
    return OllamaState(is_up=True, version=server.version, host=server.host, private=server.private)


async def model_offers(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> list[ModelOffer]:
    """Return the models of a person's own server and of the private one, newest first, where they run now.

    Raises AppError where the settings name a server that does not answer.
    """
    from backend.deploy.server import running_servers  # noqa: PLC0415 - not needed for the first frame
    from backend.ollama.client import Client  # noqa: PLC0415 - as above

    offers: list[ModelOffer] = []
    for server in await running_servers(paths, settings, environ=environ):
        async with Client(server.host) as client:
            models = await client.list()
        offers += [ModelOffer(model.name, server.host, server.private, model.size_bytes) for model in models]
    return offers


async def gguf_of(offer: ModelOffer) -> Path:
    """Return the GGUF that a server keeps a model in; AppError where it lies on another machine, or is closed to us."""
    from backend.ollama.client import Client  # noqa: PLC0415 - not needed for the first frame
    from backend.ollama.modelfile import parse  # noqa: PLC0415 - as above

    async with Client(offer.host) as client:
        sources = parse((await client.show(offer.name)).modelfile, needs_source=False).sources
    found = next((Path(source) for source in sources if source.startswith("/") and os.access(source, os.R_OK)), None)
    if found is None:
        raise AppError(
            _("The GGUF of {model} cannot be read here", model=offer.name),
            _("{host} keeps it in {place}.", host=offer.host, place=", ".join(sources) or "?"),
            _("Look into it on that machine, as the person whom Ollama runs as: `paddock gguf show FILE`."),
        )
    return found


def engine(paths: Paths, settings: Settings, environ: Mapping[str, str], host: str) -> ChatEngine:
    """Return the engine that talks with models of ``host``; it finds the private server again after an idle end."""
    from backend.chat.ollama import OllamaEngine  # noqa: PLC0415 - not needed for the first frame
    from backend.deploy.server import ensure_server  # noqa: PLC0415 - as above

    async def locate() -> str:
        return (await ensure_server(paths, settings, host=host, environ=environ)).host

    return OllamaEngine(locate)
