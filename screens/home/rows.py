"""The rows of Home's table: pipelines with their steps below them, newest first. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from data.i18n import _
from data.jobs.library import Job
from data.jobs.pace import Pace
from data.jobs.status import Status
from data.text import inert
from screens.job_lines import doing, left_s, name_of, progress_parts, single_name, status_parts, step_name
from tui.widgets.cells import Parts, part, width_of
from tui.widgets.table import Column, Row
from tui.wording import age, chain_title, clock_span, fraction, work_word

BAR_WIDTH: Final = 10
CHAIN: Final = "chain:"
"""Prefix of the key of a pipeline's row; its id follows"""

COLUMNS: Final = (
    Column(_("state"), 14),
    Column(_("job")),
    Column(_("progress"), BAR_WIDTH + 5, from_width=52),
    Column(_("left"), 7, right=True, from_width=46),
    Column(_("loss or stage"), 16, from_width=84),
    Column(_("age"), 6, right=True, from_width=58),
)


def columns_for(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns, each no wider than what ``rows`` have in it: what is free goes to the names of the jobs."""
    made: list[Column] = []
    for index, column in enumerate(COLUMNS):
        widest = max((width_of(row.cells[index]) for row in rows if index < len(row.cells)), default=0)
        # Numbers that run keep their room, so that the names do not move with every second.
        needed = column.width if widest and column.right else max(widest, width_of(part(str(column.title))))
        made.append(column._replace(width=min(column.width, needed)))
    return tuple(made)


class Group(NamedTuple):
    """Jobs of one pipeline in order, or a single job."""

    key: str
    title: str
    jobs: tuple[Job, ...]

    @property
    def is_chain(self) -> bool:
        """It is a pipeline."""
        return self.key.startswith(CHAIN)

    @property
    def status(self) -> Status:
        """What the pipeline as a whole is: the first of these that one of its jobs is."""
        found = {job.status for job in self.jobs}
        for status in (
            Status.FAILED,
            Status.LOST,
            Status.UNSUPERVISED,
            Status.STOPPING,
            Status.RUNNING,
            Status.UNREACHABLE,
            Status.STOPPED,
            Status.WAITING,
        ):
            if status in found:
                return status
        return Status.SUCCEEDED

    @property
    def current(self) -> Job:
        """The job that a look at the pipeline means: the failed, else the working, else the next, else the last."""
        for wanted in (
            (Status.LOST, Status.UNSUPERVISED),
            (Status.FAILED,),
            (Status.RUNNING, Status.STOPPING, Status.UNREACHABLE),
            (Status.STOPPED,),
            (Status.WAITING,),
        ):
            for job in self.jobs:
                if job.status in wanted and not (job.status is Status.FAILED and job.state.cause == "after"):
                    return job
        return self.jobs[-1]


def groups(jobs: Sequence[Job]) -> list[Group]:
    """Return pipelines and single jobs, newest first; a server that a pipeline uses is a job like any other."""
    chains: dict[str, list[Job]] = {}
    order: dict[str, Group | None] = {}
    for job in jobs:
        chain = job.spec.chain
        if chain is None:
            order[job.id] = Group(job.id, name_of(job), (job,))
        else:
            chains.setdefault(chain.id, []).append(job)
            order[CHAIN + chain.id] = None
    made: list[Group] = []
    for key, group in order.items():
        if group is not None:
            made.append(group)
            continue
        members = sorted(
            chains[key.removeprefix(CHAIN)], key=lambda job: job.spec.chain.position if job.spec.chain else 0
        )
        first = members[0].spec.chain
        made.append(Group(key, inert(chain_title(first)) if first else "", tuple(members)))
    made.reverse()
    return made


def is_folded(group: Group, toggled: frozenset[str]) -> bool:
    """Say whether the steps of ``group`` are hidden: those of ended pipelines are, until somebody asks otherwise."""
    default = group.status in (Status.SUCCEEDED, Status.STOPPED)
    return default != (group.key in toggled)


def job_rows(
    found: Sequence[Group], paces: Mapping[str, Pace], now: datetime, toggled: frozenset[str] = frozenset()
) -> list[Row]:
    """Return the rows of ``found``; ``toggled`` holds the keys of pipelines that somebody folded or unfolded."""
    rows: list[Row] = []
    for group in found:
        if not group.is_chain:
            rows.append(_job_row(group.jobs[0], paces.get(group.jobs[0].id), now, ""))
            continue
        folded = is_folded(group, toggled)
        rows.append(_chain_row(group, paces, now, folded=folded))
        if not folded:
            last = len(group.jobs) - 1
            rows += [
                _job_row(job, paces.get(job.id), now, "└ " if index == last else "├ ")
                for index, job in enumerate(group.jobs)
            ]
    return rows


def _job_row(job: Job, pace: Pace | None, now: datetime, tree: str) -> Row:
    waits = job.status is Status.WAITING and tree
    name: Parts = ((tree, "faint"), *(step_name(job) if tree else single_name(job)))
    cells: tuple[Parts, ...] = (
        status_parts(job.status, responding=job.state.responding),
        name,
        progress_parts(fraction(job.state.progress), job.status, BAR_WIDTH),
        part(clock_span(left_s(job, pace, now))),
        () if waits else doing(job),
        part(_age(job, now), "muted"),
    )
    return Row(job.id, cells, f"{name_of(job)} {work_word(job.spec)} {job.spec.kind} {job.id} {job.status}")


def _age(job: Job, now: datetime) -> str:
    if job.status is Status.WAITING and job.spec.chain is not None:
        return ""
    return age(job.state.ended_at or job.state.started_at or job.spec.created_at, now)


def _chain_row(group: Group, paces: Mapping[str, Pace], now: datetime, *, folded: bool) -> Row:
    done = sum(1 for job in group.jobs if job.status is Status.SUCCEEDED)
    total = group.jobs[0].spec.chain.length if group.jobs[0].spec.chain else len(group.jobs)
    current = group.current
    pace = paces.get(current.id)
    cells: tuple[Parts, ...] = (
        status_parts(group.status),
        (("▸ " if folded else "▾ ", "accent"), (group.title, "strong")),
        part(str(_("{done} of {total} steps", done=done, total=total)), "text"),
        part(clock_span(left_s(current, pace, now)) if folded else ""),
        part(name_of(current), "muted") if folded and group.status is not Status.SUCCEEDED else (),
        part(age(group.jobs[0].spec.created_at, now), "muted"),
    )
    text = " ".join((group.title, *(name_of(job) for job in group.jobs), str(group.status)))
    return Row(group.key, cells, text)
