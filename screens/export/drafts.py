"""What a person has made of the plans of exports: kept while Export is closed, for as long as the app runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.export.plan import ExportPlan
    from backend.export.source import Run, Source


@dataclass(slots=True)
class Draft:
    """The plan for some weights as a person has left it."""

    plan: ExportPlan
    unlocked: set[str] = field(default_factory=set[str])
    """Fields that the training decided, and that may be changed all the same"""
    aside: dict[str, ExportPlan] = field(default_factory=dict[str, "ExportPlan"])
    """The plan as it last was with what is switched off now, by that part's name in the plan"""

    def changed(self, key: str, value: str, home: str) -> ExportPlan:
        """Return the plan with the field ``key`` set, and what is switched on again as it was; raises RequestError."""
        from screens.export import changes  # noqa: PLC0415 - what it needs of backend comes with it

        plan = changes.apply(self.plan, key, value, home=home)
        plan = changes.brought_back(plan, self.plan, self.aside)
        self.aside |= dict.fromkeys(changes.switched_off(plan, self.plan), self.plan)
        return plan

    def edit(self, modelfile: str) -> None:
        """Keep what was made of the Modelfile, and for which training; "" is the draft."""
        from backend.export.plan import training_params  # noqa: PLC0415 - as above

        deployment = self.plan.deployment
        if deployment is None or modelfile == deployment.edited:
            return
        written_for = self.plan.written_for if deployment.edited else training_params(self.plan)
        deployment = dataclasses.replace(deployment, edited=modelfile)
        self.plan = dataclasses.replace(
            self.plan, deployment=deployment, written_for=written_for if modelfile else None
        )


@dataclass(slots=True)
class Drafts:
    """All drafts of a session, and where in them a person was."""

    elsewhere: dict[Path, Source] = field(default_factory=dict[Path, "Source"])
    """What was opened by its path, by where it lies: none of the runs has it"""
    chosen: Path | None = None
    at_weights: str = ""
    """The row that the cursor was on in the list of weights"""
    at_field: str = ""
    """The field that it was on in the form"""
    _made: dict[Path, Draft] = field(default_factory=dict[Path, Draft])

    def choose(self, usual: ExportPlan) -> Draft:
        """Return the draft of the weights of ``usual``, which is what they are exported to as long as nobody says more.

        The weights are those that lie there now: what nobody has changed follows their training.
        """
        from screens.export.changes import of_now  # noqa: PLC0415 - what it needs of backend comes with it

        path = usual.source.path
        self.chosen = path
        self.elsewhere[path] = usual.source
        found = self._made.setdefault(path, Draft(usual))
        found.plan = of_now(found.plan, usual)
        return found

    def preferred(self, runs: Sequence[Run], wanted: str) -> Path | None:
        """Return the best weights of the run ``wanted`` (its end, else its newest), else what lies there.

        Where none is wanted: what was chosen last, else the best of the newest run; None where there is nothing.
        """
        path = Path(wanted) if wanted else self.chosen
        asked = [run for run in runs if wanted and run.path == path]
        if path is not None and not asked:
            return path
        return next((run.checkpoints[0].path for run in asked or runs), None)

    def drop(self, path: Path) -> None:
        """Forget the weights at ``path``, which are gone."""
        self.elsewhere.pop(path, None)
        self._made.pop(path, None)
        if self.chosen == path:
            self.chosen = None
