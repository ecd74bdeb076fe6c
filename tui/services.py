"""The composition root: the one object that screens and commands ask, and the only place that chooses what answers.

Cheap to import: whatever is heavy (httpx, NVML, LLaMA-Factory's look-up) is imported inside the call that needs it,
which a screen makes in a thread after its first frame.
"""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from data import i18n
from data.errors import AppError, RequestError, system_failure
from data.files import tail_bytes, write_atomic
from data.i18n import Message, _
from data.jobs.folder import JobFolder, Manner
from data.jobs.library import Job, Library
from data.jobs.pace import Pace, read_pace
from data.jobs.spec import JobSpec, now
from data.jobs.status import Status
from data.paths import Paths
from data.settings import Settings, load_settings
from tui import chatting
from tui.chatting import ModelOffer, OllamaState
from tui.machine import Machine, MachineReader
from tui.wording import amount

if TYPE_CHECKING:
    from backend.chat.engine import ChatEngine
    from backend.export.plan import ExportPlan
    from backend.export.source import Run
    from backend.setup.sizes import Forecast
    from tui.exporting import Prospect
    from tui.inspecting import Inspection
    from tui.proving import ProofView

_LOG_BYTES: Final = 1 << 20


class Snapshot(NamedTuple):
    """What a view shows of one moment."""

    moment: datetime
    jobs: tuple[Job, ...] = ()
    machine: Machine | None = None
    """None until it was first asked for"""
    ollama: OllamaState | None = None
    paces: Mapping[str, Pace] = MappingProxyType({})
    """How fast each running job goes, by id"""


class StopConsequences(NamedTuple):
    """What is said before a stop."""

    standing: Message
    graceful: Message
    now: Message


def stop_consequences(job: Job) -> StopConsequences:
    """Return what a stop of ``job`` means, from what lies on the disk now."""
    from backend import pipeline  # noqa: PLC0415 - only before a stop

    progress = job.state.progress
    standing = _("It has not started yet.") if job.state.started_at is None else _("It is at work.")
    if progress is not None:
        standing = _("So far: {amount}.", amount=amount(progress.done, progress.total, progress.unit))
    if job.status is Status.WAITING:
        text = _("It never starts; jobs that wait for it fail, and can be resumed with it.")
        return StopConsequences(standing, text, text)
    if job.spec.kind != "train":
        hard = _("It is killed at once; what it has not finished is lost.")
        return StopConsequences(standing, pipeline.stop_consequence(job), hard)
    from backend.train import checkpoint, stopping  # noqa: PLC0415 - only before a stop

    found = checkpoint.inspect(stopping.output_dir_of(job.spec))
    last = found.last_checkpoint
    lost = max(0, found.last_step - (last or 0))
    if last is None:
        hard = _("It is killed at once. A resume starts again from step 0 ({lost} steps).", lost=lost)
    else:
        hard = _(
            "It is killed at once. A resume goes on from checkpoint-{step} and trains {lost} steps again.",
            step=last,
            lost=lost,
        )
    return StopConsequences(standing, pipeline.stop_consequence(job), hard)


