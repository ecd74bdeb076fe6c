"""What Run says about its job: the steps of the pipeline, the lines beside the curve, the answers. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.cells import cell_len

from data.i18n import Message, _
from data.jobs.library import Job
from data.jobs.status import Status
from data.text import inert
from screens.job_lines import (
    JobDetail,
    artifact_lines,
    detail_lines,
    failure_lines,
    left_s,
    metric_parts,
    name_of,
    progress_words,
    result_lines,
    status_parts,
    step_name,
)
from tui.theme import role_of
from tui.widgets.cells import Parts, part, width_of
from tui.widgets.table import Column, Row
from tui.wording import STATUS_GLYPHS, bar, clock_span, duration, fit, fraction, work_word

STEP_COLUMNS: Final = (Column(Message("")), Column(Message(""), 7, right=True))


def step_rows(jobs: Sequence[Job], shown: JobDetail | None, now: datetime, *, names: bool = True) -> list[Row]:
    """Return a row for each step: glyph, kind, with ``names`` its name, and the time it took, takes or has left."""
    rows: list[Row] = []
    for job in jobs:
        role = role_of(job.status)
        took = job.state.seconds(now)
        time: Parts = part(clock_span(took) if took is not None else "", "muted")
        if shown is not None and shown.job.id == job.id:
            left = left_s(job, shown.pace, now)
            if left is not None:
                time = part(f"-{clock_span(left)}", "running")
        words = step_name(job) if names else step_name(job)[:1]
        cells = (((f"{STATUS_GLYPHS[job.status]} ", role), *words), time)
        rows.append(Row(job.id, cells, f"{name_of(job)} {job.spec.kind} {job.status}"))
    return rows


def now_lines(detail: JobDetail, now: datetime, bar_width: int, curve_width: int = 0) -> list[Parts]:
    """Return the lines of a job; above a curve, in ``curve_width`` cells, few: the curve needs the room."""
    job = detail.job
    first: Parts = (
        *status_parts(job.status, responding=job.state.responding),
        ("  ", ""),
        (work_word(job.spec), "muted"),
    )
    if job.state.attempt > 1:
        first += (("  ", ""), (str(_("attempt {n}", n=job.state.attempt)), "muted"))
    took = job.state.seconds(now)
    if took is not None:
        first += (("  ", ""), (duration(took), "muted"))
    lines: list[Parts] = [first]
    if job.status is Status.FAILED:
        return [*lines, *failure_lines(detail)]
    done = fraction(job.state.progress)
    if done is not None and job.status is not Status.SUCCEEDED:
        if job.status.is_live:
            filled, empty = bar(done, bar_width)
            lines.append(((filled, role_of(job.status)), (empty, "faint"), (f" {done:.0%}", "strong")))
        lines.append(part(progress_words(job, detail.pace, now), "text"))
    elif job.status.is_live:
        lines.append(part(str(job.state.stage_label) or detail.waits_for, "text"))
    metrics = metric_parts(job)
    if metrics:
        lines.append(_beside_curve(metrics, curve_width) if curve_width else metrics)
    return lines


def _beside_curve(metrics: Parts, width: int) -> Parts:
    """Return as many of ``metrics`` as fit one line, without the loss: the curve's title has it."""
    shown = metrics[3:] if metrics[0][0] == f"{_('loss')} " else metrics
    while shown and width_of(shown) > width:
        shown = shown[:-3]
    return shown


def story_lines(detail: JobDetail, chain: Sequence[Job], now: datetime, bar_width: int) -> list[Parts]:
    """Return the lines of a job without a curve; they have the room for answers and artefacts."""
    job = detail.job
    if job.status is Status.FAILED:
        return now_lines(detail, now, bar_width)
    lines = now_lines(detail, now, bar_width)
    said = set(lines)
    for line in detail_lines(detail, now, with_time=False):
        if line not in said and line not in result_lines(job) and line not in artifact_lines(job):
            lines.append(line)
    answer = answer_lines(job, chain)
    rest = [*(answer or result_lines(job)), *artifact_lines(job)]
    return [*lines, (), *rest] if rest else lines


def answer_lines(job: Job, chain: Sequence[Job]) -> list[Parts]:
    """Return the question and every answer of the pipeline where ``job`` is one of its questions."""
    if "answer" not in job.state.result:
        return []
    asked = [one for one in chain if "answer" in one.state.result] or [job]
    prompt = inert(str(job.state.result.get("prompt") or job.spec.params.get("prompt", "")))
    lines: list[Parts] = [part(f"“{prompt}”", "strong"), ()]
    width = max(cell_len(name_of(one)) for one in asked)
    for one in asked:
        name, role = f"{fit(name_of(one), width)}  ", "accent" if one.id == job.id else "text"
        lines.append(((name, "muted"), (inert(str(one.state.result["answer"])), role)))
    return lines
