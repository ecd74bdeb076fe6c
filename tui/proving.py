"""The proof of a model as views show it: read back from a job's ``proof.json``, and the job that mends what differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

from backend.parity.shortfall import differing
from data.errors import AppError
from data.i18n import Message, _
from data.jobs.library import Job
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.jsontext import parse_json
from data.paths import Paths

KINDS: Final = ("deploy", "prove")
_LIMIT_BYTES: Final = 32 << 20
_NOTHING: Final = Message("")
Role = Literal["done", "warn", "failed"]
_OWN: Final = ("edited", "template", "modelfile", "system", "parameters")
"""Params of a deployment by which a person's own words take the place of the training's"""


class TokenRow(NamedTuple):
    """What both prompts have at one place; None behind the end of one."""

    at: int
    expected: tuple[int, str] | None
    actual: tuple[int, str] | None
    is_first: bool


@dataclass(frozen=True, slots=True)
class CaseView:
    """One conversation: what was trained, what is sent, and where they part."""

    name: str
    ok: bool
    grave: bool
    """False for a difference that nothing can mend and every model of the family lives with"""
    tokens: int
    expected: str
    actual: str
    character: int | None
    """Where the texts part; None where they do not"""
    rows: tuple[TokenRow, ...]
    cause: Message
    remedy: Message


@dataclass(frozen=True, slots=True)
class ProofView:
    """What was found out about one model."""

    model: str
    version: str
    template: str
    source: str
    """Where the template is known from: asked, record, guess"""
    ok: bool
    holds: bool
    mendable: bool
    cases: tuple[CaseView, ...]
    bos: tuple[str, int, int, bool]
    """The token; how many were trained and are sent; whether that is the same"""
    stops: tuple[tuple[str, ...], tuple[str, ...]]
    """Ends of an answer: all that are due, and those of them at which the server does not stop"""
    num_ctx: tuple[int | None, int | None, bool]
    """The server's, the training's cutoff_len, and whether it is enough"""
    problems: tuple[tuple[Message, Message], ...]
    mended: bool = False
    """It is of a Modelfile that Paddock has just written anew"""
    changes: tuple[Message, ...] = ()
    """What that one says otherwise than the one before, or would have"""
    reached: Message = _NOTHING
    """What a new Modelfile that was not taken would have come to"""
    left_out: tuple[Message, ...] = ()
    """Why conversations, or rows of the training's own data, were not compared"""
    notes: tuple[Message, ...] = ()
    """What was done to the server for the proof"""
    skipped: tuple[tuple[str, int], ...] = ()
    """Conversations that were not compared, each with its tokens"""
    departs: tuple[str, ...] = ()
    """Arguments that were judged as somebody asked, not as the training recorded"""
    needed: int | None = None
    """The num_ctx by which they could be; None where none helps"""

    @property
    def guess(self) -> str:
        """The template where nobody knows with which one the model was trained; else empty."""
        return self.template if self.source == "guess" else ""

    @property
    def total(self) -> int:
        """How many conversations there are, compared or not."""
        return len(self.cases) + len(self.skipped)

    @property
    def same(self) -> int:
        """How many conversations are sent as they were trained."""
        return sum(case.ok for case in self.cases)


def read_proof(path: Path) -> ProofView:
    """Read a ``proof.json``; raises AppError where there is none, or it is something else."""
    try:
        with path.open("rb") as stream:
            value: object = parse_json(stream.read(_LIMIT_BYTES))
        return _proof(_table(value))
    except (OSError, ValueError, TypeError) as error:
        raise AppError(
            _("The proof cannot be read"),
            f"{path}: {error}",
            _("Prove the model again: `paddock verify NAME`."),
        ) from error


def _proof(value: Mapping[str, object]) -> ProofView:
    stops, bos, context = (_table(value.get(name)) for name in ("stops", "bos", "num_ctx"))
    if not isinstance(value.get("ok"), bool):
        raise TypeError("ok")
    return ProofView(
        model=str(value.get("model", "")),
        version=str(value.get("version", "")),
        template=str(value.get("template", "")),
        source=str(value.get("template_source", "")),
        ok=bool(value["ok"]),
        holds=bool(value.get("holds", value["ok"])),
        mendable=bool(value.get("mendable")),
        cases=tuple(_case(_table(one)) for one in _list(value.get("cases"))),
        bos=(
            str(bos.get("token") or ""), _whole(bos.get("expected")) or 0, _whole(bos.get("actual")) or 0,
            bool(bos.get("ok")),
        ),
        stops=(tuple(map(str, _list(stops.get("expected")))), tuple(map(str, _list(stops.get("missing"))))),
        num_ctx=(_whole(context.get("actual")), _whole(context.get("cutoff_len")), bool(context.get("ok"))),
        problems=tuple(
            (Message.from_json(_table(one).get("cause")), Message.from_json(_table(one).get("remedy")))
            for one in _list(value.get("problems"))
        ),
        mended=bool(value.get("mended")),
        changes=tuple(Message.from_json(one) for one in _list(value.get("changes"))),
        reached=reached(value.get("attempt")),
        left_out=tuple(Message.from_json(one) for one in _list(value.get("left_out"))),
        notes=tuple(Message.from_json(one) for one in _list(value.get("notes"))),
        skipped=tuple(
            (str(_table(one).get("name", "")), _whole(_table(one).get("tokens")) or 0)
            for one in _list(value.get("skipped"))
        ),
        departs=tuple(map(str, _list(value.get("departs")))),
        needed=_whole(value.get("needed")),
    )  # fmt: skip


