"""A job in words and bars: pure functions from what a job is to what Home and Run show of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, cast

from data.i18n import Message, _
from data.jobs.library import Job
from data.jobs.pace import Pace
from data.jobs.status import STATUS_WORDS, Status
from data.size import size
from data.text import inert
from tui.proving import comparison_words, in_brief
from tui.theme import role_of
from tui.widgets.cells import Parts, part, width_of
from tui.wording import (
    STATUS_GLYPHS,
    amount,
    artifact_word,
    bar,
    duration,
    job_name,
    job_warnings,
    number,
    work_word,
)

_MARKS: Final = {"done": "✓ ", "warn": "! ", "failed": "✗ "}


class JobDetail(NamedTuple):
    """What a view knows about one job beyond its state: its pace, the end of its log if it failed, its pipeline."""

    job: Job
    pace: Pace | None = None
    exception: tuple[str, ...] = ()
    chain: tuple[Job, ...] = ()

    @property
    def waits_for(self) -> str:
        """What the job waits for, a job of its pipeline by its name: ids are for the command line."""
        why = self.job.state.waiting_for
        parent = next((job for job in self.chain if job.id == why.values.get("job")), None)
        if parent is not None:
            why = Message(why.template, {**why.values, "job": step_words(parent)})
        return str(why)


def name_of(job: Job) -> str:
    """Return the job's name, inert."""
    return inert(job_name(job.spec)).replace("\n", " ")


def step_words(job: Job) -> str:
    """Return ``step_name`` as text."""
    return " ".join(text for text, _role in step_name(job) if text.strip())


def step_name(job: Job) -> Parts:
    """Return a step of a pipeline: what it does, then its name where that says more."""
    kind, name = work_word(job.spec), name_of(job)
    role = "muted" if job.status is Status.WAITING else "text"
    return ((kind, role),) if name.casefold() == kind.casefold() else ((kind, role), ("  ", ""), (name, "muted"))


def single_name(job: Job) -> Parts:
    """Return a job of its own: its name, then what it does."""
    return ((name_of(job), "text"), ("  ", ""), (work_word(job.spec), "muted"))


def status_parts(status: Status, *, responding: bool = True) -> Parts:
    """Return glyph and word of a status."""
    if not responding and status.is_live:
        return (("! ", "lost"), (str(_("no answer")), "lost"))
    role = role_of(status)
    return ((f"{STATUS_GLYPHS[status]} ", role), (str(STATUS_WORDS[status]), role))


def progress_parts(part_done: float | None, status: Status, width: int) -> Parts:
    """Return a bar of ``width`` cells and its percentage; blank where progress is unknown or over.

    A job that has ended has no bar, which would say that something is still to come: only how far it was before it
    was stopped or lost, since a resume goes on from there.
    """
    if part_done is None or status in (Status.SUCCEEDED, Status.FAILED):
        return ()
    if not status.is_live:
        return part(f"{part_done:.0%}", "muted")
    filled, empty = bar(part_done, width)
    return ((filled, role_of(status)), (empty, "faint"), (f" {part_done:4.0%}", "text"))


def doing(job: Job) -> Parts:
    """Return the loss, else the stage, else what it waits for or took: a few words for a table."""
    state = job.state
    match job.status:
        case Status.WAITING:
            return part(str(state.waiting_for), "muted") if state.waiting_for else ()
        case Status.FAILED:
            return part(inert(str(state.title) or str(state.detail)).split("\n", 1)[0], "muted")
        case Status.SUCCEEDED:
            if "loss" in state.metrics:
                return ((f"{_('loss')} ", "muted"), (number(state.metrics["loss"]), "text"))
            made = sum(artifact.size_bytes for artifact in state.artifacts.values())
            return part(size(made), "muted") if made else ()
        case _:
            if "loss" in state.metrics:
                return ((f"{_('loss')} ", "muted"), (number(state.metrics["loss"]), "text"))
            return part(str(state.stage_label) or state.stage, "muted")


def left_s(job: Job, pace: Pace | None, now: datetime) -> float | None:
    """Return the seconds until the job's present stage is through."""
    return pace.left_s(now) if pace is not None and job.status is Status.RUNNING else None


