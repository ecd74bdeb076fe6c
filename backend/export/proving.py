"""Prove a model and mend it: what a deployment, the ``prove`` job and ``paddock verify`` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from backend.deploy.request import Deployment
from backend.export.mends import recall, remember
from backend.export.origin import deployment_of, trained_of
from backend.export.own_rows import OwnRows
from backend.lf.find import LlamaFactory, find
from backend.ollama.client import Client
from backend.ollama.name import parse_name
from backend.parity import asked, cases, parting, proof
from backend.parity.asked import Served
from backend.parity.cases import Case
from backend.parity.compare import Verdict
from backend.parity.guess import Own, guess
from backend.parity.mend import Outcome, mend
from backend.parity.proof import OnCase, Proof
from backend.parity.shortfall import differing
from backend.parity.template import Template, Templates, templates_for
from backend.parity.training import Trained
from backend.parity.vocabulary import Vocabulary
from data.errors import AppError, RequestError
from data.files import write_atomic
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.library import Library
from data.paths import Paths
from data.settings import Settings

UNPROVEN: Final[Mapping[str, Message]] = {
    "template": _("It is not known with which template the model was trained."),
    "llamafactory": _("There is no LLaMA-Factory here to say what was trained."),
    "failed": _("The proof failed, and it was to be published all the same."),
    "impossible": _("The proof could not be made, and it was to be published all the same."),
}
"""Why a model was published without a proof, by the id in a job's result"""
_TO_PROVE: Final[Mapping[str, Message]] = {
    "template": _("Name the template: --template NAME. Or publish it without a proof: --unproven."),
    "llamafactory": _("Run: paddock setup llamafactory. Or publish it without a proof: --unproven."),
}


def unprovable(*, has_training: bool, has_lf: bool) -> str:
    """Return the id of why there can be no proof; empty where there can."""
    return "" if has_training and has_lf else "llamafactory" if has_training else "template"


def unproven_replacement(model: str, why: str) -> RequestError:
    """Return the error for a name that a model has, and a new one that nobody can prove; ``why`` as ``unprovable``."""
    title = _("{model} is there already, and the new one cannot be proven", model=str(parse_name(model)))
    return RequestError(title, UNPROVEN[why], _TO_PROVE[why])


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of a training; None where the record of it, or else a guess, is to say it."""

    template: str | None = None
    system: str | None = None
    thinking: bool | None = None
    cutoff_len: int | None = None

    def over(self, recorded: Trained | None, guessed: Callable[[], Template | None], model: str) -> Trained:
        """Return what was said, else what the training recorded, else a guess; raises RequestError for nothing.

        What is said against the record is marked to be so.
        """
        if self.template:
            base = recorded if recorded is not None and recorded.template == self.template else Trained(self.template)
            found = dataclasses.replace(base, source="asked")
        elif recorded is not None:
            found = recorded
        else:
            template = guessed()
            if template is None:
                raise RequestError(
                    _("It is not known with which template {model} was trained", model=model),
                    _("No training of Paddock leads to it, and its own template and tokens give no hint."),
                    _("Name it: --template T. Templates are those of LLaMA-Factory, as llama3, qwen or chatml."),
                )
            found = Trained(template.name, source="guess")
        if self.system is not None:
            found = dataclasses.replace(found, default_system=self.system)
        if self.thinking is not None:
            found = dataclasses.replace(found, enable_thinking=self.thinking)
        if self.cutoff_len:
            found = dataclasses.replace(found, cutoff_len=self.cutoff_len)
        judged = found.against(recorded)
        return judged if judged.departs else dataclasses.replace(found, miscut=judged.miscut)


def guessed(known: Templates, vocabulary: Vocabulary, served: Served, said: Said, model: str) -> Trained:
    """Return with what a model was likely trained, that is ``served`` so; raises RequestError where nothing tells.

    A TEMPLATE that somebody wrote says more than the Jinja that is in force. The model's own system prompt is taken for
    the training's: nothing speaks against it.
    """
    texts = [served.written] if served.is_jinja and served.written.strip() != asked.RAW else []
    texts += [] if served.is_raw else [served.template]
    owns = [Own(text, served.stops, served.system, served.version) for text in dict.fromkeys([*texts, ""])]
    found = said.over(None, lambda: next(filter(None, (guess(known, vocabulary, own) for own in owns)), None), model)
    if said.system is None and served.system:
        return dataclasses.replace(found, default_system=served.system)
    return found


@dataclass(frozen=True, slots=True)
class Prover:
    """Proves models of one server: LLaMA-Factory with what is known of it, and who is told of each conversation."""

    client: Client
    lf: LlamaFactory
    known: Templates
    paths: Paths
    extra: tuple[Case, ...] = ()
    """A person's own conversations besides the built-in ones"""
    own: OwnRows = field(default_factory=OwnRows)
    """The first rows of what the model was trained on"""
    on_case: OnCase = lambda done, total, name: None

    async def trained(self, model: str, recorded: Trained | None, said: Said) -> Trained:
        """Return what ``model`` was trained with; raises AppError.

        Where nobody says it, it is ``guessed``.
        """
        if said.template or recorded is not None:
            return said.over(recorded, lambda: None, model)
        runner, served = await asked.runner_of(self.client, model)
        return guessed(self.known, runner.vocabulary, served, said, model)

    async def prove(self, model: str, trained: Trained) -> Proof:
        """Return the proof of ``model``; raises AppError."""
        wanted = self._cases(trained)
        found = await proof.prove(self.client, model, trained, wanted, self.lf, self.paths, on_case=self.on_case)
        return dataclasses.replace(found, left_out=self.own.left_out)

    async def mend(self, found: Proof) -> Outcome:
        """Make a proven model right as far as a Modelfile can, and remember what for; raises AppError.

        As ``backend.parity.mend``. What it was for is not remembered where that was a guess.
        """
        trained = found.trained
        template = dataclasses.replace(self._template(trained), default_system=found.expected.default_system)
        wanted = self._cases(trained)
        outcome = await mend(self.client, found, template, self.lf, self.paths, wanted, on_case=self.on_case)
        if outcome.takes and not trained.guess:
            digest = await _digest(self.client, found.model)
            with contextlib.suppress(OSError):  # the model is mended all the same
                await asyncio.to_thread(remember, self.paths, digest, trained)
        return outcome._replace(proof=dataclasses.replace(outcome.proof, left_out=self.own.left_out))

    def _template(self, trained: Trained) -> Template:
        return trained.of(self.known)

    def _cases(self, trained: Trained) -> tuple[Case, ...]:
        return (*built_in(self._template(trained)), *self.own.cases, *self.extra)


