"""Who will make the GGUF of an export, and what it will lack, before the merge that it is made of."""

from __future__ import annotations

from backend.convert.names import FOREIGN
from backend.convert.road import Others, Road, asked_for, road_of
from backend.export.plan import ExportPlan, base_folder


def foresee(plan: ExportPlan, find: Others) -> Road:
    """Look at the model that is here now, which the merged one will be like.

    Raises RequestError where nobody can convert it. Where it is not here yet, the conversion itself decides.
    """
    if "convert" not in plan.steps:
        return Road()
    folder = base_folder(plan)
    if folder is None:
        is_named = plan.converter in FOREIGN
        return Road(asked_for(plan.converter, None, find, plan.outtype) if is_named else None)
    return road_of(folder, plan.converter, find, outtype=plan.outtype, is_base="export" in plan.steps)
