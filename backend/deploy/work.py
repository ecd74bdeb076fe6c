"""Put a GGUF into Ollama: look at the file, find or start a server, make the model, report it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.deploy.create import Deployed, Gate, Maker, check_gguf, check_space, digest_of
from backend.deploy.leftover import remove_leftovers
from backend.deploy.request import Deployment
from backend.deploy.server import Server, ensure_server
from backend.ollama.blob import size_bytes
from backend.ollama.client import Client
from backend.ollama.failure import ServerDiedError, UnreachableError
from backend.ollama.modelfile import Modelfile
from backend.ollama.name import parse_name
from backend.ollama.private import models_folder
from backend.parity.training import Prompt, Training, prompt
from data.gguf import read_header
from data.i18n import _
from data.jobs.library import Library
from data.jobs.report import Reporter
from data.paths import Paths
from data.settings import load_settings

_ATTEMPTS: Final = 2


async def deploy(deployment: Deployment, paths: Paths, reporter: Reporter, *, token: str, gate: Gate) -> None:
    """Check the file, find or start the server, make the model; a private server that died gets a second chance.

    Reports ``{model, host, bytes, digest}``; raises AppError, also what ``gate`` raises.
    """
    reporter.stage("check", _("Checking the GGUF"))
    path = Path(deployment.gguf)
    await asyncio.to_thread(check_gguf, path, deployment.quantize)
    values = deployment.values(await asyncio.to_thread(prompt_of, deployment, paths))
    digest = await digest_of(path, reporter)
    for attempt in range(1, _ATTEMPTS + 1):
        reporter.stage("server", _("Looking for an Ollama server"))
        settings = load_settings(paths.settings).values
        server = await ensure_server(paths, settings, want_private=deployment.private, host=deployment.host)
        try:
            made = await _on(server, deployment, values, digest, paths, _Around(reporter, token, gate))
        except (ServerDiedError, UnreachableError) as error:
            if not server.private or attempt == _ATTEMPTS:
                raise
            sys.stderr.write(f"{error}\n")
            reporter.stage("restart", _("The private Ollama server ended; starting it again"))
        else:
            reporter.result(model=made.model, host=server.host, bytes=made.size_bytes, digest=made.digest)
            return


def prompt_of(deployment: Deployment, paths: Paths) -> Prompt | None:
    """Return what the run that the weights come from says about prompts; None where there is none."""
    training = Training.read(deployment.training)
    if training is None:
        return None
    template = training.resolve(load_settings(paths.settings).values, paths)
    return prompt(template, read_header(Path(deployment.gguf)), training.cutoff_len)


@dataclass(frozen=True, slots=True)
class _Around:
    """What is around the making of a model: who is told, whose tags are used, what has to hold."""

    reporter: Reporter
    token: str
    gate: Gate


async def _on(
    server: Server, deployment: Deployment, values: Modelfile, digest: str, paths: Paths, around: _Around
) -> Deployed:
    path = Path(deployment.gguf)
    async with Client(server.host) as client:
        if server.private:
            uploaded = await client.has_blob(digest)
            check_space(models_folder(paths), size_bytes(path), uploaded=uploaded, quantize=bool(deployment.quantize))
        maker = Maker(client, parse_name(deployment.name), around.reporter, around.token, around.gate)
        made = await maker.make(path, digest, values, deployment.quantize)
        await remove_leftovers(client, Library(paths.jobs), around.reporter, is_private=server.private)
        return made
