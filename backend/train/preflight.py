"""Look at a training or an export before it starts: everything that can be told without importing LLaMA-Factory."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from backend.lf import arguments, command, rules
from backend.lf.checks import Check
from backend.lf.find import LlamaFactory
from backend.lf.lists import names_in
from backend.lf.peft import ADAPTER_CONFIG
from backend.lf.schema import Schema, template_remedy
from backend.lf.versions import breaks_lora, torch_mismatches
from backend.train import checkpoint, gptq
from backend.train.departure import departures
from backend.train.export_follower import weight_bytes
from backend.train.pushing import is_repository, push_checks
from backend.train.stopping import JIT_CHECKPOINT, can_resume
from backend.train.tokenizer_checks import tokenizer_checks
from data.i18n import _
from data.jobs.spec import GpuRequest
from data.jsontext import parse_json

_FREE_BYTES: Final = 256 << 20
_DATASET_SOURCES: Final = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name", "file_name")


def train_checks(
    args: Mapping[str, object],
    *,
    workspace: Path,
    lf: LlamaFactory | None,
    schema: Schema,
    gpus: GpuRequest | None = None,
    after: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> list[Check]:
    """Return the findings for normalised ``args`` (``spec.normal_train``), errors first.

    With ``after``, files that are missing now are another job's to make, and not held against this one.
    """
    pending = bool(after)
    found = [
        *_installation(lf),
        *_lora(lf, args),
        *_argument_checks(args, schema, "train"),
        *rules.train_rules(args, torchrun=command.uses_torchrun("train", gpus, environ)),
        *_model(args, pending=pending),
        *(() if pending else tokenizer_checks(args, lf, environ)),
        *_template(args, schema),
        *dataset_checks(args, pending=pending),
        *_output_dir(args),
        *_spaces(lf, args, workspace, gpus, environ),
        *_disk(args, Path(str(args["output_dir"]))),
        *_trust(args),
        *_deepspeed(args, workspace),
    ]
    if args.get("do_train") and args.get(JIT_CHECKPOINT) is not True:
        found.append(
            Check(
                "stop.checkpoint",
                "info",
                _("A stop of this run leaves no new checkpoint"),
                _("A resume goes on from the last one that save_steps made; transformers 5.6 can save at a stop."),
            )
        )
    return _errors_first(found)


def export_checks(
    args: Mapping[str, object],
    *,
    workspace: Path,
    lf: LlamaFactory | None,
    schema: Schema,
    after: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> list[Check]:
    """Return the findings for the arguments of an export, errors first; ``after`` as for a training."""
    found = [
        *_installation(lf),
        *(_lora(lf, args) if args.get("adapter_name_or_path") else ()),
        *_argument_checks(args, schema, "export"),
        *rules.export_rules(args),
        *gptq.dataset_checks(args),
        *_model(args, pending=bool(after)),
        *(() if after else tokenizer_checks(args, lf, environ)),
        *_template(args, schema),
        *_trust(args),
        *push_checks(args.get("export_hub_model_id"), environ),
        *departures(args, workspace),
    ]
    text = args.get("export_dir")
    if isinstance(text, str) and text:
        target = Path(text)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            found.append(
                Check(
                    "export_dir.used",
                    "error",
                    _("The folder of the export is not empty: {path}", path=target),
                    _("Remove it or give another export_dir."),
                )
            )
        found += _disk(args, target)
    return _errors_first(found)


def dataset_checks(args: Mapping[str, object], *, pending: bool = False) -> list[Check]:
    """Return the findings about ``dataset`` and ``eval_dataset`` in ``dataset_dir``'s dataset_info.json."""
    names = [*names_in(args.get("dataset")), *names_in(args.get("eval_dataset"))]
    folder_text = str(args.get("dataset_dir") or "data")
    if not names or folder_text == "ONLINE" or folder_text.startswith("REMOTE:") or _is_tokenized(args):
        return []
    folder = Path(folder_text)
    if pending and not folder.exists():
        return []
    register = folder / "dataset_info.json"
    try:
        raw: object = parse_json(register.read_bytes())
    except FileNotFoundError:
        return [
            Check(
                "dataset.register",
                "error",
                _("There is no dataset_info.json in {folder}", folder=folder),
                _("Set dataset_dir to the folder that has it; a relative one is looked for in the workspace."),
            )
        ]
    except (OSError, ValueError) as error:
        return [
            Check(
                "dataset.register",
                "error",
                _("{path} cannot be read: {reason}", path=register, reason=str(error)),
                _("It has to be a JSON object with a dataset's name as each key."),
            )
        ]
    if not isinstance(raw, dict):
        return [
            Check(
                "dataset.register",
                "error",
                _("{path} is not a JSON object", path=register),
                _("It has to be a JSON object with a dataset's name as each key."),
            )
        ]
    return [check for name in names for check in _dataset(name, cast("dict[str, object]", raw), folder, pending)]


