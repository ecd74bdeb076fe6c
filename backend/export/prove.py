"""The ``prove`` job: whether Ollama sends a model that it has what it was trained on, and the mend.

    python -P -m backend.export.prove JOB_FOLDER

Params: see ``Request``. Result: ``model``, ``host``, ``proof`` (``proving.summary``), ``mended`` and
``changes`` (what the new Modelfile says otherwise: messages as JSON). The job's folder
gets ``proof.json``. The job fails where the model, as it is at the end, is not sent what it was trained on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from backend.deploy.server import ensure_server
from backend.export import proving
from backend.export.origin import own_rows_of
from backend.export.proving import Said
from backend.export.stoppable import run_stoppable
from backend.ollama.address import parse_address
from backend.ollama.client import Client
from backend.ollama.name import parse_name
from backend.parity.cases import read_cases
from backend.parity.evidence import MEND
from backend.parity.mend import Outcome
from data.errors import AppError, RequestError
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.library import Library
from data.jobs.report import Reporter, run_work
from data.jobs.spec import Chain, JobSpec
from data.paths import Paths
from data.settings import load_settings

KIND: Final = "prove"
_RENAME: Final = _("A new Modelfile does not make it right. If the model was trained with another template, name that.")


@dataclass(frozen=True, slots=True)
class Request:
    """A model that a server has, and what is said of its training. Fields are the params of a ``prove`` job."""

    model: str
    host: str = ""
    """Server, as in OLLAMA_HOST; empty looks for one"""
    private: bool = False
    """Only Paddock's own server will do"""
    template: str | None = None
    """LLaMA-Factory's name; None: as the training recorded it, else a guess. So with the next ones"""
    system: str | None = None
    thinking: bool | None = None
    cutoff_len: int | None = None
    cases: str = ""
    """A file of conversations besides the built-in ones"""
    mend: bool = False
    """Write a Modelfile that is right, prove that, and put it in place of the old one"""

    @property
    def said(self) -> Said:
        """What is said of the training."""
        return Said(self.template, self.system, self.thinking, self.cutoff_len)

    def check(self) -> None:
        """Raise RequestError for what is wrong before a server is asked."""
        parse_name(self.model)
        if self.host:
            parse_address(self.host)

    def spec(self, *, workspace: Path, after: tuple[str, ...] = (), chain: Chain | None = None) -> JobSpec:
        """Return the job; raises RequestError where the request is wrong."""
        self.check()
        values = dataclasses.asdict(self)
        params = {
            name: value
            for name, value in values.items()
            if value is not None and not (name in ("host", "cases") and not value)
        }
        return JobSpec.new(KIND, self.model, workspace=str(workspace), params=params, after=after, chain=chain)

    @classmethod
    def read(cls, params: Mapping[str, object]) -> Request:
        """Read a job's params; raises RequestError for unknown ones, wrong types and wrong values."""
        kinds: dict[str, type] = {"private": bool, "thinking": bool, "mend": bool, "cutoff_len": int}
        known = {field.name for field in dataclasses.fields(cls)}
        for name, value in params.items():
            if name not in known or not isinstance(value, kinds.get(name, str)):
                raise _wrong(name, value)
        if not params.get("model"):
            raise _wrong("model", params.get("model"))
        made = cls(**cast("dict[str, Any]", dict(params)))
        made.check()
        return made


def _wrong(name: str, value: object) -> RequestError:
    known = ", ".join(field.name for field in dataclasses.fields(Request))
    return RequestError(
        _("The proof's {name} has a wrong value", name=name), repr(value), _("Known are {names}.", names=known)
    )


def main(reporter: Reporter, folder: JobFolder) -> None:
    """Run the job; a SIGTERM undoes what was begun and ends it."""
    stopped = AppError(_("The proof was stopped"), _("The server's models are as before."))
    run_stoppable(_work(reporter, folder), stopped)


async def _work(reporter: Reporter, folder: JobFolder) -> None:
    spec, paths = folder.read_spec(), Paths.default()
    request, workspace = Request.read(spec.params), Path(spec.workspace)
    folder.proof.unlink(missing_ok=True)  # of an attempt before this one
    extra = read_cases(workspace / request.cases) if request.cases else ()
    settings = load_settings(paths.settings).values
    reporter.stage("server", _("Looking for an Ollama server"))
    lf, known = await asyncio.to_thread(proving.installed, settings, paths, workspace)
    server = await ensure_server(paths, settings, want_private=request.private, host=request.host)

    def on_case(done: int, total: int, _name: str) -> None:
        reporter.progress(done, total, "conversations")

    async with Client(server.host) as client:
        library = Library(paths.jobs)
        behind = await proving.behind(client, library, paths, request.model, server.host)
        own = await asyncio.to_thread(own_rows_of, library, behind.deployment)
        prover = proving.Prover(client, lf, known, paths, extra, own, on_case)
        trained = await prover.trained(request.model, behind.trained, request.said)
        reporter.stage("proof", proving.stage_of(request.model, trained))
        outcome = Outcome(await prover.prove(request.model, trained), takes=False, changes=())
        if request.mend and not outcome.proof.ok:
            reporter.stage("mend", _("Writing the Modelfile anew, and proving it"))
            outcome = await prover.mend(outcome.proof)
    found, mended = outcome.proof, outcome.takes
    changes = [change.as_json() for change in outcome.changes]
    attempt = proving.summary(outcome.attempt) if outcome.attempt is not None else None
    proving.write_proof(folder, found, mended=mended, changes=changes, attempt=attempt)
    sys.stdout.writelines(f"{line}\n" for line in proving.report(found))
    reporter.result(model=request.model, host=server.host, proof=proving.summary(found), mended=mended, changes=changes)
    if not found.holds:
        remedy = _RENAME if request.mend else name_it(trained.guess) if trained.guess else MEND
        raise proving.refusal(found, proving.remedy_of(outcome.attempt or found, remedy))


def name_it(guess: str) -> Message:
    """Return the remedy for a model whose template is a guess."""
    return _(
        "The template {name} is a guess. Name the one that the model was trained with: --template T. Or mend it for "
        "this one: --mend --yes.",
        name=guess,
    )


if __name__ == "__main__":
    job = JobFolder(Path(sys.argv[1]))
    sys.exit(run_work(lambda reporter: main(reporter, job)))
