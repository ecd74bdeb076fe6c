"""Make a model on a server from a GGUF, so that a name always has a whole model: the old one until the new one is."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.ollama import blob
from backend.ollama.client import Client, Creation
from backend.ollama.modelfile import Modelfile
from backend.ollama.name import ModelName
from backend.ollama.replacement import Replacement
from data.errors import AppError
from data.gguf import PART, check, read_header
from data.i18n import _, lines_of
from data.jobs.report import Reporter
from data.size import size

# llama.cpp LLAMA_FTYPE: ALL_F32, MOSTLY_F16, MOSTLY_BF16.
_QUANTIZABLE: Final = frozenset({0, 1, 32})

Gate = Callable[[Client, str], Awaitable[None]]
"""What has to hold of a model, under the temporary name that it is given, before it gets its own; raises AppError"""


async def open_gate(_client: Client, _model: str) -> None:
    """Let every model pass."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model that the server has now."""

    model: str
    size_bytes: int
    digest: str


def check_gguf(path: Path, quantize: str) -> None:
    """Raise AppError when the file must not go to a server, which it could take down, or cannot be quantised."""
    problems = check(path)
    if problems and problems[0].rule == PART:  # it is sent alone, and the rest of its tensors would be missing
        raise AppError(problems[0].message, str(path), problems[0].remedy)
    if problems:
        shown = [problem.message for problem in problems[:5]]
        raise AppError(
            _("This GGUF contradicts itself, and could take an Ollama server down"),
            lines_of([*shown, _("File: {path}", path=str(path))]),
            problems[0].remedy,
        )
    if not quantize:
        return
    file_type = read_header(path).whole("general.file_type")
    if file_type is not None and file_type not in _QUANTIZABLE:
        raise AppError(
            _("This GGUF is quantised already"),
            _("Its general.file_type is {type}; {quantize} needs f32, f16 or bf16.", type=file_type, quantize=quantize),
            _("Convert the merged model with --outtype bf16, or deploy this file without --quantize."),
        )


def check_space(folder: Path, gguf_bytes: int, *, uploaded: bool, quantize: bool) -> None:
    """Raise AppError when the private server's disk cannot hold what creating takes at its peak.

    The blob, the layer that Ollama makes of it, and the quantised layer, which is at most as large.
    """
    needed = gguf_bytes * ((not uploaded) + 1 + quantize)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AppError(
            _("Too little free disk space for this model"),
            _(
                "{folder} has {free} free; up to {needed} are needed, {lacking} more.",
                folder=str(folder),
                free=size(free),
                needed=size(needed),
                lacking=size(needed - free),
            ),
            _("Free some space, or remove models that you do not need (`paddock models remove`)."),
        )


class Maker:
    """Creates one model; ``token`` tells its temporary tags from those of others (a resumed job uses its own again)."""

    def __init__(self, client: Client, name: ModelName, reporter: Reporter, token: str, gate: Gate = open_gate) -> None:
        self._client = client
        self._name = name
        self._reporter = reporter
        self._gate = gate
        self._replacement = Replacement(client, name, token)

    async def make(self, path: Path, digest: str, values: Modelfile, quantize: str) -> Deployed:
        """Upload, create under a temporary tag, let it through the gate, give it the name.

        Raises AppError and leaves the name as it was.
        """
        reporter = self._reporter
        reporter.stage("upload", _("Sending {file} to Ollama", file=path.name))
        await self._client.upload(path, digest, lambda done, total: reporter.progress(done, total, "bytes"))
        creation = Creation(
            files={path.name: digest},
            template=values.template,
            system=values.system,
            parameters=values.parameters,
            license=values.licenses,
            messages=values.messages,
            quantize=quantize,
        )
        try:
            await self._create(creation, quantize)
            await self._gate(self._client, self._replacement.new)
            self._reporter.stage("name", _("Naming it {model}", model=str(self._name)))
            await self._replacement.publish()
        finally:
            await self._replacement.clean()
        return await self._deployed()

    async def _create(self, creation: Creation, quantize: str) -> None:
        label = _("Creating {model}", model=str(self._name))
        if quantize:
            label = _("Creating {model}, quantised to {quantize}", model=str(self._name), quantize=quantize)
        self._reporter.stage("create", label)
        async for step in self._client.create(self._replacement.new, creation):
            if step.completed_bytes is not None and step.total_bytes:
                self._reporter.progress(step.completed_bytes, step.total_bytes, "bytes")

    async def _deployed(self) -> Deployed:
        for model in await self._client.list():
            if self._name.same_as(model.name):
                return Deployed(model.name, model.size_bytes, model.digest)
        raise AppError(
            _("Ollama does not list {model}", model=str(self._name)),
            _("It was created without an error, and is gone."),
            _("Somebody may have removed it meanwhile; deploy it again."),
        )


async def digest_of(path: Path, reporter: Reporter) -> str:
    """Return the blob's name, with progress."""
    reporter.stage("hash", _("Reading {file}", file=path.name))
    return await blob.digest(path, lambda done, total: reporter.progress(done, total, "bytes"))
