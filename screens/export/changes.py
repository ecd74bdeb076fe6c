"""A field's new value put back into an ``ExportPlan``, and what is wrong with the values. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, cast

from backend.convert.imatrix import misfit
from backend.convert.names import AUTO
from backend.deploy.request import Deployment
from backend.export.plan import (
    Device,
    ExportPlan,
    Gptq,
    draft,
    renamed,
    saved_again,
    usual_file,
    usual_gptq_folder,
    with_file,
    with_folder,
)
from backend.ollama.name import parse_name
from backend.train.gptq import is_file_name
from backend.train.pushing import is_repository, repository_words
from data.errors import AppError, RequestError
from data.i18n import Message, _
from tui.exporting import modelfile_problem
from tui.widgets.form import ON


def apply(plan: ExportPlan, key: str, value: str, *, home: str) -> ExportPlan:
    """Return ``plan`` with the field ``key`` set to ``value``; raises RequestError for a value that cannot be meant."""
    change = _CHANGES.get(key)
    if change is None:
        raise RequestError(_("There is no field {name}", name=key), "", "")
    return renamed(change(plan, value, home), plan)


def switched_off(plan: ExportPlan, former: ExportPlan) -> list[str]:
    """Return the parts that ``plan`` leaves out and ``former`` had."""
    return [part for part in _PARTS if getattr(former, part) is not None and getattr(plan, part) is None]


def brought_back(plan: ExportPlan, former: ExportPlan, aside: Mapping[str, ExportPlan]) -> ExportPlan:
    """Return ``plan``, which was ``former``, with what was switched on in it as it was before it was switched off.

    ``aside`` has the plan as it was then, by the part. What has its usual place and name goes along with the others.
    """
    parts = [part for part in switched_off(former, plan) if part in aside]
    for part in parts:
        plan = _BACK[part](plan, aside[part])
    if "gguf" in parts and plan.deployment is None and aside.get("deployment") is aside["gguf"]:
        plan = _deployment_back(plan, aside["deployment"])  # they were switched off together
    return plan


def _merge_back(plan: ExportPlan, then: ExportPlan) -> ExportPlan:
    if plan.merge is None or then.merge is None:
        return plan
    moved = with_folder(plan, then.merge.export_dir) if then.merge.is_named else plan
    assert moved.merge is not None  # noqa: S101 - as in the plan
    merge = dataclasses.replace(then.merge, export_dir=moved.merge.export_dir, is_there=False)
    return renamed(dataclasses.replace(moved, merge=merge), moved)


def _gptq_back(plan: ExportPlan, then: ExportPlan) -> ExportPlan:
    if plan.gptq is None or then.gptq is None:
        return plan
    folder = then.gptq.export_dir if then.gptq.is_named else plan.gptq.export_dir
    return dataclasses.replace(plan, gptq=dataclasses.replace(then.gptq, bits=plan.gptq.bits, export_dir=folder))


def _gguf_back(plan: ExportPlan, then: ExportPlan) -> ExportPlan:
    if then.gguf is None:
        return plan
    usual = usual_file(plan)
    folder = usual.parent if then.gguf.parent == then.model_folder else then.gguf.parent
    name = usual.name if then.gguf.name == usual_file(then).name else then.gguf.name
    return with_file(plan, folder / name)


def _deployment_back(plan: ExportPlan, then: ExportPlan) -> ExportPlan:
    if then.deployment is None:
        return plan
    return dataclasses.replace(plan, deployment=then.deployment.of(str(plan.gguf)))


def of_now(plan: ExportPlan, usual: ExportPlan) -> ExportPlan:
    """Return ``plan`` for its weights as they are now, of which ``usual`` is drafted: what nobody has changed follows.

    A training that was run again may have had another template.
    """
    then = draft(plan.source, plan.workspace)
    facts = {name: getattr(usual, name) for name in _FACTS if getattr(plan, name) == getattr(then, name)}
    return renamed(dataclasses.replace(plan, source=usual.source, **facts), plan)


def problems(plan: ExportPlan, templates: Collection[str] = ()) -> dict[str, Message]:
    """Return what is wrong with the values, by field: what can be told without looking anywhere.

    ``templates`` are those that LLaMA-Factory has; none where nobody knows them all.
    """
    found: dict[str, Message] = {}
    if plan.template and templates and plan.template not in templates:
        found["template"] = _(
            "LLaMA-Factory has no template {name}. Choose one of those that it has.", name=plan.template
        )
    if plan.deployment is not None:
        try:
            parse_name(plan.deployment.name)
        except AppError as error:
            found["name"] = _("{title}. {hint}", title=error.title, hint=error.hint)
        asked = plan.deployment
        wrong = modelfile_problem(asked.edited, asked.gguf) if asked.edited else None
        if wrong is not None:
            found["modelfile"] = _("{title}. {detail}", title=wrong.title, detail=wrong.detail)
    if plan.source.kind == "adapter" and not plan.base:
        found["base"] = _("The adapter names no base model; name the one it was trained on.")
    repository = plan.merge.export_hub_model_id if plan.merge is not None else ""
    if repository and not is_repository(repository):
        title, hint = repository_words(repository)
        found["export_hub_model_id"] = _("{title}. {hint}", title=title, hint=hint)
    wrong_matrix = misfit(plan.outtype, plan.imatrix) if plan.gguf is not None else None
    if wrong_matrix is not None:
        found["imatrix"] = _("{title}. {hint}", title=wrong_matrix.title, hint=wrong_matrix.hint)
    if plan.gptq is not None and not plan.gptq.dataset:
        found["gptq_dataset"] = _("GPTQ needs texts to calibrate with; name a file or a dataset.")
    return found


def _path(value: str, home: str, workspace: Path) -> Path:
    if not value:
        raise RequestError(_("A path is needed here"), "", _("Write one, or press escape."))
    expanded = home + value[1:] if home and (value == "~" or value.startswith("~/")) else value
    return (workspace / expanded).absolute()


def _whole(value: str, low: int, high: int) -> int:
    if not value.isdecimal() or not low <= int(value) <= high:
        raise RequestError(
            _("{value} does not fit here", value=value or "–"),
            _("A whole number from {low} to {high} is needed.", low=low, high=high),
            "",
        )
    return int(value)


def _set_merge(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.merge is None:
        return plan
    merge = dataclasses.replace(plan.merge, **changes)  # type: ignore[arg-type] - fields of Merge
    return dataclasses.replace(plan, merge=merge)


def _set_gptq(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.gptq is None:
        return plan
    return dataclasses.replace(plan, gptq=dataclasses.replace(plan.gptq, **changes))  # type: ignore[arg-type] - fields of Gptq


def _set_deployment(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.deployment is None:
        return plan
    made = dataclasses.replace(plan.deployment, **changes)  # type: ignore[arg-type] - fields of Deployment
    return dataclasses.replace(plan, deployment=made)


def _set_export_dir(plan: ExportPlan, value: str, home: str) -> ExportPlan:
    return _set_merge(with_folder(plan, _path(value, home, plan.workspace)), is_named=True)


def _set_convert(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    if value != ON:
        return dataclasses.replace(plan, gguf=None, deployment=None)
    return with_file(plan, usual_file(plan))


def _set_deploy(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    if value != ON:
        return dataclasses.replace(plan, deployment=None)
    usual = draft(plan.source, plan.workspace)
    file = plan.gguf or usual_file(plan)
    name = usual.deployment.name if usual.deployment else ""
    return dataclasses.replace(plan, gguf=file, deployment=Deployment(gguf=str(file), name=name))


def _set_bits(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    if not value:
        return dataclasses.replace(plan, gptq=None)
    if plan.gptq is not None:
        return _set_gptq(plan, bits=int(value))
    return dataclasses.replace(
        # No default: data/c4_demo.jsonl, LLaMA Board's, is in LLaMA-Factory's repository and not in its wheel.
        plan,
        gptq=Gptq(usual_gptq_folder(plan), int(value), ""),
    )


def _set_gptq_dir(plan: ExportPlan, value: str, home: str) -> ExportPlan:
    return _set_gptq(plan, export_dir=_path(value, home, plan.workspace), is_named=True)


def _dataset(value: str, home: str, workspace: Path) -> str:
    """Return a file absolute, since LLaMA-Factory would look for it elsewhere; a name on a hub stays as it is."""
    return str(_path(value, home, workspace)) if is_file_name(value) else value


def _set_thinking(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    return dataclasses.replace(plan, thinking=None if not value else value == ON)


_FACTS: Final = ("base", "template", "thinking", "system", "cutoff_len")
_PARTS: Final = ("merge", "gptq", "gguf", "deployment")
"""What can be switched off; a model is written before what is made of it"""
_BACK: Final[Mapping[str, Callable[[ExportPlan, ExportPlan], ExportPlan]]] = {
    "merge": _merge_back,
    "gptq": _gptq_back,
    "gguf": _gguf_back,
    "deployment": _deployment_back,
}
_Change = Callable[[ExportPlan, str, str], ExportPlan]
_CHANGES: Final[Mapping[str, _Change]] = {
    "template": lambda plan, value, _home: dataclasses.replace(plan, template=value),
    "thinking": _set_thinking,
    "system": lambda plan, value, _home: dataclasses.replace(plan, system=value),
    "cutoff_len": lambda plan, value, _home: dataclasses.replace(plan, cutoff_len=_whole(value or "0", 0, 10_000_000)),
    "base": lambda plan, value, _home: dataclasses.replace(plan, base=value),
    "again": lambda plan, value, _home: saved_again(plan, wanted=value == ON),
    "export_dir": _set_export_dir,
    "export_size": lambda plan, value, _home: _set_merge(plan, export_size=_whole(value, 1, 1000)),
    "infer_dtype": lambda plan, value, _home: _set_merge(plan, infer_dtype=value),
    "export_device": lambda plan, value, _home: _set_merge(plan, export_device=cast("Device", value)),
    "export_hub_model_id": lambda plan, value, _home: _set_merge(plan, export_hub_model_id=value),
    "prompt": lambda plan, value, _home: dataclasses.replace(plan, prompt=value),
    "gptq_bits": _set_bits,
    "gptq_dir": _set_gptq_dir,
    "gptq_dataset": lambda plan, value, home: _set_gptq(plan, dataset=_dataset(value, home, plan.workspace)),
    "gptq_nsamples": lambda plan, value, _home: _set_gptq(plan, nsamples=_whole(value, 1, 100_000)),
    "gptq_maxlen": lambda plan, value, _home: _set_gptq(plan, maxlen=_whole(value, 1, 1_000_000)),
    "convert": _set_convert,
    "imatrix": lambda plan, value, home: dataclasses.replace(
        plan, imatrix=_path(value, home, plan.workspace) if value else None
    ),
    "converter": lambda plan, value, _home: dataclasses.replace(plan, converter=value or AUTO),
    "outtype": lambda plan, value, _home: dataclasses.replace(plan, outtype=value),
    "file": lambda plan, value, home: with_file(plan, _path(value, home, plan.workspace)),
    "deploy": _set_deploy,
    "name": lambda plan, value, _home: _set_deployment(plan, name=value),
    "quantize": lambda plan, value, _home: _set_deployment(plan, quantize=value),
    "host": lambda plan, value, _home: _set_deployment(plan, host=value),
    "unproven": lambda plan, value, _home: _set_deployment(plan, unproven=value == ON),
}