def _dataset(name: str, register: Mapping[str, object], folder: Path, pending: bool) -> Iterable[Check]:
    entry = register.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, register, n=1)
        yield Check(
            "dataset.undefined",
            "error",
            _("The dataset {name} is not in {folder}/dataset_info.json", name=name, folder=folder),
            _("Did you mean {name}?", name=close[0])
            if close
            else _("Registered there: {names}", names=", ".join(sorted(register)[:20])),
        )
        return
    if not isinstance(entry, dict):
        yield Check(
            "dataset.entry",
            "error",
            _("The entry of the dataset {name} is not a JSON object", name=name),
            _('It looks like this: {{"file_name": "rows.json"}}'),
        )
        return
    values = cast("dict[str, object]", entry)
    source = next((key for key in _DATASET_SOURCES if values.get(key)), None)
    if source is None:
        yield Check(
            "dataset.source",
            "error",
            _("The dataset {name} names no source", name=name),
            _("Give it file_name, or one of: {names}", names=", ".join(_DATASET_SOURCES[:-1])),
        )
    elif source == "file_name" and not pending and not (folder / str(values["file_name"])).exists():
        yield Check(
            "dataset.file",
            "error",
            _("The file of the dataset {name} is missing: {path}", name=name, path=folder / str(values["file_name"])),
            _("Put it there, or correct file_name in dataset_info.json."),
        )


def _installation(lf: LlamaFactory | None) -> Iterable[Check]:
    if lf is None:
        yield Check(
            "llamafactory.missing",
            "error",
            _("LLaMA-Factory is not installed"),
            _("Run: paddock setup llamafactory"),
        )
        return
    if "torch" not in lf.packages:
        yield Check(
            "torch.missing",
            "error",
            _("LLaMA-Factory's environment has no torch"),
            _("Run: paddock setup llamafactory"),
        )
    for name, version, fits in torch_mismatches(lf.packages):
        yield Check(
            "torch.mismatch",
            "error",
            _(
                "torch {torch} and {name} {version} do not belong together",
                torch=lf.packages["torch"],
                name=name,
                version=version,
            ),
            _('In that environment, run: pip install "{name}=={version}.*"', name=name, version=fits),
        )


def _lora(lf: LlamaFactory | None, args: Mapping[str, object]) -> Iterable[Check]:
    if lf is not None and args.get("finetuning_type", "lora") in ("lora", "oft") and breaks_lora(lf.packages):
        yield Check(
            "torchao.mismatch",
            "error",
            _(
                "peft {peft} cannot import torchao {torchao}: every LoRA fails",
                peft=lf.packages["peft"],
                torchao=lf.packages["torchao"],
            ),
            _('In that environment, run: pip install "torchao<0.18"'),
        )


def _argument_checks(args: Mapping[str, object], schema: Schema, verb: command.Verb) -> Iterable[Check]:
    yield from arguments.known_names(args, schema, verb)
    yield from arguments.right_types(args, schema, verb)
    yield from arguments.no_secrets(args)


def _model(args: Mapping[str, object], *, pending: bool) -> Iterable[Check]:
    model = args.get("model_name_or_path")
    if not model:
        yield Check(
            "model.missing",
            "error",
            _("No model is named"),
            _("Set model_name_or_path to a folder or to owner/name on the hub."),
        )
    elif not pending and _is_local(str(model)) and not (Path(str(model)) / "config.json").is_file():
        lacks = _("There is no folder {path}", path=str(model))
        if Path(str(model)).is_dir():
            lacks = _("{path} is no model: it has no config.json", path=str(model))
        remedy = _("Correct model_name_or_path, the base model: a folder with config.json, or owner/name on a hub.")
        yield Check("model.folder", "error", lacks, remedy)
    for adapter in () if pending else names_in(args.get("adapter_name_or_path")):
        remedy = _("Correct adapter_name_or_path: an output_dir of a LoRA training, or a checkpoint in it.")
        if not _is_local(adapter):
            # spec._resolved makes every folder that is there absolute; an adapter on a hub always has an owner.
            if not ("/" in adapter and is_repository(adapter)):
                words = _("{name} is no adapter: no folder here, and no owner/name on a hub", name=adapter)
                yield Check("adapter.name", "error", words, remedy)
        elif not (Path(adapter) / ADAPTER_CONFIG).is_file():
            words = _("{path} is no adapter: it has no adapter_config.json", path=adapter)
            yield Check("adapter.folder", "error", words, remedy)


