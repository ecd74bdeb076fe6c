"""A merge asked for in LLaMA-Factory's own arguments, with what follows it: whether it has taken, and a push."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.export import check
from backend.export.push import push_spec
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


def with_followers(export: JobSpec, *, check_merge: bool) -> list[JobSpec]:
    """Return ``export`` with what comes behind it as a chain: the check of its merge, the push that it asks for.

    Tensors decide whether it has taken, so only they are compared. LLaMA-Factory would push what nobody has checked.
    """
    args = dict(stopping.args_of(export))
    repository = args.pop("export_hub_model_id", None)
    length = 1 + check_merge + bool(repository)
    if length == 1:
        return [export]
    workspace, folder = Path(export.workspace), Path(str(args["export_dir"]))
    chain_id = new_chain_id(TITLE, export.created_at)
    places = [Chain(chain_id, f"{TITLE} {export.name}", position, length) for position in range(length)]
    specs = [export._replace(params={**export.params, "args": args}, needs_env=(), chain=places[0])]
    if check_merge:
        params: dict[str, object] = {
            "base": str(args.get("model_name_or_path") or ""),
            "merged": str(folder),
            "adapters": [str(path) for path in adapters_of(args, workspace)],
            "answers": False,
        }
        specs.append(
            JobSpec.new(
                check.KIND,
                "merge check",
                workspace=export.workspace,
                params=params,
                after=(export.id,),
                chain=places[len(specs)],
            )
        )
    if repository:
        after = (specs[-1].id,)
        specs.append(push_spec(folder, str(repository), workspace=workspace, after=after, chain=places[-1]))
    return specs