def rate_words(pace: Pace) -> str:
    """Return a pace as people say it: bytes a second, seconds a step when steps are slow."""
    if pace.unit == "bytes":
        return f"{size(pace.per_s)}/s"
    if 0 < pace.per_s < 1:
        return str(_("{seconds} each", seconds=duration(1 / pace.per_s)))
    return str(_("{count} per second", count=number(pace.per_s)))


def progress_words(job: Job, pace: Pace | None, now: datetime) -> str:
    """Return "13 of 32 steps · 1.2 s each · 23 s left"; empty without progress."""
    progress = job.state.progress
    if progress is None:
        return ""
    words = [amount(progress.done, progress.total, progress.unit)]
    if pace is not None and pace.per_s > 0 and job.status.is_live:
        words.append(rate_words(pace))
        left = left_s(job, pace, now)
        if left is not None:
            words.append(str(_("{time} left", time=duration(left))))
    return " · ".join(words)


def metric_parts(job: Job) -> Parts:
    """Return the last metrics that people look for, each after its name."""
    shown: list[tuple[str, str]] = []
    for key, label in (
        ("loss", _("loss")),
        ("eval_loss", _("eval loss")),
        ("lr", _("learning rate")),
        ("learning_rate", _("learning rate")),
        ("grad_norm", _("grad norm")),
        ("epoch", _("epoch")),
        ("throughput", _("tokens/s")),
    ):
        if key in job.state.metrics:
            shown += [(f"{label} ", "muted"), (number(job.state.metrics[key]), "strong"), ("   ", "")]
    return tuple(shown[:-1])


def headline(job: Job) -> Parts:
    """Return status, name, kind and id: the first line of whatever is said about a job."""
    return (
        *status_parts(job.status, responding=job.state.responding),
        ("  ", ""),
        (name_of(job), "strong"),
        ("  ", ""),
        (job.id, "muted"),
    )


def failure_lines(detail: JobDetail) -> list[Parts]:
    """Return what failed, why, what to do, and the last exception of the log."""
    state = detail.job.state
    title, why, hint = inert(str(state.title)), inert(str(state.detail)), _hint(state.hint)
    lines: list[Parts] = []
    if title:
        lines.append(part(title, "failed"))
    # The log may have all three, too, in English: a work of ours ends with them.
    both = (str, Message.english)
    known = "\n".join(inert(say(text)) for text in (state.title, state.detail, state.hint) for say in both)
    if why:
        lines += [part(line, "text") for line in why.splitlines()]
    for line in detail.exception:
        if line.strip() and line.strip() not in known:
            lines.append(part(line, "text"))
    if not lines:
        code = "" if state.exit_code is None else str(state.exit_code)
        lines.append(
            part(str(_("It ended with exit code {code}.", code=code)) if code else str(_("It failed.")), "failed")
        )
    if hint:
        lines.append((("→ ", "key"), (hint, "text")))
    return lines


def _hint(hint: Message) -> str:
    """Return what to do; where that is an option of ``paddock verify``, the key that does the same here."""
    if "--mend" not in hint.english():
        return inert(str(hint))
    from screens.proof.lines import remedy_words  # noqa: PLC0415 - where a proof failed

    return remedy_words(hint)


def result_lines(job: Job) -> list[Parts]:
    """Return what was compared and answered, the names of what a job gave to later ones, and what is odd about it."""
    result = job.state.result
    lines: list[Parts] = []
    taken = comparison_words(result.get("comparison"))
    if taken:
        lines.append((("✓ ", "done"), (str(taken), "text")))
    if "answer" in result or "merged_answer" in result:
        asked = result.get("prompt") or job.spec.params.get("prompt", "")
        lines.append(((f"{_('question')}  ", "muted"), (inert(str(asked)), "text")))
    answers = [(_("answer"), result.get("answer")), (_("merged"), result.get("merged_answer"))]
    if result.get("answers_equal") is False:
        answers.append((_("adapter"), result.get("adapter_answer")))
    for name, answer in answers:
        if answer is not None:
            lines.append(((f"{name}  ", "muted"), (inert(str(answer)), "accent")))
    if result.get("answers_equal"):
        lines.append(part(str(_("The adapter beside its base answers the same.")), "muted"))
    for key, label in (("model", _("model")), ("ollama_model", _("model")), ("host", _("server")), ("url", _("hub"))):
        if result.get(key) and "answer" not in result:
            lines.append(((f"{label}  ", "muted"), (inert(str(result[key])), "text")))
    warnings: list[Parts] = [(("! ", "warn"), (inert(words), "text")) for words in job_warnings(result)]
    return [*lines, *warnings, *proof_lines(job)]