def _case(value: Mapping[str, object]) -> CaseView:
    parting = value.get("first_difference")
    words = _table(value["words"]) if value.get("words") else value
    return CaseView(
        name=str(value.get("name", "")),
        ok=bool(value.get("ok")),
        grave=bool(value.get("grave", not value.get("ok"))),
        tokens=len(_list(value.get("expected_ids"))),
        expected=str(value.get("expected_text") or ""),
        actual=str(value.get("actual_text") or ""),
        character=_whole(_table(parting).get("character")) if parting else None,
        rows=tuple(_row(_table(one)) for one in _list(value.get("tokens"))),
        cause=Message.from_json(words.get("cause")),
        remedy=Message.from_json(words.get("remedy")),
    )


def _row(value: Mapping[str, object]) -> TokenRow:
    def token(side: object) -> tuple[int, str] | None:
        return (_whole(_table(side).get("id")) or 0, str(_table(side).get("text", ""))) if side else None

    at = _whole(value.get("at")) or 0
    return TokenRow(at, token(value.get("expected")), token(value.get("actual")), bool(value.get("first")))


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return cast("dict[str, object]", value)


def _list(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# -- in words ------------------------------------------------------------------------------------------------------


def praise(compared: int, total: int, departs: Sequence[str], guess: str = "") -> Message:
    """Return what a proof that has gone well says: of how many conversations, and by whose word.

    ``guess`` is the template where nobody knows with which one the model was trained.
    """
    if departs or guess:
        words = _(
            "Ollama sends exactly what was asked for, which is not as the training recorded: {names}.",
            names=", ".join(departs),
        )
        if guess:
            words = _(
                "Ollama sends exactly what the template {name} makes; that it is the training's is a guess.", name=guess
            )
        if compared == total:
            return words
        return _("{count} of {total} conversations compared. {words}", count=compared, total=total, words=words)
    if compared == total:
        return _("Ollama sends exactly what the model was trained on.")
    return _(
        "{count} of {total} conversations compared: in them Ollama sends what the model was trained on.",
        count=compared,
        total=total,
    )


def shortfall(
    wrong: int, count: int, problems: Sequence[tuple[Message, Message]], departs: Sequence[str], guess: str
) -> Message:
    """Return what a proof that has not gone well says: of how many conversations, else of what else is wrong.

    ``departs`` and ``guess`` as for ``praise``.
    """
    if not wrong and problems:
        return problems[0][0]
    return differing(wrong, count, departs, guess)


def in_brief(proof: object) -> tuple[Role, Message] | None:
    """Return how a job's result speaks of its proof; None where it has none that can be read."""
    match proof:
        case {"same": int(same), "cases": int(count), "ok": bool(is_ok), "holds": bool(holds)}:
            pass
        case _:
            return None
    found = cast("dict[str, object]", proof)
    departs = list(map(str, _list(found.get("departs"))))
    total = _whole(found.get("conversations"))
    words = _("{same} of {count} conversations are sent as they were trained", same=same, count=count)
    if departs:
        names = ", ".join(departs)
        words = _(
            "{same} of {count} conversations are sent as asked for, not as the training recorded: {names}",
            same=same,
            count=count,
            names=names,
        )
    guess = str(found.get("guess") or "")
    if guess:
        words = _(
            "{same} of {count} conversations are sent as the template {name} has them, which is a guess",
            same=same,
            count=count,
            name=guess,
        )
    if total is not None and total != count:
        words = _("{words}; {count} of {total} compared", words=words, count=count, total=total)
    return "failed" if not holds else "done" if is_ok and not departs and not guess else "warn", words


def reached(attempt: object) -> Message:
    """Return what a Modelfile that was not taken would have come to, from its proof in brief; empty for none."""
    match attempt:
        case {"same": int(same), "cases": int(count)}:
            pass
        case _:
            return _NOTHING
    found = cast("dict[str, object]", attempt)
    words = _("{same} of {count} conversations would then be sent as they were trained.", same=same, count=count)
    if found.get("departs"):
        words = _("{same} of {count} conversations would then be sent as asked for.", same=same, count=count)
    if found.get("guess"):
        words = _(
            "{same} of {count} conversations would then be sent as the template {name} has them, which is a guess.",
            same=same,
            count=count,
            name=str(found["guess"]),
        )
    cause = Message.from_json(found.get("cause"))
    return _("{why} {first}", why=words, first=cause) if cause else words


def mend_words(changes: Sequence[Message], *, takes: bool, reached: Message = _NOTHING) -> Message:
    """Return what a mend has done, or would have; ``changes`` as the new Modelfile has them."""
    listed = Message("; ".join(f"{{c{i}}}" for i in range(len(changes))), {f"c{i}": c for i, c in enumerate(changes)})
    if takes:
        return _("The Modelfile is new: {changes}.", changes=listed)
    words = _("The model is as it was: this would not have made it right: {changes}.", changes=listed)
    return _("{why} {first}", why=words, first=reached) if reached else words


def comparison_words(value: object) -> Message | None:
    """Return what a merge check has found of the tensors; None where the merge has not taken, or was not looked at."""
    found: Mapping[str, object] = _table(value) if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownArgumentType] - JSON
    changed = _whole(found.get("changed"))
    if not found.get("ok") or changed is None:
        return None
    if found.get("strayed"):  # a warning names these
        return _("{count} tensors differ from the base.", count=changed)
    return _("{count} tensors differ from the base: just those where the adapter acts.", count=changed)


