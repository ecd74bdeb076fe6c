"""What the Export screen and its command ask: what can be exported, what it will take, and its start."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.errors import AppError, RequestError
from data.i18n import Message, _
from data.jobs.library import Job
from data.jobs.spec import JobSpec
from data.paths import Paths
from data.settings import Settings

if TYPE_CHECKING:
    from backend.deploy.storage import Storage
    from backend.export.forecast import FileSystem
    from backend.export.plan import ExportPlan
    from backend.export.source import Run, Source
    from backend.parity.template import Slots


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an export would do: its jobs, the room it takes, and what stands against it."""

    specs: tuple[JobSpec, ...]
    disks: tuple[FileSystem, ...]
    replaces: bool
    """A model of that name is there already"""
    warnings: tuple[Message, ...]
    """What speaks against it, and what the GGUF will be unlike others in"""

    unseen: str = ""
    """The server whose disk cannot be looked at; empty where there is none"""
    plan: ExportPlan | None = None
    """What was asked for, with its merge where it can be (``backend.export.settle``)"""
    unprovable: str = ""
    """Why the deployment cannot be proven, an id of ``backend.export.proving.UNPROVEN``; empty where it can"""
    unserved: AppError | None = None
    """Why there is no server for the deployment, and no program to run one; None where there is"""

    @property
    def pushes_to(self) -> str:
        """The repository on a hub that the model goes to; empty where it stays here."""
        merge = self.plan.merge if self.plan is not None else None
        return merge.export_hub_model_id if merge is not None else ""

    def check(self) -> None:
        """Raise RequestError where nothing is started, from the app or from a terminal.

        That is where a model would have no server, or lose its name to one that nobody can prove, and where a disk
        is too small.
        """
        from backend.export.proving import unproven_replacement  # noqa: PLC0415 - not needed for the first frame

        if self.unserved is not None:
            raise RequestError(self.unserved.title, self.unserved.detail, self.unserved.hint)
        asked = self.plan.deployment if self.plan is not None else None
        if asked is not None and self.replaces and self.unprovable and not asked.unproven:
            raise unproven_replacement(asked.name, self.unprovable)
        short = [disk.shortage for disk in self.disks if not disk.has_room]
        if short:
            raise RequestError(
                _("Too little free disk space for this model"),
                short[0],
                _("Free some space, choose a smaller type, or write to a folder on another disk."),
            )


def runs(workspace: Path, jobs: Iterable[Job]) -> list[Run]:
    """Return the runs with weights: below saves/, and where jobs have written them; newest first."""
    from backend.export.source import find_runs  # noqa: PLC0415 - not needed for the first frame

    trained = [str(job.spec.params.get("output_dir") or "") for job in jobs if job.spec.kind == "train"]
    return find_runs(workspace, [Path(text) for text in trained if text])


def source(path: Path) -> Source:
    """Recognise what lies at ``path``; raises RequestError."""
    from backend.export.source import read_source  # noqa: PLC0415

    return read_source(path)


def plan(chosen: Source, workspace: Path) -> ExportPlan:
    """Return what a person most likely wants of ``chosen``."""
    from backend.export.plan import draft  # noqa: PLC0415

    return draft(chosen, workspace)


async def storage(paths: Paths, settings: Settings, environ: Mapping[str, str], wanted: ExportPlan) -> Storage | None:
    """Return where the server of ``wanted`` keeps its models; None where nothing is deployed."""
    from backend.deploy.storage import storage as storage_of  # noqa: PLC0415

    asked = wanted.deployment
    if asked is None:
        return None
    return await storage_of(paths, settings, host=asked.host, want_private=asked.private, environ=environ)


async def taken(paths: Paths, settings: Settings, environ: Mapping[str, str], wanted: ExportPlan) -> str:
    """Return where the server of ``wanted`` has a model of that name already, empty where it has not; starts none.

    Raises AppError for what is no name, and for a server that was named and does not answer.
    """
    from backend.deploy.taken import place_of  # noqa: PLC0415
    from backend.ollama.name import parse_name  # noqa: PLC0415

    asked = wanted.deployment
    if asked is None:
        return ""
    name = parse_name(asked.name)
    return await place_of(paths, settings, name, host=asked.host, want_private=asked.private, environ=environ)


