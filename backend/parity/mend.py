"""Give a model a Modelfile that says what it was trained on: proven under another tag before it gets the name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from backend.lf.find import LlamaFactory
from backend.ollama.client import Client, Creation
from backend.ollama.modelfile import Modelfile, parse
from backend.ollama.name import parse_name
from backend.ollama.parameter import DEPRECATED, KNOWN, LISTS, read_parameter
from backend.ollama.replacement import MEND, Replacement
from backend.parity import room
from backend.parity.asked import Served, in_memory
from backend.parity.cases import Case
from backend.parity.proof import OnCase, Proof, prove
from backend.parity.stops import stops
from backend.parity.template import Template
from backend.parity.training import Trained, go_text, tokens_of
from data.errors import AppError
from data.i18n import Message, _
from data.paths import Paths

_BLOB: Final = re.compile(r"sha256[-:]([0-9a-f]{64})$")


class Outcome(NamedTuple):
    """What a mend has come to."""

    proof: Proof
    """Of the model that has the name now"""
    takes: bool
    """Whether it has the name now; else the old one is as it was"""
    changes: tuple[Message, ...]
    """What the new Modelfile says otherwise than the old one"""
    attempt: Proof | None = None
    """Of a new model that has not got the name"""
    declined: Message = Message("")
    """Why nothing was tried; empty where something was, or had not to be"""


@dataclass(frozen=True, slots=True)
class Mended:
    """What a Modelfile has to say for a training."""

    template: str
    system: str
    parameters: Mapping[str, object]


def right_values(proof: Proof, template: Template, served: Served | None = None) -> Mended:
    """Return what the Modelfile of a proven model has to say; raises InexpressibleError where Go cannot say it.

    Parameters that have nothing to do with the prompt stay as they are. ``served`` is what an attempt came to: a server
    shows the GGUF's Jinja only where it is in force.
    """
    shown = served or proof.served
    tokens = tokens_of(template, proof.runner.vocabulary, proof.served.version)
    parameters = _parameters(proof.served)
    parameters["stop"] = list(stops(template, tokens))
    given = proof.served.context
    wanted = room.num_ctx(proof.trained.cutoff_len, proof.needed, proof.served.limit)
    if wanted and (given is None or given < wanted):
        parameters["num_ctx"] = wanted
    jinja = shown.template if shown.is_jinja else ""
    return Mended(go_text(template, tokens, jinja), template.default_system, parameters)


async def mend(
    client: Client,
    proof: Proof,
    template: Template,
    lf: LlamaFactory,
    paths: Paths,
    cases: Sequence[Case],
    *,
    on_case: OnCase = lambda done, total, name: None,
) -> Outcome:
    """Make the model anew under a temporary tag, prove it, and put it in the old one's place.

    It gets the name when it is right, or when nothing that a Modelfile can mend is left and no more differs than
    before. Nothing is made where the model lacks the template's tokens: it was trained with another one. Raises
    AppError; then the old model is as it was.
    """
    if proof.expected.unknown:
        why = _(
            "Nothing was mended: the model lacks tokens of this template. Name the one that it was trained with: "
            "--template T."
        )
        return Outcome(proof, takes=False, changes=(), declined=why)
    name = parse_name(proof.model)
    values = right_values(proof, template)
    replacement = Replacement(client, name, MEND)

    async def attempt() -> Proof:
        creation = await _creation(client, proof, values)
        async for _step in client.create(replacement.new, creation):
            pass
        async with in_memory(client, replacement.new):
            return await prove(client, replacement.new, proof.trained, cases, lf, paths, on_case=on_case)

    try:
        new = await attempt()
        after = right_values(proof, template, new.served)
        if new.served.is_jinja and not new.holds and after != values:  # it has come in force, since it shows more
            values = after
            new = await attempt()
        takes = new.ok or (_wrong(new) <= _wrong(proof) and not new.can_be_mended)
        if takes:
            await replacement.publish()
    finally:
        await replacement.clean()
    new = dataclasses.replace(new, model=proof.model, notes=proof.notes or new.notes)
    changes = tuple(_changes(proof.served, values, proof.trained))
    return Outcome(new, takes, changes) if takes else Outcome(proof, takes, changes, attempt=new)


def _changes(served: Served, values: Mended, trained: Trained) -> Iterator[Message]:
    """Yield what ``values`` say otherwise than the Modelfile that is there, by what is known of the training."""
    if values.template != served.written:
        yield _("TEMPLATE is written anew")
    if values.system != served.system:
        yield _whose(trained) if values.system else _("SYSTEM is taken out")
    due = tuple(cast("list[str]", values.parameters["stop"]))
    if set(due) != set(served.stops):
        gone = ", ".join(stop for stop in served.stops if stop not in due)
        words = _("it stops at {stops}", stops=", ".join(due))
        yield _("{words}, and no longer at {gone}", words=words, gone=gone) if gone else words
    given, wanted = served.parameters.get("num_ctx"), values.parameters.get("num_ctx")
    if wanted is not None and str(wanted) != (given or ("",))[-1]:
        yield _("num_ctx is {wanted}", wanted=str(wanted))
    if served.messages:
        yield _("MESSAGE is taken out")
    for command, value in (("RENDERER", served.renderer), ("PARSER", served.parser)):
        if value:
            yield _("{command} is taken out", command=command)


def _whose(trained: Trained) -> Message:
    """Return by whose word the new SYSTEM is what it is."""
    if "default_system" in trained.departs or (trained.guess and trained.default_system is not None):
        return _("SYSTEM is what was asked for")
    if trained.guess:
        return _("SYSTEM is that of the template")
    return _("SYSTEM is that of the training")


def _wrong(proof: Proof) -> int:
    """Return how much differs or was not compared: conversations, stops, room."""
    differs = sum(not one.ok for one in proof.verdicts) + len(proof.skipped)
    return differs + len(proof.missing_stops) + (not proof.context_is_enough) + proof.context_can_grow


async def _creation(client: Client, proof: Proof, values: Mended) -> Creation:
    """Return how the model is made anew: of its own blobs where something must go, else on top of what it is."""
    shown = parse((await client.show(proof.model)).modelfile, needs_source=False)
    if shown.messages or shown.renderer or shown.parser or (not values.system and proof.served.system):
        return _of_blobs(shown, values)
    return Creation(source=proof.model, template=values.template, system=values.system, parameters=values.parameters)


def _of_blobs(shown: Modelfile, values: Mended) -> Creation:
    """Return a model of the same weights without what it would else inherit: a system prompt, messages, a renderer."""
    found = [_BLOB.search(source) for source in shown.sources]
    adapter, draft = _BLOB.search(shown.adapter), _BLOB.search(shown.draft)
    if not found or None in found:
        raise AppError(
            _("The model's system prompt, messages and renderer cannot be taken away"),
            _("Its Modelfile does not say of which blobs it is made."),
            _("Deploy the GGUF again: paddock deploy GGUF NAME."),
        )
    return Creation(
        files={f"model-{place}.gguf": f"sha256:{one[1]}" for place, one in enumerate(found) if one is not None},
        adapters={"adapter.gguf": f"sha256:{adapter[1]}"} if adapter else {},
        drafts={"draft.gguf": f"sha256:{draft[1]}"} if draft else {},
        template=values.template,
        system=values.system,
        parameters=values.parameters,
        license=shown.licenses,
    )


def _parameters(served: Served) -> dict[str, object]:
    """Return the parameters that the model has, as ``/api/create`` takes them."""
    found: dict[str, object] = {}
    for name, texts in served.parameters.items():
        if name in DEPRECATED or name not in KNOWN or name in LISTS:
            continue
        found[name] = read_parameter(name, texts[-1])
    return found
