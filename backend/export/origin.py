"""From the name of a deployed model back to the training that it comes from, along the jobs that made it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from backend.convert.target import real_target
from backend.deploy.request import Deployment
from backend.deploy.server import is_private
from backend.export.own_rows import OwnRows, own_rows
from backend.export.source import gguf_facts, told_facts, training_of
from backend.lf.lists import names_in
from backend.lf.tokenizer import miscut
from backend.ollama.name import parse_name
from backend.parity.training import Trained, Training
from backend.train.record import RunFacts, read_data, read_facts
from data.errors import RequestError
from data.i18n import _
from data.jobs.library import Job, Library
from data.jobs.status import Status

_MAX_STEPS: Final = 20
_NO_JOB: Final = _("its folder counts from where the training ran, and that job is gone")


def trained_of(library: Library, deployment: Deployment | None) -> Trained | None:
    """Return what the training of a deployed model recorded, else what its deployment was told; None for neither."""
    if deployment is None:
        return None
    found = trained_of_gguf(library, Path(deployment.gguf))
    told = Training.read(deployment.training) if found is None or found.source != "record" else None
    return Trained.by(told, "asked").against(found) if told is not None else found


def trained_of_gguf(library: Library, gguf: Path) -> Trained | None:
    """Return what the training that ``gguf`` comes from recorded, else what its conversion was told."""
    folders = tuple(_folders(library.list(), gguf))
    for source, facts in _known(gguf, folders):
        training = training_of(facts)
        if training is not None:
            return dataclasses.replace(Trained.by(training, source), miscut=str(miscut(folders) or ""))
    return None


def _known(gguf: Path, folders: Iterable[Path]) -> Iterator[tuple[str, RunFacts]]:
    yield "record", gguf_facts(gguf)
    yield from (("record", read_facts(folder)) for folder in folders)
    yield "asked", told_facts(gguf) or RunFacts()


def judged_by(library: Library, gguf: Path, training: Training) -> Trained:
    """Return what a deployment of ``gguf`` as ``training`` is judged by: the record, or what was asked against it."""
    return Trained.by(training, "asked").against(trained_of_gguf(library, gguf))


def own_rows_of(library: Library, deployment: Deployment | None) -> OwnRows:
    """Return the first rows of what a deployed model was trained on; nothing where no record says what that was."""
    return own_rows_of_gguf(library, Path(deployment.gguf)) if deployment is not None else OwnRows()


def own_rows_of_gguf(library: Library, gguf: Path) -> OwnRows:
    """Return the first rows of what the training that ``gguf`` comes from was given."""
    jobs = library.list()
    data = next((found for folder in _folders(jobs, gguf) if (found := read_data(folder)) is not None), None)
    if data is None:
        return OwnRows()
    workspace = next((job.spec.workspace for job in jobs if job.id == data.job), "")
    if not workspace and not Path(data.folder).expanduser().is_absolute():
        why = _("No row of {name} is among the conversations: {why}.", name=", ".join(data.names), why=_NO_JOB)
        return OwnRows(left_out=(why,))
    return own_rows(data, Path(workspace))


def deployment_of(library: Library, model: str, host: str = "", digest: str = "") -> Deployment | None:
    """Return the latest deployment that made a model; None where Paddock made none.

    That is what ``digest`` says, whatever the model is called now (a copy), else its name on the same server: the
    private one is the same at every port that it has had. An empty ``host`` is any server.
    """
    try:
        name = parse_name(model)
    except RequestError:
        return None
    jobs = library.list()
    is_ours = bool(host) and is_private(jobs, host)
    named: Job | None = None
    for job in reversed(jobs):
        result = job.state.result
        if job.spec.kind != "deploy" or job.status is not Status.SUCCEEDED or not isinstance(result.get("model"), str):
            continue
        if digest and result.get("digest") == digest:
            return Deployment.read(job.spec.params)
        at = str(result.get("host") or "")
        is_there = host in ("", at) or (is_ours and is_private(jobs, at))
        if named is None and is_there and name.same_as(str(result["model"])):
            named = job
    return Deployment.read(named.spec.params) if named is not None else None


def _folders(jobs: list[Job], gguf: Path) -> Iterator[Path]:
    """Yield the folders that ``gguf`` was made of, the nearest first: of the model, the adapters, the base."""
    wanted = [gguf]
    for _step in range(_MAX_STEPS):
        if not wanted:
            return
        place = wanted.pop(0)
        yield place if place.suffix != ".gguf" else place.parent
        for job in reversed(jobs):
            params = job.spec.params
            match job.spec.kind:
                case "convert" if _is_target(place, params.get("target")) and params.get("source"):
                    wanted.append(Path(str(params["source"])))
                    break
                case "export" if str(params.get("export_dir", "")) == str(place):
                    wanted += _sources(job)
                    break
                case _:
                    pass


def _is_target(place: Path, target: object) -> bool:
    """Say whether a conversion to ``target`` wrote ``place``; each of the two may be a link to the file."""
    return isinstance(target, str) and real_target(Path(target)) == real_target(place)


def _sources(job: Job) -> list[Path]:
    given = job.spec.params.get("args")
    args = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    names = [*names_in(args.get("adapter_name_or_path")), *names_in(args.get("model_name_or_path"))]
    return [Path(job.spec.workspace, name) for name in names]
