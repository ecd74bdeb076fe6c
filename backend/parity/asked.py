"""What a real Ollama sends: the prompt that it shows, tokenised as its runner does, and the count of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from backend.gotemplate.constant import unquoted
from backend.ollama.client import Client
from backend.ollama.modelfile import parse
from backend.ollama.reply import ShownModel
from backend.parity.cases import Case
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_shown
from data.errors import AppError, RequestError

RAW: Final = "{{ .Prompt }}"
"""Ollama's template where a model has none"""
_PARAMETER: Final = re.compile(r"(\S+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sent:
    """The prompt of one conversation as the model gets it; ``error`` where the server refuses the conversation."""

    ids: tuple[int, ...]
    text: str
    counted: int | None = None
    """How many tokens the server counted; None where it was not asked"""
    error: AppError | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """A model as its server has it."""

    version: str
    template: str
    """The one in force: Go's language, or Jinja (which then comes from the GGUF)"""
    written: str
    """The TEMPLATE of the Modelfile"""
    system: str
    stops: tuple[str, ...]
    parameters: Mapping[str, Sequence[str]]
    context: int | None
    """The context length in force; None where it is not known"""
    capabilities: tuple[str, ...]
    messages: tuple[str, ...] = ()
    """Texts of the Modelfile's MESSAGE commands, which stand before every conversation"""

    @property
    def is_jinja(self) -> bool:
        """Whether the GGUF's own template is in force."""
        return "{%" in self.template or (self.template != self.written and "{{ ." not in self.template)

    @property
    def is_raw(self) -> bool:
        """Whether no template is in force."""
        return self.template.strip() == RAW


async def runner_of(client: Client, model: str) -> tuple[Runner, Served]:
    """Return the tokenizer of ``model`` and what its server says of it; raises AppError."""
    version = await client.require()
    shown = await client.show(model, verbose=True)
    vocabulary = from_shown(shown.model_info, model)
    return Runner(vocabulary, version), read_served(shown, version)


def read_served(shown: ShownModel, version: str, context: int | None = None) -> Served:
    """Read ``/api/show``."""
    parameters: dict[str, list[str]] = {}
    for line in shown.parameters.splitlines():
        found = _PARAMETER.fullmatch(line.strip())
        if found is not None:
            value = found[2].strip()
            quoted = unquoted(value) if len(value) > 1 and value[0] == value[-1] and value[0] in '"`' else None
            parameters.setdefault(found[1], []).append(value if quoted is None else quoted)
    messages: tuple[str, ...] = ()
    try:
        modelfile = parse(shown.modelfile, needs_source=False)
        written, messages = modelfile.template, tuple(str(one["content"]) for one in modelfile.messages)
    except RequestError:
        written = shown.template
    given = parameters.get("num_ctx", [""])[-1]
    return Served(
        version=version,
        template=shown.template,
        written=written,
        system=shown.system,
        stops=tuple(parameters.get("stop", ())),
        parameters=parameters,
        context=int(given) if given.isdecimal() else context,
        capabilities=shown.capabilities,
        messages=messages,
    )


async def send(client: Client, model: str, case: Case, runner: Runner, *, counts: bool = True) -> Sent:
    """Ask the server what it sends for ``case``; with ``counts`` also how many tokens that is, by one token's work."""
    options: dict[str, object] = {"num_predict": 1, "temperature": 0, "seed": 1}
    tools = case.functions()
    try:
        text = await client.render(model, case.messages(), think=case.thinking, tools=tools, options=options)
        counted = await _count(client, model, case, options) if counts else None
    except AppError as error:
        if not await client.has(model):  # the server is gone, or the model: no answer of the template's
            raise
        return Sent((), "", error=error)
    return Sent(runner.encode(text), runner.whole(text), counted)


async def _count(client: Client, model: str, case: Case, options: Mapping[str, object]) -> int | None:
    """Return how many tokens the server counts for ``case``, by one token's work.

    None where tools are offered and the server cannot read that token: from 0.30 on, the engine holds an answer against
    the form of its template's calls, and one token need not have it.
    """
    counted: int | None = None
    try:
        deltas = client.chat(model, case.messages(), think=case.thinking, tools=case.functions(), options=options)
        async for delta in deltas:
            counted = delta.stats.prompt_tokens if delta.stats is not None else counted
    except AppError:
        if not case.tools or not await client.has(model):
            raise
    return counted


def with_context(served: Served, context: int | None) -> Served:
    """Return ``served`` with the context length of the loaded model, where its parameters give none."""
    return served if served.context is not None else dataclasses.replace(served, context=context)


async def context_of(client: Client, model: str) -> int | None:
    """Return the context length with which ``model`` is loaded now."""
    for loaded in await client.ps():
        if loaded.name == model or loaded.name.removesuffix(":latest") == model.removesuffix(":latest"):
            return loaded.context_length
    return None


@asynccontextmanager
async def in_memory(client: Client, model: str) -> AsyncGenerator[None]:
    """Let ``model`` be loaded for a proof and take it out of memory afterwards.

    A server keeps weights in memory under the name that they were loaded by, with that name's context length; so they
    go before the proof, too.
    """
    with contextlib.suppress(AppError):
        await client.unload(model)
    try:
        yield
    finally:
        with contextlib.suppress(AppError):
            await client.unload(model)
