"""How a training or an export is asked to stop, gentlest first, and what a resume will have to do again."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from backend.jobs.work import FORCE, POLITE, StopStep
from backend.train import checkpoint
from data.i18n import Message, _
from data.jobs.spec import JobSpec

JIT_CHECKPOINT: Final = "enable_jit_checkpoint"
_WAIT_S: Final = 30.0


def train_ladder(spec: JobSpec) -> tuple[StopStep, ...]:
    """Return the rungs of a graceful stop of a training.

    To the ranks, never to torchrun: it would kill its workers 30 s after a SIGTERM, whether they save or not. Each
    later rung waits while something still progresses, since a checkpoint that is being written must not be cut off.
    """
    if args_of(spec).get(JIT_CHECKPOINT) is True:
        first = StopStep(
            signal.SIGTERM, "ranks", _WAIT_S, progress_extends=True, label=_("asked to save a checkpoint and end")
        )
    else:
        first = StopStep(
            signal.SIGABRT, "ranks", _WAIT_S, progress_extends=True, label=_("asked to end at the next step (SIGABRT)")
        )
    return (first, POLITE, FORCE)


def export_ladder(spec: JobSpec) -> tuple[StopStep, ...]:
    """Return the rungs of a stop of an export: nothing is worth saving, it writes under a temporary name."""
    del spec
    return (POLITE, FORCE)


def stop_consequence(spec: JobSpec) -> Message:
    """Say, before a graceful stop, what a resume will have to train again."""
    if args_of(spec).get(JIT_CHECKPOINT) is True:
        # transformers may save it just before the optimiser's step, and then still makes that step.
        return _("A checkpoint is saved first: a resume trains one step again at most.")
    found = checkpoint.inspect(output_dir_of(spec))
    if found.last_checkpoint is None:
        return _("There is no checkpoint yet: a resume starts again from step 0 ({lost} steps).", lost=found.last_step)
    return _(
        "A resume goes on from checkpoint-{step} and trains {lost} steps again.",
        step=found.last_checkpoint,
        lost=max(0, found.last_step - found.last_checkpoint),
    )


def resume_consequence(spec: JobSpec) -> Message:
    """Say, before a resume, where it will go on and what it will lose."""
    if spec.kind == "export":
        return _("The export starts again from the beginning.")
    found = checkpoint.inspect(output_dir_of(spec))
    if not can_resume(args_of(spec)):
        return _("This stage cannot go on from a checkpoint: it starts again from step 0.")
    if found.last_checkpoint is not None:
        return _from_checkpoint(found.last_checkpoint, max(0, found.last_step - found.last_checkpoint))
    if found.has_weights:
        return _(
            "There is no checkpoint, only weights: it starts again from step 0 ({lost} steps) and replaces them.",
            lost=found.last_step,
        )
    return _("There is no checkpoint: it starts again from step 0 ({lost} steps).", lost=found.last_step)


def _from_checkpoint(step: int, lost: int) -> Message:
    if lost == 0:
        return _("It goes on from checkpoint-{step}; nothing is lost.", step=step)
    if lost == 1:
        return _("It goes on from checkpoint-{step} and trains one step again.", step=step)
    return _("It goes on from checkpoint-{step} and trains {lost} steps again.", step=step, lost=lost)


def can_resume(args: Mapping[str, object]) -> bool:
    """Say whether LLaMA-Factory resumes this stage at all (hparams/parser.py: not rm/ppo with full/freeze)."""
    stage, method = args.get("stage", "sft"), args.get("finetuning_type", "lora")
    return not (stage in ("rm", "ppo") and method in ("full", "freeze"))


def args_of(spec: JobSpec) -> dict[str, object]:
    """Return a copy of the arguments of a train or export job."""
    return dict(cast("Mapping[str, object]", spec.params.get("args") or {}))


def output_dir_of(spec: JobSpec) -> Path:
    """Return the output_dir of a train job."""
    return Path(str(spec.params.get("output_dir") or args_of(spec).get("output_dir")))