@dataclass
class Services:
    """What the two faces of Paddock call. ``clock``, ``machine`` and ``ollama`` can be given by whoever composes."""

    paths: Paths
    settings: Settings
    workspace: Path
    environ: Mapping[str, str]
    clock: Callable[[], datetime] = now
    timezone: tzinfo | None = None
    """Of the clock that is shown; None is the machine's own"""
    machine: Callable[[], Machine] = Machine
    ollama: Callable[[], OllamaState] = lambda: OllamaState(is_up=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.library = Library(self.paths.jobs, clock=lambda: self.clock().timestamp())

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def is_remote(self) -> bool:
        """The frugal profile is wanted: by the setting, or because this is an SSH session."""
        if self.settings.remote == "auto":
            return bool(self.environ.get("SSH_CONNECTION"))
        return self.settings.remote == "on"

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs, oldest first; may be called from any thread."""
        with self._lock:
            return tuple(self.library.list())

    def job(self, job_id: str) -> Job:
        """Return one job by its id or the only part of it; raises RequestError."""
        with self._lock:
            return self.library.get(job_id)

    def job_folder(self, job_id: str) -> JobFolder:
        """Return the folder of a job that may be unreadable, by its id or the only part of it; raises RequestError."""
        with self._lock:
            return self.library.folder(job_id)

    def look(self, *, meters: bool = True, server: bool = True) -> Snapshot:
        """Return the state of everything now; blocks for some milliseconds, longer where Ollama is asked."""
        jobs = self.jobs()
        running = [job for job in jobs if job.status is Status.RUNNING and job.state.progress is not None]
        paces = {job.id: pace for job in running if (pace := read_pace(job.folder)) is not None}
        return Snapshot(
            self.clock(), jobs, self.machine() if meters else None, self.ollama() if server else None, paces
        )

    # -- jobs -----------------------------------------------------------------------------------------------------

    def adopt(self) -> list[str]:
        """Take over jobs whose supervisor died; return their ids."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        if not self.paths.jobs.is_dir():
            return []
        launch.clean_unpublished(self.paths.jobs)
        library = Library(self.paths.jobs)
        return launch.adopt(library, keep=self.settings.environment_keep, environ=self.environ)

    def stop(self, job: Job, manner: Manner) -> None:
        """Ask ``job`` to stop; raises RequestError when it has ended."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        launch.request_stop(job, manner)

    def stop_consequences(self, job: Job) -> StopConsequences:
        """Say how far ``job`` is, and what each manner of stopping it means."""
        return stop_consequences(job)

    def resume_consequence(self, job: Job) -> Message:
        """Say from where ``job`` would go on, and what is done again."""
        from backend import pipeline  # noqa: PLC0415 - only before a resume

        return pipeline.resume_consequence(job)

    def resume(self, job: Job) -> list[str]:
        """Run ``job`` again in its own folder; return the ids that were started. Raises RequestError."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        with self._lock:
            return launch.resume(self.library, job.id, keep=self.settings.environment_keep, environ=self.environ)

    def pipeline(self, word: str) -> list[Job]:
        """Return the jobs of the pipeline with the id ``word``, or the only one that has it as a part; none is []."""
        chains: dict[str, list[Job]] = {}
        for job in self.jobs():
            if job.spec.chain is not None:
                chains.setdefault(job.spec.chain.id, []).append(job)
        found = [word] if word in chains else [name for name in chains if word in name]
        return chains[found[0]] if len(found) == 1 else []

    def removal_consequence(self, jobs: Sequence[Job], *, with_artifacts: bool) -> Message:
        """Say what a removal deletes and what stays."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        with self._lock:
            return launch.removal_consequence(jobs, self.library, with_artifacts=with_artifacts)

    def remove(self, jobs: Sequence[Job], *, with_artifacts: bool) -> int:
        """Remove ``jobs``; return the bytes freed. Raises AppError."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        return launch.remove(jobs, with_artifacts=with_artifacts)

    def remove_unreadable(self, folder: JobFolder) -> int:
        """Remove the folder of a job that cannot be read; return the bytes freed. Raises AppError."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        return launch.remove_unreadable(folder)

    def launch(self, specs: Sequence[JobSpec]) -> list[str]:
        """Lay down and start jobs; return their ids. Raises AppError."""
        from backend.jobs import launch  # noqa: PLC0415 - not needed for the first frame

        return launch.launch(self.paths.jobs, specs, keep=self.settings.environment_keep, environ=self.environ)

    # -- the demo -------------------------------------------------------------------------------------------------

    def demo_forecast(self) -> Forecast:
        """Say what the demo would have to install, in bytes and minutes."""
        from backend.setup import sizes  # noqa: PLC0415 - only before the demo

        return sizes.forecast(self.paths, self.settings, environ=self.environ)

    def start_demo(self) -> list[str]:
        """Lay down a fresh demo, its set-up being one of its jobs; return the ids in order."""
        from backend import pipeline  # noqa: PLC0415 - only for the demo

        return pipeline.start_demo(self.paths, self.settings, self.workspace, self.environ)

    def running_demo(self) -> str | None:
        """Return the chain id of the newest demo that is alive."""
        from backend import pipeline  # noqa: PLC0415 - only for the demo

        with self._lock:
            return pipeline.running_demo(self.library)

    # -- export ---------------------------------------------------------------------------------------------------

    def export_runs(self) -> list[Run]:
        """Return the runs that left weights, newest first."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        return exporting.runs(self.workspace, self.jobs())

    def export_draft(self, path: Path) -> ExportPlan:
        """Return what a person most likely wants of the weights at ``path``; raises RequestError."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        return exporting.plan(exporting.source((self.workspace / path.expanduser()).absolute()), self.workspace)

    async def export_prospect(self, plan: ExportPlan) -> Prospect:
        """Say what ``plan`` would do and take; raises AppError for what makes it impossible."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        place = await exporting.taken(self.paths, self.settings, self.environ, plan)
        stored = await exporting.storage(self.paths, self.settings, self.environ, plan)
        return await asyncio.to_thread(
            exporting.look_ahead, self.paths, self.settings, self.environ, plan, stored, replaces=bool(place)
        )

    def export_modelfile(self, plan: ExportPlan) -> str:
        """Return the Modelfile that the deployment of ``plan`` would write of itself; raises AppError."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        return exporting.modelfile(self.paths, self.settings, plan)

    def modelfile_problem(self, text: str, gguf: str) -> AppError | None:
        """Return what is wrong with the Modelfile that goes with ``gguf``, with line and column; None: nothing is."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        return exporting.modelfile_problem(text, gguf)

    def modelfile_caution(self, text: str) -> Message | None:
        """Return what is odd about a Modelfile in which nothing is wrong; None where nothing is."""
        from tui import exporting  # noqa: PLC0415 - not needed for the first frame

        return exporting.modelfile_caution(text)

    # -- GGUF -----------------------------------------------------------------------------------------------------

    def inspect_gguf(self, path: str) -> Inspection:
        """Read the header of a GGUF, relative to the workspace, and check it; raises AppError."""
        from tui import inspecting  # noqa: PLC0415 - not needed for the first frame

        return inspecting.inspect((self.workspace / Path(path).expanduser()).absolute())

    def gguf_value(self, seen: Inspection, name: str) -> list[str]:
        """Return all of one key as lines; raises AppError where the file is gone."""
        from tui import inspecting  # noqa: PLC0415 - not needed for the first frame

        return inspecting.whole_value(seen.header, name)

    # -- proofs ---------------------------------------------------------------------------------------------------

    def proof(self, job: Job) -> ProofView:
        """Return what ``job`` has proven; raises AppError."""
        from tui import proving  # noqa: PLC0415 - not needed for the first frame

        return proving.read_proof(job.folder.proof)

    def mending(self, job: Job, template: str = "") -> JobSpec:
        """Return the job that makes right what ``job`` has found to differ, as ``proving.mending``; raises AppError."""
        from tui import proving  # noqa: PLC0415 - not needed for the first frame

        return proving.mending(job, self.proof(job), self.paths, template)

    def proving(self, offer: ModelOffer, template: str) -> JobSpec:
        """Return the job that proves a model of a server; raises RequestError."""
        from tui import proving  # noqa: PLC0415 - not needed for the first frame

        return proving.proving(offer.name, offer.host, template, self.workspace)

    # -- Ollama ---------------------------------------------------------------------------------------------------

    async def model_offers(self) -> list[ModelOffer]:
        """Return the models of a person's own server and of the private one, where they run now."""
        return await chatting.model_offers(self.paths, self.settings, self.environ)

    async def gguf_of(self, offer: ModelOffer) -> Path:
        """Return the GGUF of a model that a server has; raises AppError where it cannot be read here."""
        return await chatting.gguf_of(offer)

    def chat_engine(self, host: str) -> ChatEngine:
        """Return the engine that talks with the models of ``host``; the private server is started if it must."""
        return chatting.engine(self.paths, self.settings, self.environ, host)

    # -- what goes wrong, and what is copied ----------------------------------------------------------------------

    def surprise(self, error: BaseException) -> AppError:
        """Write the traceback of an exception that nobody expected to the log; return what a person is told.

        What the system refused for want of room or permission is no defect, and is told as what it is.
        """
        path = self.paths.logs / "app.log"
        text = "".join(traceback.format_exception(error))
        hint: Message | str
        try:
            old = tail_bytes(path, _LOG_BYTES).decode("utf-8", "replace")
            write_atomic(path, f"{old}{self.clock().isoformat()}\n{text}\n")
            hint = _("The details are in {file}. This is a defect of Paddock, worth reporting.", file=str(path))
        except OSError:
            hint = _("The details could not be written to {file}.", file=str(path))
        return system_failure(error) or AppError(
            _("Something unexpected went wrong"), f"{type(error).__name__}: {error}", hint
        )

    def write_copy(self, name: str, text: str) -> Path:
        """Write what was copied to a file, for terminals that drop the clipboard's sequence; return its path."""
        path = self.paths.cache / "copied" / f"{name}.txt"
        try:
            write_atomic(path, text)
        except OSError as error:
            raise AppError(_("The copy cannot be written"), str(error), _("Check the free space.")) from error
        return path


def build_services(
    workspace: Path | None = None,
    *,
    paths: Paths | None = None,
    language: str = "",
    environ: Mapping[str, str] = os.environ,
    settings: Settings | None = None,
) -> Services:
    """Read the settings (where none are given), choose the language, and put everything together.

    ``language`` (of ``--lang``) goes before the setting, the setting before the locale. Raises RequestError for
    settings that cannot be used and for a workspace that is no directory.
    """
    paths = paths or Paths.default(environ)
    i18n.activate(language or i18n.language_from_environment(environ))  # for an error in the settings themselves
    settings = settings or load_settings(paths.settings, environ).values
    i18n.activate(language or settings.language or i18n.language_from_environment(environ))
    folder = (workspace or Path.cwd()).absolute()
    if not folder.is_dir():
        raise RequestError(_("The workspace is not a directory"), str(folder), _("Make it, or start in another one."))
    return Services(
        paths=paths,
        settings=settings,
        workspace=folder,
        environ=environ,
        machine=MachineReader(folder).read,
        ollama=lambda: chatting.ollama_state(paths, settings, environ),
    )
