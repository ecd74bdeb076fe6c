"""Where the models of an export go: into free folders, or a merge nowhere, since this very one is there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.export.plan import ExportPlan, merge_args, usual_folder, usual_gptq_folder, with_folder
from backend.export.source import weight_bytes
from backend.lf.hub import local_model
from backend.train.record import merge_of, read_record
from backend.train.spec import normal_export
from data.i18n import Message, _

_MOST: Final = 1000


def settle(plan: ExportPlan) -> ExportPlan:
    """Return ``plan`` as it can be started: whoever exports again wants another GGUF or name, not another merge.

    Where the usual folder holds something else, the next free one is taken. A folder that a person named stays, and
    is refused where it is used. Looks at a few files; what was settled before is settled anew.
    """
    return _settle_gptq(_settle_merge(plan))


def _settle_gptq(plan: ExportPlan) -> ExportPlan:
    if plan.gptq is None or plan.gptq.is_named:
        return plan
    free = next((folder for folder in _folders(usual_gptq_folder(plan)) if not _is_used(folder)), plan.gptq.export_dir)
    return dataclasses.replace(plan, gptq=dataclasses.replace(plan.gptq, export_dir=free))


def _settle_merge(plan: ExportPlan) -> ExportPlan:
    if plan.merge is None:
        return plan
    current = plan.merge.export_dir
    usual = () if plan.merge.is_named else _folders(usual_folder(plan.workspace, plan.gguf_name))
    for folder in (current, *usual):
        is_there = _holds(folder, plan)
        if is_there or not _is_used(folder):
            moved = plan if folder == current else with_folder(plan, folder)
            assert moved.merge is not None  # noqa: S101 - as in the plan
            lacks_base = is_there and _is_gone(plan.base, plan.workspace)
            merge = dataclasses.replace(moved.merge, is_there=is_there, lacks_base=lacks_base)
            return dataclasses.replace(moved, merge=merge)
    return dataclasses.replace(plan, merge=dataclasses.replace(plan.merge, is_there=False, lacks_base=False))


def note(plan: ExportPlan) -> Iterator[Message]:
    """Yield what a settled plan should tell: that nothing is merged, or that its folder is not the usual one."""
    if plan.merge is None:
        return
    if plan.merge.is_there:
        yield _("This very merge is in {folder} already: it is used again.", folder=plan.merge.export_dir.name)
        if plan.merge.lacks_base:
            yield _("It is not checked: its base, {base}, is not on this machine any more.", base=plan.base)
    elif not plan.adapters and not plan.merge.is_named and plan.merge.export_dir.name != plan.gguf_name:
        yield _(
            "{used} holds something else: the model is saved in {folder}.",
            used=plan.gguf_name,
            folder=plan.merge.export_dir.name,
        )
    elif not plan.merge.is_named and plan.merge.export_dir.name != plan.gguf_name:
        yield _(
            "{used} holds something else: the merge goes into {folder}.",
            used=plan.gguf_name,
            folder=plan.merge.export_dir.name,
        )


def _folders(usual: Path) -> Iterator[Path]:
    yield usual
    for number in range(2, _MOST):
        yield usual.with_name(f"{usual.name}-{number}")


def _is_used(folder: Path) -> bool:
    try:
        return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError:  # closed to us: not a place to write to
        return True


def _is_gone(base: str, workspace: Path) -> bool:
    return local_model(str(workspace / base)) is None and local_model(base) is None


def _holds(folder: Path, plan: ExportPlan) -> bool:
    if plan.merge is None or not plan.adapters:
        return False
    record = read_record(folder)
    if record is None or not isinstance(record.values.get("merge"), dict) or not weight_bytes(folder):
        return False
    return record.values["merge"] == merge_of(normal_export(merge_args(plan), workspace=plan.workspace))