def result_words(result: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield each name of a job's result with its value, proof and mend in words; warnings are told elsewhere."""
    for name, value in result.items():
        brief = in_brief(value) if name == "proof" else None
        if brief is not None:
            cause = Message.from_json(cast("dict[str, object]", value).get("cause"))
            yield name, f"{brief[1]}. {cause}" if cause else brief[1]
        elif name == "changes" and isinstance(value, list):
            changes = [Message.from_json(change) for change in cast("list[object]", value)]
            if changes:
                yield name, mend_words(changes, takes=bool(result.get("mended")))
        elif name == "comparison":
            words = comparison_words(value)
            if words is not None:  # else the error says what is wrong
                yield name, words
        elif name not in ("mended", "warnings"):  # the changes say whether it was mended
            yield name, value


# -- the mend -------------------------------------------------------------------------------------------------------


def has_proof(job: Job) -> bool:
    """Say whether the job has made a proof, whatever that came to."""
    return job.spec.kind in KINDS and job.status.is_ended and bool(job.state.result.get("proof"))


def may_mend(job: Job) -> bool:
    """Say whether a proof has failed in a way that another job may make right."""
    found = job.state.result.get("proof")
    if not has_proof(job) or not isinstance(found, dict) or cast("dict[str, object]", found).get("holds", True):
        return False
    if job.spec.kind == "prove":
        return not job.spec.params.get("mend")
    return job.status is Status.SUCCEEDED or any(job.spec.params.get(name) for name in _OWN)


def guess_of(job: Job) -> str:
    """Return the template that a job's proof went by where nobody knows it; else empty."""
    found = job.state.result.get("proof")
    return str(cast("dict[str, object]", found).get("guess") or "") if isinstance(found, dict) else ""


def mending(job: Job, proof: ProofView, paths: Paths, template: str = "") -> JobSpec:
    """Return the job that mends what ``job`` has found to differ; raises AppError for what no Modelfile can mend.

    A model that has its name gets another Modelfile; a deployment that was refused is made anew with what the training
    says of prompts, and the rest of what a person wrote. Reads the GGUF. ``template`` is that of the training where a
    person names it in the place of a guess; no Modelfile is then for the wrong one.
    """
    from backend.deploy.request import Deployment  # noqa: PLC0415 - not needed for the first frame
    from backend.export.modelfile import mended  # noqa: PLC0415
    from backend.export.prove import Request  # noqa: PLC0415

    workspace = Path(job.spec.workspace)
    if not proof.mendable and not template:
        first = next((case for case in proof.cases if case.grave), None)
        why, remedy = (first.cause, first.remedy) if first else proof.problems[0] if proof.problems else ("", "")
        raise AppError(_("A new Modelfile cannot mend this"), why, remedy)
    if job.spec.kind == "prove":
        asked = Request.read(job.spec.params)
        return dataclasses.replace(asked, template=template or asked.template, mend=True).spec(workspace=workspace)
    deployment = Deployment.read(job.spec.params)
    if job.status is Status.SUCCEEDED:
        host = str(job.state.result.get("host") or deployment.host)
        return Request(deployment.name, host=host, mend=True).spec(workspace=workspace)
    room = (proof.needed or 0) if not proof.cases else 0
    return mended(deployment, paths, room=room).spec(workspace=workspace)


def proving(model: str, host: str, template: str, workspace: Path) -> JobSpec:
    """Return the job that proves a model of a server; an empty ``template`` is the recorded one, else a guess."""
    from backend.export.prove import Request  # noqa: PLC0415 - not needed for the first frame

    return Request(model, host=host, template=template or None).spec(workspace=workspace)
