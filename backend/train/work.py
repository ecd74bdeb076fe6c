"""The train and export kinds of job: what is written before the start, the command, the follower, the stop ladder.

Runs in the supervisor: standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from backend.jobs.work import Command, StopStep
from backend.lf import command, yamlform
from backend.lf.lists import names_in
from backend.train import checkpoint, record, stopping
from backend.train.export_follower import ExportFollower
from backend.train.follower import TrainFollower
from data.errors import AppError
from data.files import write_atomic
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.jsontext import parse_json

TRAIN_FILE: Final = "train.yaml"
EXPORT_FILE: Final = "export.yaml"
_OFFSETS_FILE: Final = "offsets.json"


class TrainWork:
    """A training with LLaMA-Factory."""

    def prepare(self, folder: JobFolder, spec: JobSpec) -> Command:
        """Write the YAML and the record of the run; return the command."""
        return prepare_train(folder.path, spec, log=folder.log)

    def follower(self, folder: JobFolder, spec: JobSpec) -> TrainFollower:
        """Return a follower that starts where the attempt started."""
        offsets = _read_offsets(folder.path)
        return TrainFollower(
            stopping.output_dir_of(spec),
            folder.log,
            trainer_log_offset=offsets.get("trainer_log", 0),
            log_offset=offsets.get("log", 0),
        )

    def ladder(self, folder: JobFolder, spec: JobSpec) -> tuple[StopStep, ...]:
        """Return the rungs of a graceful stop."""
        del folder
        return stopping.train_ladder(spec)


class ExportWork:
    """A merge of an adapter into its base (or a plain export) with LLaMA-Factory."""

    def prepare(self, folder: JobFolder, spec: JobSpec) -> Command:
        """Write the YAML; return the command."""
        return prepare_export(folder.path, spec, log=folder.log)

    def follower(self, folder: JobFolder, spec: JobSpec) -> ExportFollower:
        """Return a follower of the attempt."""
        args = stopping.args_of(spec)
        return ExportFollower(
            partial=partial_dir(spec),
            target=Path(str(args["export_dir"])),
            base=Path(str(args.get("model_name_or_path") or "")),
            log=folder.log,
            log_offset=_read_offsets(folder.path).get("log", 0),
            run=run_of_export(args),
            args=args,
        )

    def ladder(self, folder: JobFolder, spec: JobSpec) -> tuple[StopStep, ...]:
        """Return the rungs of a stop."""
        del folder
        return stopping.export_ladder(spec)


def prepare_train(folder: Path, spec: JobSpec, *, log: Path | None = None) -> Command:
    """Write ``<job>/train.yaml``, ``training_args.yaml`` and ``paddock.json``; return the command.

    A resume (the output_dir is already this job's) goes on from its last complete checkpoint: an incomplete one is set
    aside, and weights without a checkpoint are trained again. Raises AppError.
    """
    args = stopping.args_of(spec)
    output_dir = stopping.output_dir_of(spec)
    python = _python(spec)
    file = folder / TRAIN_FILE
    _refuse_spaces(spec, python, file)
    previous = record.read_record(output_dir)
    if previous is not None and previous.job == spec.id:
        _make_resumable(output_dir, args)
    trainer_log = output_dir / checkpoint.TRAINER_LOG
    try:
        if args.get("overwrite_output_dir") is True:
            trainer_log.unlink(missing_ok=True)  # as LLaMA-Factory will, but before the follower takes its offset
        write_atomic(file, yamlform.dump(args))
        record.write_record(output_dir, spec, args)
        _write_offsets(folder, {"trainer_log": _size(trainer_log), "log": _size(log)})
    except OSError as error:
        raise _cannot_write(error) from error
    return Command(
        argv=command.argv(python, "train", file),
        cwd=spec.workspace,
        env=command.environment(python, output_dir=output_dir, gpus=spec.gpus, environ={**os.environ, **spec.env}),
    )


def prepare_export(folder: Path, spec: JobSpec, *, log: Path | None = None) -> Command:
    """Write ``<job>/export.yaml``, with a temporary export_dir that gets its name at the end; return the command.

    Raises AppError where the final export_dir already holds something.
    """
    args = stopping.args_of(spec)
    target, partial = Path(str(args["export_dir"])), partial_dir(spec)
    python = _python(spec)
    file = folder / EXPORT_FILE
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AppError(
            _("The folder of the export is not empty"),
            str(target),
            _("Remove it or give another export_dir."),
        )
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what an attempt that was stopped left
        partial.mkdir(parents=True)
        write_atomic(file, yamlform.dump(args | {"export_dir": str(partial)}))
        _write_offsets(folder, {"log": _size(log)})
    except OSError as error:
        raise _cannot_write(error) from error
    return Command(
        argv=command.argv(python, "export", file),
        cwd=spec.workspace,
        env=command.environment(python, output_dir=None, gpus=spec.gpus, environ={**os.environ, **spec.env}),
    )


def run_of_export(args: Mapping[str, object]) -> Path:
    """Return the folder whose record an export takes over: its last adapter's, else its model's."""
    adapters = names_in(args.get("adapter_name_or_path"))
    return Path(adapters[-1] if adapters else str(args.get("model_name_or_path") or ""))


def partial_dir(spec: JobSpec) -> Path:
    """Return where an export writes before it is complete: beside its target, so that a rename is enough."""
    target = Path(str(stopping.args_of(spec)["export_dir"]))
    return target.with_name(f".{target.name}.{spec.id}.part")


def _make_resumable(output_dir: Path, args: dict[str, object]) -> None:
    found = checkpoint.inspect(output_dir)
    for folder in found.incomplete:
        checkpoint.set_aside(folder)
    # What was there before this job's first attempt is gone or was wanted; now only its own checkpoints count.
    args.pop("overwrite_output_dir", None)
    if found.last_checkpoint is None and found.has_weights:
        args["overwrite_output_dir"] = True


def _python(spec: JobSpec) -> Path:
    python = Path(str(spec.params.get("python") or ""))
    if not os.access(python, os.X_OK) or python.is_dir():
        raise AppError(
            _("LLaMA-Factory's Python is gone"),
            _("{path} cannot be run.", path=python),
            _("paddock doctor shows what is found now; paddock setup llamafactory makes a managed environment."),
        )
    return python


def _refuse_spaces(spec: JobSpec, python: Path, file: Path) -> None:
    if command.uses_torchrun("train", spec.gpus, {**os.environ, **spec.env}) and any(
        " " in str(path) for path in (python, file)
    ):
        raise AppError(
            _("A path with a space cannot be trained on several GPUs"),
            _("LLaMA-Factory starts torchrun with a line that it splits at spaces: {path}", path=file),
            _("Use one GPU, or set PADDOCK_HOME to a folder without spaces."),
        )


def _cannot_write(error: OSError) -> AppError:
    return AppError(
        _("The files of the run cannot be written"),
        f"{error.filename or ''}: {error.strerror or error}",
        _("Check the free space and the permissions, then resume."),
    )


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0


def _write_offsets(folder: Path, offsets: Mapping[str, int]) -> None:
    write_atomic(folder / _OFFSETS_FILE, json.dumps(offsets) + "\n")


def _read_offsets(folder: Path) -> dict[str, int]:
    try:
        value: object = parse_json((folder / _OFFSETS_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: offset for name, offset in cast("dict[str, object]", value).items() if isinstance(offset, int)}
