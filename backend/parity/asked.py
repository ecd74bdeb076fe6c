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
from backend.ollama.failure import ModelMissingError
from backend.ollama.modelfile import Modelfile, parse
from backend.ollama.name import parse_name
from backend.ollama.reply import ShownModel
from backend.parity.cases import Case
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_shown
from data.errors import AppError, RequestError

RAW: Final = "{{ .Prompt }}"
"""Ollama's template where a model has none"""
CHATML: Final = "<|im_start|>"
"""What begins a turn of ChatML"""
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
    limit: int | None = None
    """What the model itself holds, whatever num_ctx is; None where it is not known"""
    weights: tuple[str, ...] = ()
    """Blobs of its weights, as the Modelfile names them"""
    renderer: str = ""
    """The part of Ollama that writes its prompts, whatever template there is; empty for none"""
    parser: str = ""
    """The part of Ollama that reads its answers; empty for none"""

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
    modelfile = _modelfile(shown)
    written = modelfile.template if modelfile is not None else shown.template
    given = parameters.get("num_ctx", [""])[-1]
    limit = shown.context_length or None
    context = int(given) if given.isdecimal() else context
    return Served(
        version=version,
        template=shown.template,
        written=written,
        system=shown.system,
        stops=tuple(parameters.get("stop", ())),
        parameters=parameters,
        context=context if limit is None or context is None else min(context, limit),
        capabilities=shown.capabilities,
        messages=tuple(str(one["content"]) for one in modelfile.messages) if modelfile is not None else (),
        limit=limit,
        weights=modelfile.sources if modelfile is not None else (),
        renderer=modelfile.renderer if modelfile is not None else "",
        parser=modelfile.parser if modelfile is not None else "",
    )


def _modelfile(shown: ShownModel) -> Modelfile | None:
    """Return the Modelfile of a model; None where it cannot be read."""
    try:
        return parse(shown.modelfile, needs_source=False)
    except RequestError:
        return None


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


async def renew(client: Client, model: str, served: Served, cases: Sequence[Case], runner: Runner) -> bool:
    """Take ``model`` out of memory where a runner without Jinja writes its prompts; say whether that was so.

    From 0.30 on a server starts the runner of a model with a TEMPLATE without Jinja, and then uses it for every model
    of these weights: one that goes by its Jinja gets ChatML, and no tools (Ollama `server/sched.go` ``needsReload``,
    `llm/llama_server.go` ``appendJinjaArgs``).
    """
    wants_tools = "tools" in served.capabilities
    probe = next((case for case in cases if bool(case.tools) == wants_tools), None)
    if not served.is_jinja or probe is None:
        return False
    before = await send(client, model, probe, runner, counts=False)
    is_chatml = CHATML in before.text and CHATML not in served.template
    if not is_chatml and (before.error is None or "--jinja" not in str(before.error.detail)):
        return False
    await client.unload(model)
    after = await send(client, model, probe, runner, counts=False)
    return after.text != before.text


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


def with_context(served: Served, held: int | None) -> Served:
    """Return ``served`` with the context length ``held`` by the loaded model, where its parameters give no less."""
    if held is None or (served.context is not None and served.context <= held):
        return served
    limit = served.limit if served.context is None else held  # a num_ctx asks for more already, and does not get it
    return dataclasses.replace(served, context=held, limit=limit)


async def context_of(client: Client, model: str, weights: Sequence[str]) -> int | None:
    """Return the context length with which ``model``, of these ``weights``, is loaded now; None where it is not known.

    A server lists weights by the name that loaded them, which may be another model's.
    """
    loaded, name = await client.ps(), parse_name(model)
    for one in loaded:
        if name.same_as(one.name):
            return one.context_length
    for one in loaded:
        if weights and await _weights(client, one.name) == weights:
            return one.context_length
    return None


async def _weights(client: Client, model: str) -> Sequence[str]:
    try:
        modelfile = _modelfile(await client.show(model))
    except ModelMissingError:  # it has lost its name since
        return ()
    return modelfile.sources if modelfile is not None else ()


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
