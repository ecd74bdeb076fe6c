"""From the name of a deployed model back to the training that it comes from, along the jobs that made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.deploy.request import Deployment
from backend.ollama.name import parse_name
from backend.parity.expected import Trained
from backend.train.record import read_facts
from data.errors import RequestError
from data.jobs.library import Job, Library
from data.jobs.status import Status

_MAX_STEPS: Final = 20


def trained_of(library: Library, model: str, host: str = "") -> Trained | None:
    """Return what the training of ``model`` recorded; None where no job, or no record, leads back to one."""
    deployment = deployment_of(library, model, host)
    return trained_of_gguf(library, Path(deployment.gguf)) if deployment is not None else None


def trained_of_gguf(library: Library, gguf: Path) -> Trained | None:
    """Return what the training that ``gguf`` comes from recorded."""
    for folder in _folders(library.list(), gguf):
        facts = read_facts(folder)
        if facts.template:
            return Trained(
                template=facts.template,
                default_system=facts.default_system,
                enable_thinking=facts.enable_thinking,
                tool_format=facts.tool_format,
                cutoff_len=facts.cutoff_len,
                source="record",
            )
    return None


def deployment_of(library: Library, model: str, host: str = "") -> Deployment | None:
    """Return the latest deployment that gave a model its name; None where Paddock made none."""
    try:
        name = parse_name(model)
    except RequestError:
        return None
    for job in reversed(library.list()):
        result = job.state.result
        if job.spec.kind != "deploy" or job.status is not Status.SUCCEEDED or not isinstance(result.get("model"), str):
            continue
        if name.same_as(str(result["model"])) and host in ("", result.get("host")):
            return Deployment.read(job.spec.params)
    return None


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
                case "convert" if params.get("target") == str(place) and params.get("source"):
                    wanted.append(Path(str(params["source"])))
                    break
                case "export" if str(params.get("export_dir", "")) == str(place):
                    wanted += _sources(job)
                    break
                case _:
                    pass


def _sources(job: Job) -> list[Path]:
    args = job.spec.params.get("args")
    if not isinstance(args, dict):
        return []
    found: list[Path] = []
    for key in ("adapter_name_or_path", "model_name_or_path"):
        value: object = args.get(key)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
        texts = value if isinstance(value, list) else str(value).split(",") if value else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        found += [Path(job.spec.workspace, str(text).strip()) for text in texts]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return found
