"""Whole roads as chains of jobs, laid down at once: whatever happens to the terminal, the chain finishes by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast

from backend.demo import recipe
from backend.demo.wheel import GGUF_NAME
from backend.jobs.launch import launch
from backend.lf.schema import has_jit_checkpoint
from backend.setup import llamafactory as managed_llamafactory
from backend.setup import ollama as managed_ollama
from backend.telemetry.gpus import Gpu, known, read_gpus
from backend.train import stopping
from backend.train.stopping import JIT_CHECKPOINT
from data.demo import FOLDER as DEMO_DATASETS
from data.errors import RequestError
from data.i18n import Message, _
from data.jobs.library import Job, Library
from data.jobs.spec import Chain, GpuRequest, JobSpec, new_chain_id, now
from data.jobs.status import Status
from data.paths import Paths
from data.settings import Settings

DEMO_TITLE: Final = "demo"
_DEMO_GPU_BYTES: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class DemoPlaces:
    """Where a run of the demo keeps its things."""

    base: Path
    """the base model: made once, shared by all runs"""
    run: Path
    """this run's own folder"""

    @property
    def adapter(self) -> Path:
        """The training's output_dir."""
        return self.run / "adapter"

    @property
    def merged(self) -> Path:
        """The export's folder."""
        return self.run / "merged"

    @property
    def gguf(self) -> Path:
        """The converted model."""
        return self.run / "model.gguf"


def demo_places(paths: Paths, chain_id: str) -> DemoPlaces:
    """Return the folders of the demo's run ``chain_id``."""
    return DemoPlaces(paths.demo / "base" / "SmolLM2-135M-Instruct", paths.demo / "runs" / chain_id)


def missing_parts(
    paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ, *, server_too: bool = True
) -> tuple[str, ...]:
    """Return what `paddock setup` would have to install: of "llamafactory" and "ollama"."""
    parts: list[str] = []
    if managed_llamafactory.present(paths, settings, environ) is None:
        parts.append("llamafactory")
    if server_too and managed_ollama.present(paths, settings, environ) is None:
        parts.append("ollama")
    return tuple(parts)


class _Step(NamedTuple):
    kind: str
    name: str
    params: Mapping[str, object]


def demo_chain(
    paths: Paths, settings: Settings, workspace: Path, environ: Mapping[str, str] = os.environ
) -> list[JobSpec]:
    """Return the demo's jobs, parents first; nothing is started.

    Set-up where something is missing, base, question, train, export, convert, deploy, question.
    """
    moment = now()
    chain_id = new_chain_id("demo", moment)
    missing = missing_parts(paths, settings, environ)
    found = managed_llamafactory.present(paths, settings, environ)
    python = found.python if found else managed_llamafactory.folder(paths) / "bin" / "python"
    steps = _demo_steps(demo_places(paths, chain_id), python, saves_on_stop=found is None or has_jit_checkpoint(found))
    device = _demo_device(read_gpus(processes=False).gpus)
    if missing:
        steps.insert(0, _Step("setup", _("what is missing").english(), {"what": list(missing)}))
    specs: list[JobSpec] = []
    for index, step in enumerate(steps):
        specs.append(
            JobSpec.new(
                step.kind,
                step.name,
                workspace=str(workspace),
                params=step.params,
                after=(specs[-1].id,) if specs else (),
                gpus=device if step.kind == "train" else None,
                env={} if device else {"CUDA_VISIBLE_DEVICES": ""},
                chain=Chain(chain_id, DEMO_TITLE, index, len(steps)),
                moment=moment,
            )
        )
    return specs


def _demo_device(gpus: Sequence[Gpu]) -> GpuRequest | None:
    """Return the GPU with the most free memory; None (the CPU) where none has enough: the demo waits for no GPU."""
    enough = [gpu for gpu in gpus if (known(gpu.memory_free_bytes) or 0) >= _DEMO_GPU_BYTES]
    if not enough:
        return None
    return GpuRequest(ids=(max(enough, key=lambda gpu: known(gpu.memory_free_bytes) or 0).index,))


def _demo_steps(places: DemoPlaces, python: Path, *, saves_on_stop: bool) -> list[_Step]:
    wheel_gguf = places.base.parent / GGUF_NAME
    question = {"prompt": recipe.QUESTION, "private": True}
    training = recipe.train_args(places.base, DEMO_DATASETS, places.adapter)
    if saves_on_stop:
        training |= {JIT_CHECKPOINT: True}
    merge = recipe.export_args(places.base, places.adapter, places.merged)
    deployment = {
        "gguf": str(places.gguf),
        "name": recipe.OLLAMA_MODEL,
        "training": {"template": recipe.TEMPLATE},
        "parameters": recipe.OLLAMA_PARAMETERS,
        "quantize": recipe.QUANTIZE,
        "private": True,
    }
    conversion = {
        "source": str(places.merged),
        "target": str(places.gguf),
        "outtype": recipe.OUTTYPE,
        "training": deployment["training"],
    }
    return [
        _Step("base", places.base.name, {"python": str(python), "target": str(places.base)}),
        _Step("ask", recipe.OLLAMA_BASE, {"model": recipe.OLLAMA_BASE, "gguf": str(wheel_gguf)} | question),
        _Step("train", "LoRA", {"args": training, "python": str(python), "output_dir": str(places.adapter)}),
        _Step("export", "merge", {"args": merge, "python": str(python), "export_dir": str(places.merged)}),
        _Step("convert", "GGUF", conversion),
        _Step("deploy", recipe.OLLAMA_MODEL, deployment),
        _Step("ask", recipe.OLLAMA_MODEL, {"model": recipe.OLLAMA_MODEL, "expect": recipe.TRAINED_NAME} | question),
    ]


