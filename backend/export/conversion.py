"""Who will make the GGUF of an export, and what it lacks, before the merge that it is made of and before any job."""

from __future__ import annotations

from pathlib import Path

from backend.convert.names import FOREIGN
from backend.convert.overwrite import refuse_foreign_sidecar, refuse_own_files
from backend.convert.road import Others, Road, asked_for, road_of
from backend.convert.target import real_target
from backend.deploy.create import check_gguf
from backend.export.ends import require_in_gguf, require_in_training
from backend.export.plan import ExportPlan, base_folder, training_params
from backend.parity.template import Templates
from backend.parity.training import Training, gguf_facts
from data.errors import AppError, RequestError


def foresee(plan: ExportPlan, find: Others, known: Templates | None = None) -> Road:
    """Look at the model that is here now, which the merged one will be like.

    ``known`` are LLaMA-Factory's templates, where a job would take these: a model that is not merged, and a GGUF that
    is there, must have the tokens of its own; what is merged, those of one that is not the training's.
    Raises RequestError where nobody can convert it, and where a file that is no GGUF would be overwritten. Where it is
    not here yet, the conversion itself decides.
    """
    if plan.source.kind == "gguf" and plan.deployment is not None:
        _check_gguf(plan.source.path, plan.deployment.quantize)
    training = Training.read(training_params(plan)) if known is not None and known.exact else None
    template = training.of(known) if known is not None and training is not None else None
    if template is not None and known is not None and not (plan.deployment and plan.deployment.unproven):
        if plan.source.kind == "gguf":
            require_in_gguf(template, plan.source.path)
        elif plan.merge is not None and (plan.gguf is not None or plan.deployment is not None):
            require_in_training(template, plan, known)
    if "convert" not in plan.steps:
        return Road()
    folder = base_folder(plan)
    if plan.gguf is not None:
        _refuse_overwriting(real_target(plan.gguf), plan.model_folder, folder)
    if folder is None:
        is_named = plan.converter in FOREIGN
        return Road(asked_for(plan.converter, None, find, plan.outtype) if is_named else None)
    is_base = "export" in plan.steps
    facts = gguf_facts(template, folder) if template is not None and not is_base else None
    return road_of(folder, plan.converter, find, outtype=plan.outtype, is_base=is_base, facts=facts)


def _check_gguf(path: Path, quantize: str) -> None:
    """Look at the file now, as the job does again: nothing has been started."""
    try:
        check_gguf(path, quantize)
    except AppError as error:
        raise RequestError(error.title, error.detail, error.hint) from error


def _refuse_overwriting(target: Path, model: Path, base: Path | None) -> None:
    """Look at what is there, and, for a merge that is not, at the names of its base's files."""
    refuse_own_files(target, (model, *([base] if base else [])))
    if base is not None and target.parent == model:
        refuse_own_files(base / target.name, (base,))
    refuse_foreign_sidecar(target)