def _template(args: Mapping[str, object], schema: Schema) -> Iterable[Check]:
    template = args.get("template")
    if isinstance(template, str) and template and template not in schema.templates:
        yield Check(
            "template.unknown",
            "error" if schema.exact else "warning",
            _("LLaMA-Factory {version} has no template {name}", version=schema.llamafactory, name=template),
            template_remedy(template, schema.templates),
        )


def _output_dir(args: Mapping[str, object]) -> Iterable[Check]:
    found = checkpoint.inspect(Path(str(args["output_dir"])))
    if not args.get("do_train"):
        return
    if args.get("overwrite_output_dir") is True:
        if found.has_weights or found.checkpoints:
            yield Check(
                "output_dir.overwritten",
                "warning",
                _("What {path} holds will be overwritten", path=found.path),
                _("Leave out overwrite_output_dir to go on from its last checkpoint."),
            )
        return
    if found.path.exists() and not found.path.is_dir():
        yield Check(
            "output_dir.file", "error", _("{path} is not a folder", path=found.path), _("Give another output_dir.")
        )
    elif found.refused and can_resume(args):
        yield Check(
            "output_dir.used",
            "error",
            _("{path} holds an earlier model and no checkpoint, and LLaMA-Factory refuses that", path=found.path),
            _("Give another output_dir, or set overwrite_output_dir: true to replace what is there."),
        )
    elif found.incomplete and args.get("resume_from_checkpoint") is None:
        yield Check(
            "output_dir.incomplete",
            "error",
            _("The writing of {path} was cut off, and LLaMA-Factory would go on from it", path=found.incomplete[-1]),
            _("Remove that folder."),
        )
    elif found.last_checkpoint is not None and can_resume(args):
        yield Check(
            "output_dir.resumed",
            "info",
            _("The training goes on from checkpoint-{step} in {path}", step=found.last_checkpoint, path=found.path),
            _("Give another output_dir to start from step 0."),
        )


def _spaces(
    lf: LlamaFactory | None,
    args: Mapping[str, object],
    workspace: Path,
    gpus: GpuRequest | None,
    environ: Mapping[str, str],
) -> Iterable[Check]:
    del args, workspace  # only the interpreter's own paths stand in torchrun's line, beside the job's folder
    if lf is not None and command.uses_torchrun("train", gpus, environ) and " " in str(lf.python):
        yield Check(
            "torchrun.space",
            "error",
            _("A path with a space cannot be trained on several GPUs: {path}", path=lf.python),
            _("Use one GPU, or an environment of LLaMA-Factory whose path has no space."),
        )


def _disk(args: Mapping[str, object], target: Path) -> Iterable[Check]:
    """Compare the free space with what the result needs: weights of a full training or an export, a part for LoRA."""
    base = weight_bytes(Path(str(args.get("model_name_or_path") or "")))
    whole = bool(args.get("export_dir")) or args.get("finetuning_type") in ("full", "freeze")
    # A full checkpoint has the weights and two moments of the optimiser in float32 beside them.
    factor = 1.1 if args.get("export_dir") else 4.0 if whole else 0.1
    needed = max(_FREE_BYTES, int(base * factor))
    folder = target
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        yield Check(
            "disk.free",
            "error" if free < min(needed, _FREE_BYTES) else "warning",
            _(
                "{free} MB are free for {path}, and about {needed} MB are needed",
                free=free >> 20,
                path=target,
                needed=needed >> 20,
            ),
            _("Free some space, or choose a folder on another file system."),
        )


def _trust(args: Mapping[str, object]) -> Iterable[Check]:
    if args.get("trust_remote_code"):
        yield Check(
            "trust_remote_code",
            "warning",
            _("Code from the model's repository will be run"),
            _("Leave out trust_remote_code unless the model needs it and you trust its source."),
        )


def _deepspeed(args: Mapping[str, object], workspace: Path) -> Iterable[Check]:
    text = args.get("deepspeed")
    if isinstance(text, str) and text and not (workspace / text).is_file():
        yield Check(
            "deepspeed.file",
            "error",
            _("The DeepSpeed configuration does not exist: {path}", path=workspace / text),
            _("Correct deepspeed: a JSON file, relative to the workspace."),
        )


def _is_local(text: str) -> bool:
    return text.startswith("/")


def _is_tokenized(args: Mapping[str, object]) -> bool:
    path = args.get("tokenized_path")
    return isinstance(path, str) and bool(path) and Path(path).is_dir()


def _errors_first(checks: Iterable[Check]) -> list[Check]:
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(checks, key=lambda check: order[check.level])
