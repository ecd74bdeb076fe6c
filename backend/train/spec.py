"""Make the spec of a training or an export job from LLaMA-Factory's arguments, and show what it would run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from backend.lf import command, yamlform
from backend.lf.checks import Check
from backend.lf.command import Verb
from backend.lf.find import LlamaFactory
from backend.lf.schema import Schema, has_jit_checkpoint, snapshot
from backend.train import preflight
from backend.train.pushing import HUB_TOKEN
from backend.train.stopping import JIT_CHECKPOINT
from backend.train.work import EXPORT_FILE, TRAIN_FILE
from data.errors import RequestError
from data.i18n import Message, _
from data.jobs.spec import Chain, GpuRequest, JobSpec, now

_KEPT_DATASET_DIRS: Final = ("ONLINE", "REMOTE:")  # LLaMA Board's words for datasets on a hub


def train_spec(
    args: Mapping[str, object],
    *,
    workspace: Path,
    lf: LlamaFactory | None,
    schema: Schema | None = None,
    name: str | None = None,
    after: Sequence[str] = (),
    gpus: GpuRequest | None = None,
    chain: Chain | None = None,
    check: bool = True,
) -> JobSpec:
    """Return the spec of a training with ``args``.

    Relative folders are resolved against ``workspace``. ``after`` names jobs that make what is still missing.
    Raises RequestError for the first finding that would make the training fail; ``check=False`` leaves that to
    the caller, who shows ``preflight.train_checks``.
    """
    known = schema or snapshot()
    moment = now()
    values = normal_train(args, workspace=workspace, lf=lf, schema=known, moment=moment)
    if check:
        refuse(preflight.train_checks(values, workspace=workspace, lf=lf, schema=known, gpus=gpus, after=after))
    return JobSpec.new(
        "train",
        name or _train_name(values),
        workspace=str(workspace),
        params={
            "args": values,
            "python": str(lf.python) if lf else "",
            "output_dir": values["output_dir"],
            "versions": dict(lf.packages) if lf else {},
        },
        after=tuple(after),
        gpus=gpus,
        needs_env=(HUB_TOKEN,) if values.get("push_to_hub") else (),
        chain=chain,
        moment=moment,
    )


def export_spec(
    args: Mapping[str, object],
    *,
    workspace: Path,
    lf: LlamaFactory | None,
    schema: Schema | None = None,
    name: str | None = None,
    after: Sequence[str] = (),
    gpus: GpuRequest | None = None,
    chain: Chain | None = None,
    check: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> JobSpec:
    """Return the spec of an export (merge) with ``args``; as ``train_spec``."""
    known = schema or snapshot()
    values = normal_export(args, workspace=workspace)
    if check:
        refuse(preflight.export_checks(values, workspace=workspace, lf=lf, schema=known, after=after, environ=environ))
    return JobSpec.new(
        "export",
        name or Path(str(values.get("export_dir") or "export")).name,
        workspace=str(workspace),
        params={
            "args": values,
            "python": str(lf.python) if lf else "",
            "export_dir": values.get("export_dir") or "",
            "versions": dict(lf.packages) if lf else {},
        },
        after=tuple(after),
        gpus=gpus,
        needs_env=(HUB_TOKEN,) if values.get("export_hub_model_id") else (),
        chain=chain,
    )


def normal_train(
    args: Mapping[str, object],
    *,
    workspace: Path,
    lf: LlamaFactory | None,
    schema: Schema,
    moment: datetime | None = None,
) -> dict[str, object]:
    """Return ``args`` as they are run: absolute folders, an output_dir, nothing reported anywhere unless asked.

    ``enable_jit_checkpoint`` is added where the installed transformers has it (a stop then loses nothing).
    """
    values = _resolved(args, workspace, ("dataset_dir", "output_dir", "media_dir", "tokenized_path"))
    values.setdefault("dataset_dir", str(workspace / "data"))
    if not values.get("output_dir"):
        model = Path(str(values.get("model_name_or_path") or "model").rstrip("/")).name
        method = str(values.get("finetuning_type") or "lora")
        stamp = (moment or now()).astimezone().strftime("%Y-%m-%d-%H-%M-%S")
        values["output_dir"] = str(workspace / "saves" / model / method / f"train_{stamp}")  # LLaMA Board's place
    values.setdefault("report_to", "none")
    # The stage ppo has a training loop of its own, in which such a checkpoint was never meant to be written.
    if (
        JIT_CHECKPOINT not in values
        and values.get("stage") != "ppo"
        and lf is not None
        and has_jit_checkpoint(lf, schema)
    ):
        values[JIT_CHECKPOINT] = True
    return values


def normal_export(args: Mapping[str, object], *, workspace: Path) -> dict[str, object]:
    """Return ``args`` as they are run: with absolute folders."""
    return _resolved(args, workspace, ("export_dir",))


def dry_run(
    spec: JobSpec, checks: Sequence[Check], jobs: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, object]:
    """Return ``{ok, argv, env, yaml, checks}``: what the job would run, the object of ``--dry-run --json``."""
    verb: Verb = "train" if spec.kind == "train" else "export"
    python = Path(str(spec.params["python"]))
    file = jobs / spec.id / (TRAIN_FILE if verb == "train" else EXPORT_FILE)
    args = spec.params["args"]
    output_dir = Path(str(spec.params["output_dir"])) if verb == "train" else None
    return {
        "ok": not any(check.level == "error" for check in checks),
        "argv": list(command.argv(python, verb, file)),
        "env": command.environment(python, output_dir=output_dir, gpus=spec.gpus, environ=environ),
        "yaml": yamlform.dump(args if isinstance(args, dict) else {}),  # pyright: ignore[reportUnknownArgumentType] - made above
        "checks": [check.as_json() for check in checks],
    }


def _resolved(args: Mapping[str, object], workspace: Path, folders: Sequence[str]) -> dict[str, object]:
    """Return ``args`` with the named folders absolute, and models and adapters too where such a local folder exists."""
    values = dict(args)
    for name in folders:
        text = values.get(name)
        if isinstance(text, str) and text and not text.startswith(_KEPT_DATASET_DIRS):
            values[name] = str(_absolute(text, workspace))
    for name in ("model_name_or_path", "adapter_name_or_path", "ref_model", "reward_model"):
        text = values.get(name)
        if isinstance(text, str) and text:
            values[name] = ",".join(_local(part.strip(), workspace) for part in text.split(","))
    return values


def _local(text: str, workspace: Path) -> str:
    """Return an absolute path where ``text`` names a folder here; a name on a hub stays as it is."""
    if text.startswith(("~", ".", "/")) or (workspace / text).is_dir():
        return str(_absolute(text, workspace))
    return text


def _absolute(text: str, workspace: Path) -> Path:
    return Path(os.path.normpath(workspace.absolute() / Path(text).expanduser()))


def _train_name(values: Mapping[str, object]) -> str:
    model = Path(str(values.get("model_name_or_path") or "model").rstrip("/")).name
    return f"{model} {values.get('stage', 'sft')} {values.get('finetuning_type', 'lora')}"


def refuse(checks: Iterable[Check]) -> None:
    """Raise RequestError for the first error among ``checks``, with the others in its detail."""
    errors = [check for check in checks if check.level == "error"]
    if not errors:
        return
    first, *others = errors
    detail: Message | str = ""
    if others:
        detail = _("Also: {others}", others="; ".join(check.message.english() for check in others))
    raise RequestError(first.message, detail, first.remedy)
