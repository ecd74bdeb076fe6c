"""The proof: every conversation as it was trained against as it is sent, with stops, BOS and context length."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.lf.find import LlamaFactory
from backend.lf.tokenizer import TRAIN_AGAIN, miscut_words
from backend.ollama.client import Client
from backend.ollama.modelfile import Modelfile
from backend.parity import asked, parting, room
from backend.parity.asked import Sent, Served
from backend.parity.cases import COUNTED, Case
from backend.parity.cause import explained
from backend.parity.compare import Verdict, part
from backend.parity.evidence import MEND, OTHER_TEMPLATE
from backend.parity.expected import Expected, expect
from backend.parity.predict import forecast
from backend.parity.room import Skipped, fits
from backend.parity.tokenizer import Runner
from backend.parity.training import Trained
from data.i18n import Message, _
from data.paths import Paths

OnCase = Callable[[int, int, str], None]
"""How many conversations of how many have been asked, and the name of the next one; empty for none"""
RENEWED: Final = _(
    "The server held these weights in memory as another model had started them, without Jinja: until they are "
    "unloaded, Ollama sends this one ChatML, whatever its own template is. They were unloaded for this proof; a "
    "TEMPLATE in force avoids it."
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found out about one model."""

    model: str
    trained: Trained
    expected: Expected
    served: Served
    verdicts: tuple[Verdict, ...]
    runner: Runner
    offline: bool = False
    left_out: tuple[Message, ...] = ()
    """Why rows of the training's own data are not among the conversations"""
    skipped: tuple[Skipped, ...] = ()
    """Conversations that the server would cut off: they were not compared"""
    notes: tuple[Message, ...] = ()
    """What was done to the server for this proof, and what follows from that"""

    @property
    def ok(self) -> bool:
        """Whether the model is sent exactly what it was trained on, stops where it has to, and has the room.

        Where nothing was compared, nothing is proven.
        """
        is_same = bool(self.verdicts) and all(verdict.ok for verdict in self.verdicts)
        return is_same and not self.missing_stops and self.context_is_enough and not self.trained.miscut

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the model: what differs, if anything, is beyond every Modelfile and GGUF."""
        is_grave = any(verdict.is_grave for verdict in self.verdicts)
        return bool(self.verdicts) and not is_grave and not self.missing_stops and not self.context_can_grow

    @property
    def total(self) -> int:
        """How many conversations there are, compared or not."""
        return len(self.verdicts) + len(self.skipped)

    @property
    def needed(self) -> int | None:
        """The num_ctx by which those that were not compared could be; None where no num_ctx helps."""
        return room.needed(self.skipped, self.trained.cutoff_len, self.served.context, self.served.limit)

    def all_left_out(self) -> tuple[Message, ...]:
        """Return why rows of the training's own data, and conversations that are too long, were not compared."""
        return (*((room.why(self.skipped, self.needed),) if self.skipped else ()), *self.left_out)

    @property
    def missing_stops(self) -> tuple[str, ...]:
        """The ends of an answer at which the server does not stop."""
        ends = self.runner.vocabulary.ends_generation() | set(self.served.stops)
        if not self.expected.unknown:  # then the model cannot write what its vocabulary lacks
            ends |= set(self.expected.added)
        return tuple(stop for stop in self.expected.stops if stop not in ends)

    @property
    def context_is_enough(self) -> bool:
        """Whether the server is known to keep as much of a conversation as the training did."""
        wanted, given = self.trained.cutoff_len, self.served.context
        return not wanted or (given is not None and given >= wanted)

    @property
    def context_can_grow(self) -> bool:
        """Whether the server does not keep as much as the training did, and would keep more by a num_ctx."""
        given, limit = self.served.context, self.served.limit
        return not self.context_is_enough and (given is None or limit is None or given < limit)

    @property
    def can_be_mended(self) -> bool:
        """Whether a new Modelfile mends something of what differs, and is not for another template than the model's."""
        if self.expected.unknown:
            return False
        causes = [verdict.cause for verdict in self.verdicts if verdict.cause is not None]
        if any(cause.mends for cause in causes) or self.missing_stops or self.context_can_grow:
            return True
        return not self.verdicts and self.needed is not None

    def bos(self) -> dict[str, object]:
        """Return how many BOS tokens begin the first conversation: trained and sent."""
        bos = self.runner.vocabulary.bos
        asked_ones = [
            verdict for verdict in self.verdicts if verdict.actual.error is None and not verdict.expected.error
        ]
        trained = sent = 0
        if asked_ones:
            trained, sent = (_leading(ids, bos) for ids in (asked_ones[0].expected.ids, asked_ones[0].actual.ids))
        token = self.runner.vocabulary.text(bos)
        return {"token": token, "expected": trained, "actual": sent, "ok": bool(self.verdicts) and trained == sent}

    def problems(self) -> list[tuple[Message, Message]]:
        """Return what is wrong besides the prompts, each with its remedy."""
        found: list[tuple[Message, Message]] = []
        mend = OTHER_TEMPLATE if self.expected.unknown else MEND
        if not self.verdicts:
            shorter = _("Prove it by shorter conversations of your own: --cases FILE.")
            why = _("Not proven: none of {count} conversations was compared.", count=self.total)
            found.append((why, mend if self.needed else shorter))
        if self.missing_stops:
            names, others = ", ".join(self.missing_stops), len(self.missing_stops) < len(self.expected.stops)
            why = _("The server does not stop at {stops}, so answers do not end.", stops=names)
            if others:
                why = _("The server does not stop at {stops}, so an answer may go on there.", stops=names)
            found.append((why, mend))
        if not self.context_is_enough:
            found.append(room.lacking(self.trained.cutoff_len, self.served.context, self.served.limit, mend))
        if self.trained.miscut:
            found.append((miscut_words(self.trained.miscut), TRAIN_AGAIN))
        return found

    def as_json(self) -> dict[str, object]:
        """Return the object of ``paddock verify``."""
        cutoff, context = self.trained.cutoff_len or None, self.served.context
        return {
            "ok": self.ok,
            "holds": self.holds,
            "model": self.model,
            "version": self.served.version,
            "offline": self.offline,
            "template": self.trained.template,
            "template_source": self.trained.source,
            "departs": list(self.trained.departs),
            "default_system": self.expected.default_system,
            "thinking": self.trained.enable_thinking,
            "llamafactory": self.expected.llamafactory,
            "server_template": self.served.template,
            "conversations": self.total,
            "cases": [{**one.as_json(), "tokens": _tokens(one, self.runner)} for one in self.verdicts],
            "skipped": [one.as_json() for one in self.skipped],
            "needed": self.needed,
            "stops": {
                "expected": list(self.expected.stops),
                "actual": list(self.served.stops),
                "missing": list(self.missing_stops),
                "ok": not self.missing_stops,
            },
            "bos": self.bos(),
            "num_ctx": {"actual": context, "cutoff_len": cutoff, "ok": self.context_is_enough},
            "problems": [{"cause": why.as_json(), "remedy": mend.as_json()} for why, mend in self.problems()],
            "mendable": self.can_be_mended,
            "left_out": [why.as_json() for why in self.all_left_out()],
            "notes": [note.as_json() for note in self.notes],
        }


