"""The Ollama API, as far as Paddock uses it: one method a call, values in, values out, failures explained.

Plain httpx instead of Ollama's own Python client: that one needs pydantic at import (a third of the app's start), drops
fields it does not know (``_debug_render_only``) and turns a server that died into a bare connection error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from backend.ollama import blob, failure, reply
from backend.ollama.connection import Connection
from backend.ollama.reply import Delta, Json, ListedModel, LoadedModel, Progress, ShownModel
from backend.ollama.version import OLDEST, is_new_enough
from data.errors import AppError
from data.i18n import _

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Creation:
    """What a model is made of: files already on the server, or a model there, and what a Modelfile adds."""

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """File name to blob digest"""
    source: str = ""
    """Name of a model on the server (FROM) instead of ``files``"""
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])
    drafts: Mapping[str, str] = field(default_factory=dict[str, str])
    """A small model that drafts tokens for this one; servers of the old line know none"""
    template: str = ""
    system: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    license: Sequence[str] = ()
    messages: Sequence[Json] = ()
    quantize: str = ""
    """q4_K_M, q8_0, …; needs a source in f32, f16 or bf16"""

    def as_json(self) -> dict[str, object]:
        """Return the body of ``/api/create`` without the name; empty fields are left out."""
        body = {
            "from": self.source,
            "files": dict(self.files),
            "adapters": dict(self.adapters),
            "draft_files": dict(self.drafts),
            "template": self.template,
            "system": self.system,
            "parameters": dict(self.parameters),
            "license": list(self.license),
            "messages": list(self.messages),
            "quantize": self.quantize,
        }
        return {name: value for name, value in body.items() if value}


class Client(Connection):
    """Calls of one server. Every method raises AppError (see ``failure``)."""

    async def version(self) -> str:
        """Return the server's version."""
        try:
            value = await self.ask("GET", "/api/version", doing=_("asking for its version"), answer_s=5.0)
        except failure.ServerDiedError as error:  # nothing that speaks HTTP has answered yet
            raise failure.not_ollama(self.address, _("It ended the connection without an answer.")) from error
        version = reply.text(value, "version")
        if not version:
            raise failure.not_ollama(self.address, repr(dict(value)))
        return version

    async def require(self, oldest: str = OLDEST) -> str:
        """Return the version; raises AppError when it is below ``oldest``."""
        version = await self.version()
        if not is_new_enough(version, oldest):
            raise failure.too_old(self.address, version, oldest)
        return version

    async def list(self) -> list[ListedModel]:
        """Return the models in the store, newest first."""
        return reply.read_list(await self.ask("GET", "/api/tags", doing=_("listing its models")))

    async def ps(self) -> list[LoadedModel]:
        """Return the models in memory."""
        return reply.read_loaded(await self.ask("GET", "/api/ps", doing=_("listing loaded models")))

    async def show(self, model: str, *, verbose: bool = False) -> ShownModel:
        """Return what is known of ``model``, with ``verbose`` its whole vocabulary; raises ModelMissingError."""
        doing = _("showing {model}", model=model)
        body = {"model": model, "verbose": verbose}
        return reply.read_shown(await self.ask("POST", "/api/show", body, doing=doing, model=model))

    async def has(self, model: str) -> bool:
        """Say whether the server has ``model``."""
        try:
            await self.show(model)
        except failure.ModelMissingError:
            return False
        return True

    async def has_blob(self, digest: str) -> bool:
        """Say whether the server has the blob ``sha256:…``."""
        return await self.exists(f"/api/blobs/{digest}", doing=_("looking for a blob"))

    async def upload(self, path: Path, digest: str, on_bytes: blob.OnBytes = blob.no_progress) -> None:
        """Send a file whose ``digest`` is known, unless the server has it already."""
        size_bytes = blob.size_bytes(path)
        if await self.has_blob(digest):
            on_bytes(size_bytes, size_bytes)
            return
        doing = _("receiving {file}", file=path.name)
        await self.send(f"/api/blobs/{digest}", blob.chunks(path, on_bytes), size_bytes, doing=doing)

    def create(self, model: str, creation: Creation) -> AsyncGenerator[Progress]:
        """Make ``model``; yields what the server does. It exists when the iterator ends without an error."""
        body = {"model": model, "stream": True, **creation.as_json()}
        doing = _("creating {model}", model=model)
        missing = creation.source
        return _read(self.lines("/api/create", body, doing=doing, model=missing, last="status"), reply.read_progress)

    def pull(self, model: str) -> AsyncGenerator[Progress]:
        """Fetch ``model`` from its registry; yields progress by layer."""
        body = {"model": model, "stream": True}
        return _read(
            self.lines("/api/pull", body, doing=_("pulling {model}", model=model), last="status"), reply.read_progress
        )

    def chat(
        self,
        model: str,
        messages: Sequence[Json],
        *,
        options: Mapping[str, object] | None = None,
        think: bool | str | None = None,
        answer_format: object = None,
        tools: Sequence[Json] = (),
        keep_alive: str | int | None = None,
    ) -> AsyncGenerator[Delta]:
        """Answer ``messages`` (``{role, content, …}``); yields pieces, the last one with the measures.

        ``think`` None leaves it to the server (on for thinking models). Closing the iterator stops the generation.
        """
        body = _body(
            model, options=options, think=think, format=answer_format, tools=list(tools), keep_alive=keep_alive
        )
        body["messages"] = list(messages)
        doing = _("answering with {model}", model=model)
        return _read(self.lines("/api/chat", body, doing=doing, model=model), reply.read_chat)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        raw: bool = False,
        options: Mapping[str, object] | None = None,
        think: bool | str | None = None,
        keep_alive: str | int | None = None,
    ) -> AsyncGenerator[Delta]:
        """Continue ``prompt``; ``raw`` sends it as it is, without any template."""
        body = _body(model, options=options, think=think, raw=raw, keep_alive=keep_alive)
        body["prompt"] = prompt
        doing = _("answering with {model}", model=model)
        return _read(self.lines("/api/generate", body, doing=doing, model=model), reply.read_generate)

    async def render(
        self,
        model: str,
        messages: Sequence[Json],
        *,
        think: bool | str | None = None,
        tools: Sequence[Json] = (),
        options: Mapping[str, object] | None = None,
    ) -> str:
        """Return the prompt that the server would send for ``messages``, without generating.

        Undocumented (``_debug_render_only``), since 0.11.5: older servers would generate, so they are refused.
        BOS is added after this text, by the engine.
        """
        await self.require()
        body = _body(model, options=options, think=think, tools=list(tools))
        body |= {"messages": list(messages), "stream": False, "_debug_render_only": True}
        doing = _("rendering a prompt of {model}", model=model)
        value = await self.ask("POST", "/api/chat", body, doing=doing, model=model, answer_s=None)
        rendered = reply.table(value, "_debug_info").get("rendered_template")
        if not isinstance(rendered, str):
            raise AppError(
                _("This Ollama does not show its prompts"),
                _("{url} answered without rendered_template.", url=self.address.url),
                _("Use an Ollama of {oldest} or later.", oldest=OLDEST),
            )
        return rendered

    async def copy(self, source: str, target: str) -> None:
        """Give a model a second name; a model of that name is replaced."""
        doing = _("copying {source} to {target}", source=source, target=target)
        await self.ask("POST", "/api/copy", {"source": source, "destination": target}, doing=doing, model=source)

    async def delete(self, model: str) -> None:
        """Remove a name, and the layers that no other name needs."""
        await self.ask("DELETE", "/api/delete", {"model": model}, doing=_("removing {model}", model=model), model=model)

    async def unload(self, model: str) -> None:
        """Take ``model`` out of memory."""
        doing = _("unloading {model}", model=model)
        body = {"model": model, "keep_alive": 0, "stream": False}
        await self.ask("POST", "/api/generate", body, doing=doing, model=model)


async def _read(lines: AsyncGenerator[Json], read: Callable[[Json], T]) -> AsyncGenerator[T]:
    """Yield each line as a value; closing this closes the connection at once, not when the collector comes by."""
    async with aclosing(lines):
        async for line in lines:
            yield read(line)


def _body(model: str, **values: object) -> dict[str, object]:
    """Return a request's body without what was not said; False is kept for ``think``, which it switches off."""
    kept = {
        name: value
        for name, value in values.items()
        if value or (name in ("think", "keep_alive") and value is not None)
    }
    return {"model": model, "stream": True, **kept}
