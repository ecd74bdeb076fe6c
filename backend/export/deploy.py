"""The ``deploy`` job: a GGUF becomes a model of an Ollama server, and has its name only when it is proven.

    python -P -m backend.export.deploy JOB_FOLDER

Params: see ``Deployment``. Result: ``model``, ``host``, ``bytes``, ``digest``; ``proof`` (``proving.summary``, null
where none was made) and ``unproven`` (an id of ``proving.UNPROVEN``, empty for a proven model). The job's folder gets
``proof.json``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from backend.deploy.leftover import token_of
from backend.deploy.request import Deployment
from backend.deploy.work import deploy
from backend.export import proving
from backend.export.origin import judged_by, own_rows_of_gguf
from backend.export.stoppable import run_stoppable
from backend.lf.find import LlamaFactory, find
from backend.ollama.client import Client
from backend.ollama.failure import ServerDiedError, UnreachableError
from backend.parity.asked import in_memory
from backend.parity.proof import Proof
from backend.parity.template import templates_for
from backend.parity.training import Training
from data.errors import AppError
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.library import Library
from data.jobs.report import Reporter, run_work
from data.paths import Paths
from data.settings import load_settings


def main(reporter: Reporter, folder: JobFolder) -> None:
    """Run the job; a SIGTERM undoes what was begun and ends it."""
    stopped = AppError(_("The deployment was stopped"), _("The server's models are as before."))
    run_stoppable(_work(reporter, folder), stopped)


async def _work(reporter: Reporter, folder: JobFolder) -> None:
    spec, paths = folder.read_spec(), Paths.default()
    deployment = Deployment.read(spec.params)
    folder.proof.unlink(missing_ok=True)  # of an attempt before this one
    settings = load_settings(paths.settings).values
    lf = await asyncio.to_thread(find, settings, paths, Path(spec.workspace))
    gate = ProofGate(deployment, folder, reporter, paths, lf)
    await deploy(deployment, paths, reporter, token=token_of(folder.id), gate=gate)


@dataclass(frozen=True, slots=True)
class ProofGate:
    """Lets a new model pass when it is sent what it was trained on, or when nobody can say what that was.

    In the latter case it takes nobody else's name, unless that was asked for.
    """

    deployment: Deployment
    folder: JobFolder
    reporter: Reporter
    paths: Paths
    lf: LlamaFactory | None

    async def __call__(self, client: Client, model: str) -> None:
        """Prove ``model``, a temporary name; raises AppError where the proof does not hold."""
        training = Training.read(self.deployment.training)
        if training is None or self.lf is None:
            why = proving.unprovable(has_training=training is not None, has_lf=self.lf is not None)
            if not self.deployment.unproven and await client.has(self.deployment.name):
                raise proving.unproven_replacement(self.deployment.name, why)
            self.reporter.result(proof=None, unproven=why)
            return
        try:
            found = await self._proof(client, model, training, self.lf)
        except (ServerDiedError, UnreachableError):
            raise  # a private server is started again, and the model made anew
        except AppError as error:
            if not self.deployment.unproven:
                raise _impossible(error, self.deployment.name) from error
            self.reporter.result(proof=None, unproven="impossible")
            return
        proving.write_proof(self.folder, found)
        sys.stdout.writelines(f"{line}\n" for line in proving.report(found))
        is_forced = not found.holds and self.deployment.unproven
        self.reporter.result(proof=proving.summary(found), unproven="failed" if is_forced else "")
        if not found.holds and not is_forced:
            raise proving.refusal(found, self._remedy(found))

    async def _proof(self, client: Client, model: str, training: Training, lf: LlamaFactory) -> Proof:
        name, reporter = self.deployment.name, self.reporter
        library, gguf = Library(self.paths.jobs), Path(self.deployment.gguf)
        trained = await asyncio.to_thread(judged_by, library, gguf, training)
        reporter.stage("proof", proving.stage_of(name, trained))

        def on_case(done: int, total: int, _name: str) -> None:
            reporter.progress(done, total, "conversations")

        own = await asyncio.to_thread(own_rows_of_gguf, library, gguf)
        known = templates_for(lf, self.paths)
        prover = proving.Prover(client, lf, known, self.paths, own=own, on_case=on_case)
        async with in_memory(client, model):
            found = await prover.prove(model, trained)
        return dataclasses.replace(found, model=name)

    def _remedy(self, found: Proof) -> Message:
        asked = self.deployment
        if asked.edited or asked.template or asked.modelfile or asked.system or asked.parameters:
            remedy = _("Leave your own template or Modelfile out: Paddock then writes what the training says.")
        else:
            remedy = _(
                "Paddock wrote the Modelfile from the training; this version of Ollama makes something else of it."
            )
        return _(
            "{remedy} `paddock jobs log {job}` shows both prompts. A former model has kept the name; --unproven "
            "publishes the new one all the same.",
            remedy=proving.remedy_of(found, remedy),
            job=self.folder.id,
        )


def _impossible(error: AppError, model: str) -> AppError:
    return AppError(
        _("{model} could not be proven", model=model),
        _("{title}. {detail}", title=error.title, detail=error.detail),
        _(
            "{hint} A former model has kept the name; --unproven publishes the new one without a proof.",
            hint=error.hint,
        ),
    )


if __name__ == "__main__":
    job = JobFolder(Path(sys.argv[1]))
    sys.exit(run_work(lambda reporter: main(reporter, job)))