def proof_lines(job: Job) -> list[Parts]:
    """Return what the proof of a deployed model has come to; none where none was tried."""
    if "proof" not in job.state.result:
        return []
    found, label = job.state.result["proof"], f"{_('proof')}  "
    brief = in_brief(found)
    if brief is None:
        return [((label, "muted"), ("! ", "warn"), (str(_("none: nobody here knows what was trained")), "text"))]
    role, words = brief
    lines: list[Parts] = [((label, "muted"), (_MARKS[role], role), (str(words), "text"))]
    cause = Message.from_json(cast("dict[str, object]", found).get("cause"))
    return [*lines, ((" " * width_of(part(label)), ""), (inert(str(cause)), "muted"))] if cause else lines


def artifact_lines(job: Job, limit: int = 4) -> list[Parts]:
    """Return what the job made: words, size, path."""
    made = list(job.state.artifacts.values())
    lines: list[Parts] = [
        (
            (f"{artifact_word(artifact.what)}  ", "muted"),
            (f"{size(artifact.size_bytes)}  ", "text"),
            (inert(artifact.path), "muted"),
        )
        for artifact in made[:limit]
    ]
    if len(made) > limit:
        lines.append(part(str(_("and {count} more", count=len(made) - limit)), "muted"))
    return lines


def detail_lines(detail: JobDetail, now: datetime, *, with_time: bool = True) -> list[Parts]:
    """Return all that is worth saying about a job below its headline; ``with_time`` how long it has taken, too."""
    job = detail.job
    state = job.state
    lines: list[Parts] = []
    match job.status:
        case Status.FAILED:
            return failure_lines(detail)
        case Status.WAITING:
            lines.append(
                part(detail.waits_for or str(_("Its turn comes as soon as its supervisor starts it.")), "text")
            )
        case Status.LOST:
            lines.append(
                part(str(_("It ended without a word: a power cut, kill -9, or the machine's memory.")), "lost")
            )
            lines.append((("→ ", "key"), (str(_("Press r to resume it from where it was.")), "text")))
        case Status.UNSUPERVISED:
            lines.append(part(str(_("Its program lives without a supervisor; Paddock takes it over.")), "lost"))
        case Status.UNREACHABLE:
            lines.append(
                part(str(_("It runs on {host}; only that machine knows how it is.", host=state.host or "?")), "lost")
            )
        case Status.STOPPING:
            lines.append(part(str(state.stopping) or str(_("A stop was asked for.")), "warn"))
        case Status.RUNNING | Status.SUCCEEDED | Status.STOPPED:
            pass
    if job.status.is_live and state.stage_label:
        lines.append(part(str(state.stage_label), "text"))
    words = progress_words(job, detail.pace, now)
    if words and job.status is not Status.SUCCEEDED:
        lines.append(part(words, "text"))
    metrics = metric_parts(job)
    if metrics:
        lines.append(metrics)
    took = state.seconds(now)
    if took is not None and with_time:
        time = duration(took)
        said = _("running for {time}", time=time) if job.status.is_live else _("took {time}", time=time)
        lines.append(part(str(said), "muted"))
    return [*lines, *result_lines(job), *artifact_lines(job)]


def answers(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """Return the questions' names and answers of a pipeline, in its order."""
    return [(name_of(job), inert(str(job.state.result["answer"]))) for job in jobs if "answer" in job.state.result]


def deployed_model(jobs: Sequence[Job]) -> tuple[str, str]:
    """Return the model that one of ``jobs`` has put into Ollama, and its server; ("", "") where none has."""
    for job in reversed(jobs):
        if job.spec.kind in ("deploy", "prove") and job.status is Status.SUCCEEDED:
            asked = job.spec.params.get("name") or job.spec.params.get("model")
            name = str(job.state.result.get("model") or asked or "")
            return name, str(job.state.result.get("host") or job.spec.params.get("host") or "")
    return "", ""