def start_demo(paths: Paths, settings: Settings, workspace: Path, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Lay down a fresh demo and start it; return the ids of its jobs in order."""
    specs = demo_chain(paths, settings, workspace, environ)
    return launch(paths.jobs, specs, keep=settings.environment_keep, environ=environ)


def running_demo(library: Library) -> str | None:
    """Return the chain id of the newest demo with a job that is still alive; None when there is none."""
    chains = [
        job.spec.chain.id
        for job in library.list()
        if job.spec.chain and job.spec.chain.title == DEMO_TITLE and job.status.is_live
    ]
    return chains[-1] if chains else None


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One job of the demo, for people who want to see what it took."""

    name: str
    job: str
    status: Status
    seconds: float | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo shows at its end."""

    ok: bool
    trained_name: str
    before: str
    after: str
    loss_first: float | None
    loss_last: float | None
    steps: tuple[DemoStep, ...]
    ollama_model: str
    host: str

    def as_json(self) -> dict[str, object]:
        """Return the object of ``paddock demo --json``."""
        return {
            "ok": self.ok,
            "trained_name": self.trained_name,
            "before": self.before,
            "after": self.after,
            "loss_first": self.loss_first,
            "loss_last": self.loss_last,
            "steps": [
                {"name": step.name, "job": step.job, "seconds": step.seconds, "bytes": step.size_bytes}
                for step in self.steps
            ],
            "ollama_model": self.ollama_model,
            "host": self.host,
        }


def demo_summary(jobs: Sequence[Job]) -> DemoSummary:
    """Read the summary of a demo from its jobs, in order; raises RequestError where there are none."""
    if not jobs:
        raise RequestError(_("There is no such demo"), "", _("`paddock demo` starts one."))
    questions = [job for job in jobs if job.spec.kind == "ask"]
    answers = [str(job.state.result.get("answer", "")) for job in questions]
    losses = [loss for job in jobs if job.spec.kind == "train" for loss in _losses(job)]
    after = answers[-1] if answers else ""
    moment = now()
    return DemoSummary(
        ok=all(job.status is Status.SUCCEEDED for job in jobs) and recipe.TRAINED_NAME.lower() in after.lower(),
        trained_name=recipe.TRAINED_NAME,
        before=answers[0] if len(answers) > 1 else "",
        after=after,
        loss_first=losses[0] if losses else None,
        loss_last=losses[-1] if losses else None,
        steps=tuple(
            DemoStep(
                _step_name(job),
                job.id,
                job.status,
                None if (seconds := job.state.seconds(moment)) is None else round(seconds, 1),
                _made_bytes(job),
            )
            for job in jobs
        ),
        ollama_model=recipe.OLLAMA_MODEL,
        host=str(questions[-1].state.result.get("host", "")) if questions else "",
    )


def _step_name(job: Job) -> str:
    return f"{job.spec.kind} {job.spec.params.get('model')}" if job.spec.kind == "ask" else job.spec.kind


def _made_bytes(job: Job) -> int:
    """Return the size of what a step made: its files, or the model that now lies in Ollama's store."""
    stored = job.state.result.get("bytes") if job.spec.kind == "deploy" else None
    files = sum(artifact.size_bytes for artifact in job.state.artifacts.values())
    return files + (stored if isinstance(stored, int) else 0)


def _losses(job: Job) -> list[float]:
    events = job.folder.events().events
    losses = (event.get("loss") for event in events if event["kind"] == "metric")
    return [float(cast("float", loss)) for loss in losses if isinstance(loss, (int, float))]


def stop_consequence(job: Job) -> Message:
    """Say, before a graceful stop, what it will cost."""
    match job.spec.kind:
        case "train":
            return stopping.stop_consequence(job.spec)
        case "serve":
            return _("Every view and job that talks to this Ollama server loses it; models are kept.")
        case "setup":
            return _("What was downloaded is kept; a resume goes on from there.")
        case _:
            return _("Nothing half-made is left behind; a resume starts this step again from the beginning.")


def resume_consequence(job: Job) -> Message:
    """Say, before a resume, where it will go on and what it will lose."""
    match job.spec.kind:
        case "train" | "export":
            return stopping.resume_consequence(job.spec)
        case "setup":
            return _("It goes on with what is still missing.")
        case _:
            return _("This step starts again from the beginning.")
