"""Whether a name is taken on the server that a deployment would go to: what has to be known before it is replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backend.deploy.server import ensure_server, running_server
from backend.ollama.name import ModelName
from backend.ollama.private import has_manifest
from data.paths import Paths
from data.settings import Settings


async def place_of(
    paths: Paths,
    settings: Settings,
    name: ModelName,
    *,
    host: str = "",
    want_private: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Return where the server that ``ensure_server`` would take, asked the same, has that model; empty: it has none.

    Starts none: the private server's models are seen by their files, and the place is then its home. Raises AppError
    for a server that was named, by ``host`` or the settings, and does not answer.
    """
    named = host or (settings.ollama_host and not want_private)
    if named:
        server = await ensure_server(paths, settings, host=host, environ=environ)
    else:
        server = None if want_private else await running_server(paths, settings, environ=environ)
    if server is None or server.private:
        place = server.host if server else str(paths.ollama_home)
        return place if has_manifest(paths, name) else ""
    from backend.ollama.client import Client  # noqa: PLC0415 - httpx only when it is needed

    async with Client(server.host) as client:
        return server.host if any(name.same_as(model.name) for model in await client.list()) else ""
