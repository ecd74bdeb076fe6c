"""Stop, resume, remove and copy a job: the same keys and dialogs wherever a job is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work

from data.errors import AppError
from data.i18n import _
from data.jobs.library import Job
from data.jobs.status import Status
from data.size import size
from data.text import inert
from screens.job_lines import name_of
from screens.place import Place
from tui.proving import may_mend
from tui.wording import chain_title

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobActions(Place):
    """A place with a ``selected_job``."""

    @property
    def selected_job(self) -> Job | None:
        """The job that the keys are about."""
        raise NotImplementedError

    @property
    def jobs_to_remove(self) -> tuple[Job, ...]:
        """The jobs that a removal is about: the selected one, or a pipeline as a whole."""
        job = self.selected_job
        return () if job is None else (job,)

    @property
    def copy_text(self) -> str:
        """What the copy key takes."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer stop for live jobs, resume for those that did not succeed, remove for ended ones."""
        if action not in ("stop_job", "resume_job", "remove_job", "copy_job", "export_job", "mend_job"):
            return super().check_action(action, parameters)
        job = self.selected_job if self.is_mounted else None
        if job is None:
            return False
        allowed: Mapping[str, bool] = {
            "stop_job": job.status.is_live and job.status is not Status.UNREACHABLE,
            "resume_job": job.status in (Status.FAILED, Status.STOPPED, Status.LOST),
            "remove_job": all(each.status.is_ended for each in self.jobs_to_remove),
            "copy_job": True,
            "mend_job": may_mend(job),
            "export_job": job.spec.kind == "train" and job.status in (Status.SUCCEEDED, Status.STOPPED),
        }
        return allowed[action]

    @work(exclusive=True, group="mend")
    async def action_mend_job(self) -> None:
        """Make right what the proof has found to differ, by a job that is followed."""
        from screens.proof.mending import mend  # noqa: PLC0415 - not needed for the first frame

        job = self.selected_job
        if job is not None:
            await mend(self, job)

    @work
    async def action_stop_job(self) -> None:
        """Ask how to stop, and ask the job."""
        from screens.choice import Choice, ChoiceDialog  # noqa: PLC0415 - not needed for the first frame

        job = self.selected_job
        if job is None:
            return
        consequences = await self.attempt(lambda: self.services.stop_consequences(job))
        if consequences is None:
            return
        chosen = await self.choose(
            ChoiceDialog(
                _("Stop {job}?", job=name_of(job)),
                consequences.standing,
                [
                    Choice("graceful", "g", _("Stop gracefully"), consequences.graceful),
                    Choice("now", "n", _("Stop now"), consequences.now, danger=True),
                ],
            )
        )
        if chosen in ("graceful", "now"):
            await self.attempt(lambda: self.services.stop(job, "now" if chosen == "now" else "graceful"))
            self.paddock.look_soon()

    @work
    async def action_resume_job(self) -> None:
        """Say what a resume means, then do it."""
        from screens.choice import Choice, ChoiceDialog  # noqa: PLC0415 - not needed for the first frame

        job = self.selected_job
        if job is None:
            return
        consequence = await self.attempt(lambda: self.services.resume_consequence(job))
        if consequence is None:
            return
        chosen = await self.choose(
            ChoiceDialog(
                _("Resume {job}?", job=name_of(job)),
                consequence,
                [
                    Choice(
                        "resume",
                        "r",
                        _("Resume"),
                        _("It runs again in its own folder, as attempt {n}.", n=job.state.attempt + 1),
                    )
                ],
            )
        )
        if chosen == "resume":
            started = await self.attempt(lambda: self.services.resume(job))
            if started is not None:
                self.say(_("{count} jobs started", count=len(started)))
            self.paddock.look_soon()

    @work
    async def action_remove_job(self) -> None:
        """Say what a removal deletes, then do it; what was made is kept by default."""
        from screens.choice import Choice, ChoiceDialog  # noqa: PLC0415 - not needed for the first frame

        jobs = self.jobs_to_remove
        if not jobs:
            return
        kept = await self.attempt(lambda: self.services.removal_consequence(jobs, with_artifacts=False))
        all_gone = await self.attempt(lambda: self.services.removal_consequence(jobs, with_artifacts=True))
        if kept is None or all_gone is None:
            return
        chain = jobs[0].spec.chain
        if len(jobs) == 1 or chain is None:
            question = _("Remove {job}?", job=name_of(jobs[0]))
            keep, both = _("Remove the job, keep what it made"), _("Remove the job and what it made")
        else:
            question = _(
                "Remove the pipeline {job} with its {count} jobs?", job=inert(chain_title(chain)), count=len(jobs)
            )
            keep, both = _("Remove the jobs, keep what they made"), _("Remove the jobs and what they made")
        choices = [Choice("keep", "k", keep, kept)]
        if any(job.state.artifacts for job in jobs):
            choices.append(Choice("all", "a", both, all_gone, danger=True))
        chosen = await self.choose(ChoiceDialog(question, _("This cannot be undone."), choices))
        if chosen in ("keep", "all"):
            freed = await self.attempt(lambda: self.services.remove(jobs, with_artifacts=chosen == "all"))
            if freed is not None:
                self.say(_("Removed; {size} are free again", size=size(freed)))
                self.removed(jobs[0])
            self.paddock.look_soon()

    def removed(self, job: Job) -> None:
        """Go on after ``job`` is gone."""

    async def action_export_job(self) -> None:
        """Go to Export with what the training made."""
        job = self.selected_job
        if job is not None:
            await self.paddock.open_export(str(job.spec.params.get("output_dir") or ""))

    def action_copy_job(self) -> None:
        """Copy what is known about the job."""
        job = self.selected_job
        if job is not None and self.copy_text:
            self.copy(job.id, self.copy_text)

    def fail(self, error: AppError) -> None:
        """Show a failure."""
        self.paddock.fail(error)
