"""A merge asked for in LLaMA-Factory's own arguments, with the check whether it has taken behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.export import check
from backend.lf.lists import names_in
from backend.lf.peft import ADAPTER_WEIGHTS
from backend.train import stopping
from data.i18n import Message, _
from data.jobs.spec import Chain, JobSpec, new_chain_id

TITLE: Final = "export"
"""Of every chain that begins with a merge"""


def adapters_of(args: Mapping[str, object], workspace: Path) -> tuple[Path, ...]:
    """Return the folders of the adapters that the merge takes, in its order; relative ones count from ``workspace``."""
    return tuple(workspace / name for name in names_in(args.get("adapter_name_or_path")))


def reason_against(args: Mapping[str, object], workspace: Path, *, pending: bool) -> Message | None:
    """Return why the merge cannot be checked; None where it can.

    ``pending``: another job makes adapters that are not there yet.
    """
    adapters = adapters_of(args, workspace)
    if not adapters:
        return _("no adapter is merged")
    for folder in adapters:
        if not folder.is_dir():
            if not pending:
                return _("{path} is not a folder on this machine", path=str(folder))
        elif not (folder / ADAPTER_WEIGHTS).is_file():
            return _("{path} holds no {name}", path=str(folder), name=ADAPTER_WEIGHTS)
    return None


def with_check(export: JobSpec) -> list[JobSpec]:
    """Return ``export`` and the check of its merge as a chain. Tensors decide, so only they are compared."""
    args = stopping.args_of(export)
    chain_id = new_chain_id(TITLE, export.created_at)
    merge, then = (Chain(chain_id, f"{TITLE} {export.name}", index, 2) for index in range(2))
    params: dict[str, object] = {
        "base": str(args.get("model_name_or_path") or ""),
        "merged": str(args["export_dir"]),
        "adapters": [str(folder) for folder in adapters_of(args, Path(export.workspace))],
        "answers": False,
    }
    checking = JobSpec.new(
        check.KIND, "merge check", workspace=export.workspace, params=params, after=(export.id,), chain=then
    )
    return [export._replace(chain=merge), checking]