def look_ahead(
    paths: Paths,
    settings: Settings,
    environ: Mapping[str, str],
    wanted: ExportPlan,
    stored: Storage | None,
    *,
    replaces: bool,
) -> Prospect:
    """Say what ``wanted`` would do; ``replaces``: its name is ``taken``. Raises RequestError.

    Looks at files, and asks an ollama program for its version; takes some tens of milliseconds.
    """
    from backend.convert.llama_cpp import quantizer_for  # noqa: PLC0415
    from backend.convert.road import others  # noqa: PLC0415
    from backend.deploy.server import own_instead  # noqa: PLC0415
    from backend.export.caution import warnings  # noqa: PLC0415
    from backend.export.conversion import foresee  # noqa: PLC0415
    from backend.export.forecast import forecast  # noqa: PLC0415
    from backend.export.needs import needs  # noqa: PLC0415
    from backend.export.plan import chain  # noqa: PLC0415
    from backend.export.proving import unprovable  # noqa: PLC0415
    from backend.export.settle import note, settle  # noqa: PLC0415
    from backend.lf.find import find  # noqa: PLC0415
    from backend.lf.schema import schema_for  # noqa: PLC0415
    from backend.parity.template import templates_for  # noqa: PLC0415
    from backend.train.gptq import sees_gpu  # noqa: PLC0415

    wanted = settle(wanted)
    if "convert" in wanted.steps:
        quantizer_for(wanted.outtype, wanted.imatrix, paths, settings, environ)
    lf = find(settings, paths, wanted.workspace, environ)
    known = templates_for(lf, paths)
    if wanted.template and known.exact:
        known.get(wanted.template)
    road = foresee(wanted, others(paths, settings, wanted.workspace, environ), known)
    specs = chain(wanted, lf=lf, schema=schema_for(lf, paths), environ=environ)
    disks = forecast(needs(wanted, stored.folder if stored else None))
    unseen = stored.host if stored and stored.folder is None else ""
    against = warnings(wanted, lf, has_gpu=wanted.gptq is None or sees_gpu())
    lacks = unprovable(has_training=bool(wanted.template), has_lf=lf is not None) if wanted.deployment else ""
    unserved = _unserved(paths, settings, environ, stored) if stored is not None and not stored.host else None
    passed = stored.instead_of if stored is not None and unserved is None else None
    notes = (*note(wanted), *road.notes(), *([own_instead(passed)] if passed else ()), *against)
    return Prospect(tuple(specs), disks, replaces, notes, unseen, wanted, lacks, unserved)


def _unserved(paths: Paths, settings: Settings, environ: Mapping[str, str], stored: Storage) -> AppError | None:
    """Return why the private server could not be started."""
    from backend.ollama.discover import usable_program  # noqa: PLC0415

    try:
        usable_program(paths, settings, environ, instead_of=stored.instead_of)
    except AppError as error:
        return error
    return None


class TemplateOffer(NamedTuple):
    """One of LLaMA-Factory's templates."""

    name: str
    turn: str
    """How it writes what a person says"""


class TemplateOffers(NamedTuple):
    """The templates of LLaMA-Factory, sorted."""

    all: tuple[TemplateOffer, ...]
    exact: bool
    """False: another version is installed, which may have others"""


def templates(
    paths: Paths, settings: Settings, workspace: Path, environ: Mapping[str, str], *, asks: bool = False
) -> TemplateOffers:
    """Return the templates that jobs would know; ``asks`` an installation that nobody knows yet (10 to 30 s).

    Raises AppError where it cannot be asked.
    """
    from backend.lf.find import find  # noqa: PLC0415
    from backend.parity.template import refresh, templates_for  # noqa: PLC0415

    lf = find(settings, paths, workspace, environ)
    known = templates_for(lf, paths)
    if asks and lf is not None and not known.exact:
        known = refresh(lf, paths)
    made = [TemplateOffer(name, _turn(template.user)) for name, template in sorted(known.by_name.items())]
    return TemplateOffers(tuple(made), known.exact)


def _turn(slots: Slots) -> str:
    from backend.parity.template import Special, Token  # noqa: PLC0415

    texts = (
        slot.text if isinstance(slot, Token) else f"<{slot.role}>" if isinstance(slot, Special) else slot
        for slot in slots
    )
    return "".join(texts)


def modelfile(paths: Paths, settings: Settings, wanted: ExportPlan) -> str:
    """Return the Modelfile that the deployment of ``wanted`` would write of itself, without what a person wrote.

    Takes up to half a minute where LLaMA-Factory has to be asked for its templates. Raises AppError.
    """
    from backend.export.modelfile import draft  # noqa: PLC0415

    deployment = dataclasses.replace(wanted.deployment, edited="") if wanted.deployment else None
    return str(draft(dataclasses.replace(wanted, deployment=deployment), settings, paths))


def modelfile_caution(text: str) -> Message | None:
    """Return what is odd about a Modelfile in which nothing is wrong; None where nothing is."""
    from backend.export.caution import said_twice  # noqa: PLC0415 - late, as all of an export

    return said_twice(text)


def modelfile_problem(text: str, gguf: str) -> AppError | None:
    """Return what is wrong with the Modelfile that goes with ``gguf``, with line and column; None where nothing is."""
    from backend.deploy.request import read_edited  # noqa: PLC0415

    try:
        read_edited(text, gguf)
    except RequestError as error:
        return error
    return None
