"""The status of a job, derived and never stored: a fold of its events through a table, then the lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, cast

from data.i18n import Message, _
from data.jobs import process
from data.jobs.folder import HEARTBEAT_LATE_S, Event, JobFolder
from data.jobs.spec import parse_time


class Status(StrEnum):
    """What a job is. The first three are alive, the next three ended, the last three need somebody."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    UNSUPERVISED = "unsupervised"
    UNREACHABLE = "unreachable"

    @property
    def is_live(self) -> bool:
        """Waiting, running or stopping, or thought to be."""
        return self in (Status.WAITING, Status.RUNNING, Status.STOPPING, Status.UNSUPERVISED, Status.UNREACHABLE)

    @property
    def is_ended(self) -> bool:
        """Nothing will happen any more unless somebody resumes it."""
        return not self.is_live


STATUS_WORDS: Final[Mapping[Status, Message]] = {
    Status.WAITING: _("waiting"),
    Status.RUNNING: _("running"),
    Status.STOPPING: _("stopping"),
    Status.SUCCEEDED: _("done"),
    Status.FAILED: _("failed"),
    Status.STOPPED: _("stopped"),
    Status.LOST: _("lost"),
    Status.UNSUPERVISED: _("unsupervised"),
    Status.UNREACHABLE: _("unreachable"),
}


_OUTCOMES: Final = {
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "stopped": Status.STOPPED,
    "lost": Status.LOST,
}
_ENDED: Final = frozenset(_OUTCOMES.values())

# (state before, kind of event) -> state after; "finished" takes the state from its outcome.
TRANSITIONS: Final[Mapping[tuple[Status | None, str], Status | None]] = {
    (None, "waiting"): Status.WAITING,
    (Status.WAITING, "waiting"): Status.WAITING,
    (Status.WAITING, "started"): Status.RUNNING,
    (Status.WAITING, "stopping"): Status.STOPPING,
    (Status.WAITING, "finished"): None,
    (Status.RUNNING, "stopping"): Status.STOPPING,
    (Status.RUNNING, "finished"): None,
    (Status.STOPPING, "stopping"): Status.STOPPING,
    (Status.STOPPING, "finished"): None,
    **{(ended, "waiting"): Status.WAITING for ended in _ENDED},
}


class Progress(NamedTuple):
    """How far the stage is, in ``unit``; ``total`` None means unknown."""

    done: float
    total: float | None
    unit: str

    def as_json(self) -> dict[str, object]:
        """Return ``{done, total, unit}``."""
        return {"done": self.done, "total": self.total, "unit": self.unit}


class Artifact(NamedTuple):
    """A file or folder that the job made."""

    path: str
    what: str
    size_bytes: int