class Behind(NamedTuple):
    """What Paddock knows of where a model comes from."""

    deployment: Deployment | None
    """What made it, if that was Paddock"""
    trained: Trained | None
    """What its training recorded, else what its mend or its deployment was told"""


async def behind(client: Client, library: Library, paths: Paths, model: str, host: str) -> Behind:
    """Return what is known of a model of the server at ``host``, whatever it is called now; raises AppError."""
    digest = await _digest(client, model)

    def look() -> Behind:
        deployment = deployment_of(library, model, host, digest)
        trained = trained_of(library, deployment)
        if trained is None or trained.source != "record":
            trained = recall(paths, digest) or trained
        return Behind(deployment, trained)

    return await asyncio.to_thread(look)


async def _digest(client: Client, model: str) -> str:
    name = parse_name(model)
    return next((one.digest for one in await client.list() if name.same_as(one.name)), "")


def built_in(template: Template) -> tuple[Case, ...]:
    """Return the conversations that prove a training with ``template``."""
    thinks = template.kind == "reasoning" and template.enable_thinking is not False
    return cases.built_in(tools=True, thinking=thinks)


def installed(
    settings: Settings, paths: Paths, workspace: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[LlamaFactory, Templates]:
    """Return the LLaMA-Factory that says what was trained, and its templates; raises AppError where there is none."""
    lf = find(settings, paths, workspace, environ)
    if lf is None:
        raise AppError(
            _("There is no LLaMA-Factory to say what was trained"),
            _("The proof asks it to encode the conversations as in a training."),
            _("Run: paddock setup llamafactory"),
        )
    return lf, templates_for(lf, paths)


def stage_of(model: str, trained: Trained) -> Message:
    """Return what is being proven."""
    if trained.guess:
        return _(
            "Proving that {model} is sent what the template {name} makes, which is a guess",
            model=model,
            name=trained.guess,
        )
    if not trained.departs:
        return _("Proving that {model} is sent what it was trained on", model=model)
    names = ", ".join(trained.departs)
    return _(
        "Proving that {model} is sent what was asked for, not as the training recorded: {names}",
        model=model,
        names=names,
    )


def summary(found: Proof) -> dict[str, object]:
    """Return what a job's result says of its proof.

    ``{ok, holds, same, cases, conversations, departs, guess, cause, cause_id}``: ``cases`` were compared, of so many
    ``conversations``; ``departs`` as in ``Trained``; ``guess`` is the template where nobody knows it.
    """
    first = first_difference(found)
    cause = first.cause if first else None
    problems = found.problems()
    words = cause.message if cause else _nothing(found) if not found.verdicts else problems[0][0] if problems else None
    return {
        "ok": found.ok,
        "holds": found.holds,
        "same": sum(verdict.ok for verdict in found.verdicts),
        "cases": len(found.verdicts),
        "conversations": found.total,
        "departs": list(found.trained.departs),
        "guess": found.trained.guess,
        "cause": words.as_json() if words else None,
        "cause_id": cause.id if cause else None,
    }


def first_difference(found: Proof) -> Verdict | None:
    """Return the first conversation that differs, one that speaks against the model before others."""
    wrong = [verdict for verdict in found.verdicts if not verdict.ok]
    return next((verdict for verdict in wrong if verdict.is_grave), wrong[0] if wrong else None)


def remedy_of(found: Proof, otherwise: Message) -> Message:
    """Return the remedy of what was asked for against the record, or no Modelfile can mend; else ``otherwise``."""
    if not found.verdicts:
        needed = found.needed
        return found.problems()[0][1] if needed is None else _("Give it a num_ctx of {needed}.", needed=str(needed))
    departs = [name for name in found.trained.departs if name != "cutoff_len"]  # that is about room alone
    if departs:
        return _("Leave out what the training recorded otherwise: {names}.", names=", ".join(departs))
    first = first_difference(found)
    if not found.can_be_mended and first is not None and first.cause is not None:
        return first.cause.remedy
    return otherwise


def write_proof(folder: JobFolder, found: Proof, **more: object) -> None:
    """Leave the proof in the job's folder: the object of ``paddock verify --json``."""
    write_atomic(folder.proof, json.dumps({**found.as_json(), **more}, ensure_ascii=False, indent=1) + "\n")


def refusal(found: Proof, hint: Message) -> AppError:
    """Return the error for a proof that does not hold, with the first reason."""
    if not found.verdicts:
        return AppError(_("{model} could not be proven", model=found.model), _nothing(found), hint)
    wrong = sum(not verdict.ok for verdict in found.verdicts)
    first = first_difference(found)
    reasons = [first.cause.message] if first is not None and first.cause is not None and first.is_grave else []
    reasons += [why for why, _remedy in found.problems()]
    why = differing(wrong, len(found.verdicts), found.trained.departs, found.trained.guess)
    if not wrong and reasons:
        why = reasons.pop(0)
    title = _("Ollama does not send {model} what it was trained on", model=found.model)
    if found.trained.departs:
        title = _("Ollama does not send {model} what was asked for", model=found.model)
    if found.trained.guess:
        title = _(
            "Ollama does not send {model} what the template {name} makes, which is a guess",
            model=found.model,
            name=found.trained.guess,
        )
    return AppError(
        title,
        _("{why} {first}", why=why, first=reasons[0]) if reasons else why,
        hint,
    )


def _nothing(found: Proof) -> Message:
    """Return that no conversation was compared, and why."""
    why, reasons = found.problems()[0][0], found.all_left_out()
    return _("{why} {first}", why=why, first=reasons[0]) if reasons else why


def report(found: Proof) -> Iterator[str]:
    """Yield what differs, for a job's log: text against text, token against token."""
    for verdict in found.verdicts:
        yield f"{'ok ' if verdict.ok else '-- '} {verdict.case.name}"
        if verdict.ok or verdict.cause is None:
            continue
        yield f"    {verdict.cause.message.english()}"
        yield f"    trained: {verdict.expected.text!r}"
        yield f"    sent:    {verdict.actual.text!r}"
        for row in parting.rows(verdict, found.runner):
            left, right = (f"{one.id} {one.text!r}" if one else "" for one in (row.expected, row.actual))
            yield f"    {'>' if row.is_first else ' '} {row.at:>5}  {left:<32} {right}"
    for why, _remedy in found.problems():
        yield f"--  {why.english()}"
    for why in (*found.all_left_out(), *found.notes):
        yield f"    {why.english()}"