async def prove(
    client: Client,
    model: str,
    trained: Trained,
    cases: Sequence[Case],
    lf: LlamaFactory,
    paths: Paths,
    *,
    on_case: OnCase = lambda done, total, name: None,
) -> Proof:
    """Ask LLaMA-Factory and the server for every conversation and compare; raises AppError.

    Conversations that are longer than the model's context are left out, and said to be. Tokens are counted by the
    server in a few of them only, since that is work for the model: what a tokenizer or a BOS does wrong shows in
    those, or in none.
    """
    import asyncio  # noqa: PLC0415 - the offline proof needs none

    runner, served = await asked.runner_of(client, model)
    expected = await asyncio.to_thread(expect, lf, paths, trained, cases, runner)
    notes = (RENEWED,) if await asked.renew(client, model, served, cases, runner) else ()
    asked_cases: list[Case] = []
    sent: list[Sent] = []
    skipped: list[Skipped] = []
    held: int | None = None
    for done, case in enumerate(cases):
        on_case(done, len(cases), case.name)
        size = len(expected.prompts[case.name].ids)
        if fits(size, served.context):
            counts = not sent or case.name in COUNTED
            actual = await asked.send(client, model, case, runner, counts=counts)
            if held is None:
                held = await asked.context_of(client, model, served.weights)
                served = asked.with_context(served, held)
            if fits(size, served.context):
                asked_cases.append(case)
                sent.append(actual)
                continue
        skipped.append(Skipped(case.name, size, served.context or 0))
    on_case(len(cases), len(cases), "")
    found = judge(model, trained, expected, served, runner, asked_cases, sent, skipped)
    return dataclasses.replace(found, notes=notes)


def foretell(
    gguf: Path,
    modelfile: Modelfile,
    version: str,
    trained: Trained,
    cases: Sequence[Case],
    lf: LlamaFactory,
    paths: Paths,
) -> Proof:
    """Return the proof of a model that no server has yet, as an Ollama of ``version`` will have it; raises AppError."""
    coming = forecast(gguf, modelfile, version)
    expected = expect(lf, paths, trained, cases, coming.runner)
    sizes = {case.name: len(expected.prompts[case.name].ids) for case in cases}
    whole = [case for case in cases if fits(sizes[case.name], coming.kept)]
    skipped = [Skipped(name, size, coming.kept) for name, size in sizes.items() if not fits(size, coming.kept)]
    sent = [coming.send(case) for case in whole]
    return judge(gguf.name, trained, expected, coming.served, coming.runner, whole, sent, skipped, offline=True)


def judge(
    model: str,
    trained: Trained,
    expected: Expected,
    served: Served,
    runner: Runner,
    cases: Sequence[Case],
    sent: Sequence[Sent],
    skipped: Sequence[Skipped] = (),
    *,
    offline: bool = False,
) -> Proof:
    """Return the proof of what was trained and what is sent; ``skipped`` was not asked for."""
    verdicts: list[Verdict] = []
    for case, actual in zip(cases, sent, strict=True):
        prompt = expected.prompts[case.name]
        verdict = Verdict(case, prompt, actual, part(prompt, actual))
        verdicts.append(explained(verdict, expected, served, runner))
    return Proof(model, trained, expected, served, tuple(verdicts), runner, offline, skipped=tuple(skipped))


def _tokens(verdict: Verdict, runner: Runner) -> list[dict[str, object]]:
    return [row.as_json() for row in parting.rows(verdict, runner)]


def _leading(ids: Sequence[int], token: int | None) -> int:
    return sum(1 for _one in itertools.takewhile(lambda number: number == token, ids))