class JobState:
    """What the events of a job say; ``status`` is corrected by ``derive`` with what the lock says.

    Written out, where a data class would take the app's first frame longer to make (docs/adr/0014).
    """

    status: Status = Status.WAITING
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    progress: Progress | None = None
    stage: str = ""
    stage_label: Message = Message("")
    metrics: dict[str, float]
    waiting_for: Message = Message("")
    stopping: Message = Message("")
    exit_code: int | None = None
    title: Message = Message("")
    detail: Message = Message("")
    hint: Message = Message("")
    cause: str = ""
    """A stable id of why it failed, e.g. "after"; empty when there is none"""
    artifacts: dict[str, Artifact]
    result: dict[str, object]
    supervisor: dict[str, object]
    work_pid: int | None = None
    host: str = ""
    responding: bool = True
    illegal_events: int = 0
    bad_lines: int = 0

    def __init__(self) -> None:
        self.metrics = {}
        self.artifacts = {}
        self.result = {}
        self.supervisor = {}

    def seconds(self, moment: datetime) -> float | None:
        """Return how long the present attempt has run or ran; None before it started."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.ended_at or moment) - self.started_at).total_seconds())


class Fold:
    """Folds events one after the other into a ``JobState``."""

    def __init__(self) -> None:
        self.state = JobState()
        self._status: Status | None = None

    @property
    def status(self) -> Status | None:
        """The state that the events alone give; None before the first."""
        return self._status

    def add(self, event: Event) -> None:
        """Take one event; events that the table does not allow are counted and change nothing."""
        kind = cast("str", event["kind"])
        handler = _HANDLERS.get(kind)
        if handler is None:
            return  # a later version may add kinds
        if kind in _MOVING:
            key = (self._status, kind)
            if key not in TRANSITIONS:
                self.state.illegal_events += 1
                return
            after = TRANSITIONS[key] or _OUTCOMES.get(str(event.get("outcome")), Status.FAILED)
            self._status = after
            self.state.status = after
        try:
            moment = parse_time(cast("str", event["time"]))
        except ValueError:
            self.state.bad_lines += 1
            return
        self.state.updated_at = moment
        handler(self.state, event, moment)

    def add_all(self, events: Iterable[Event]) -> JobState:
        """Take events and return the state."""
        for event in events:
            self.add(event)
        return self.state


def _on_waiting(state: JobState, event: Event, moment: datetime) -> None:
    attempt = _int(event.get("attempt")) or max(1, state.attempt)
    if attempt != state.attempt:  # a new attempt: what the last one left is history
        artifacts = state.artifacts
        bad, illegal = state.bad_lines, state.illegal_events
        state.__init__()
        state.artifacts, state.bad_lines, state.illegal_events = artifacts, bad, illegal
        state.attempt, state.updated_at = attempt, moment
    state.waiting_for = Message.from_json(event.get("why"))


def _on_supervised(state: JobState, event: Event, moment: datetime) -> None:
    state.supervisor = {k: event.get(k) for k in ("pid", "start_ticks", "boot_id", "pid_ns", "host")}
    state.host = str(event.get("host", ""))


def _on_started(state: JobState, event: Event, moment: datetime) -> None:
    state.started_at = moment
    state.waiting_for = Message("")
    state.work_pid = _int(event.get("pid"))


def _on_stage(state: JobState, event: Event, moment: datetime) -> None:
    state.stage = str(event.get("stage", ""))
    state.stage_label = Message.from_json(event.get("label"))
    state.progress = None


def _on_progress(state: JobState, event: Event, moment: datetime) -> None:
    done, total = event.get("done"), event.get("total")
    if isinstance(done, (int, float)) and (total is None or isinstance(total, (int, float))):
        state.progress = Progress(done, total, str(event.get("unit", "")))


def _on_metric(state: JobState, event: Event, moment: datetime) -> None:
    for name, value in event.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            state.metrics[name] = float(value)


def _on_artifact(state: JobState, event: Event, moment: datetime) -> None:
    path = str(event.get("path", ""))
    state.artifacts[path] = Artifact(path, str(event.get("what", "")), _int(event.get("bytes")) or 0)


def _on_result(state: JobState, event: Event, moment: datetime) -> None:
    values = event.get("values")
    if isinstance(values, dict):
        state.result.update(cast("dict[str, object]", values))


def _on_stopping(state: JobState, event: Event, moment: datetime) -> None:
    state.stopping = Message.from_json(event.get("label"))


def _on_finished(state: JobState, event: Event, moment: datetime) -> None:
    state.ended_at = moment
    state.exit_code = _int(event.get("exit_code"))
    messages = event.get("messages")
    texts = cast("dict[str, object]", messages) if isinstance(messages, dict) else event
    state.title = Message.from_json(texts.get("title"))
    state.detail = Message.from_json(texts.get("detail"))
    state.hint = Message.from_json(texts.get("hint"))
    state.cause = str(event.get("cause", ""))


_HANDLERS: Final = {
    "waiting": _on_waiting,
    "supervised": _on_supervised,
    "started": _on_started,
    "stage": _on_stage,
    "progress": _on_progress,
    "metric": _on_metric,
    "artifact": _on_artifact,
    "result": _on_result,
    "stopping": _on_stopping,
    "finished": _on_finished,
}
_MOVING: Final = frozenset({"waiting", "started", "stopping", "finished"})


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def derive(fold: Fold, folder: JobFolder, time_s: float) -> Status:
    """Return the status: what the events say while the lock is held or an ending stands, else what is left alive.

    ``time_s`` is Unix time, for the heartbeat. Sets ``responding`` of the state.
    """
    state = fold.state
    said = fold.status or Status.WAITING
    state.responding = True
    if said in _ENDED:
        state.status = said
        return said
    try:
        owned = folder.is_owned()
    except OSError:
        state.status = _without_lock(state, folder, said)
        return state.status
    if owned:
        state.responding = folder.heartbeat_age_s(time_s) <= HEARTBEAT_LATE_S
        state.status = said
    else:
        state.status = _unowned(state, folder)
    return state.status


def _unowned(state: JobState, folder: JobFolder) -> Status:
    """Nobody holds the lock and no ending was written."""
    supervisor = state.supervisor
    if supervisor and supervisor.get("boot_id") != process.boot_id():
        # Another boot of this machine has ended everything; another machine is beyond our knowledge.
        return Status.LOST if supervisor.get("host") == process.host() else Status.UNREACHABLE
    if supervisor and supervisor.get("pid_ns") != process.pid_namespace():
        return Status.UNREACHABLE
    if folder.exit_file.exists() or process.marked_processes(folder.id):
        return Status.UNSUPERVISED
    return Status.LOST


def _without_lock(state: JobState, folder: JobFolder, said: Status) -> Status:
    """Ask for the supervisor's process, where the file system cannot tell whether the lock is held."""
    supervisor = state.supervisor
    here = supervisor.get("boot_id") == process.boot_id() and supervisor.get("pid_ns") == process.pid_namespace()
    if not here:
        return Status.UNREACHABLE
    pid, ticks = supervisor.get("pid"), supervisor.get("start_ticks")
    if isinstance(pid, int) and isinstance(ticks, int) and process.is_alive(pid, ticks):
        return said
    return _unowned(state, folder)
