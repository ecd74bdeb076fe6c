"""What a kind of job must bring: its command, a follower of what it writes, and how to ask it to stop."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, cast

from data.errors import AppError
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.jsontext import parse_json

Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: never a line for a shell."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Overrides on top of the inherited, allow-listed environment."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """One rung of the stop ladder: a signal, to whom, and how long to wait for the end."""

    signal: int
    to: Literal["root", "ranks", "tree"]
    """root: the program itself; ranks: processes with RANK in their environment, else root; tree: all of the job"""
    wait_s: float
    """Seconds before the next rung; with ``progress_extends``, counted from the last sign of progress."""
    progress_extends: bool
    label: Message


POLITE: Final = StopStep(signal.SIGTERM, "tree", 10.0, progress_extends=False, label=_("asked to end (SIGTERM)"))
FORCE: Final = StopStep(signal.SIGKILL, "tree", 5.0, progress_extends=False, label=_("ended by force (SIGKILL)"))
HURRY: Final = (
    StopStep(signal.SIGTERM, "tree", 2.0, progress_extends=False, label=_("asked to end at once (SIGTERM)")),
    FORCE,
)
"""The ladder of ``stop now``, whatever the kind."""


class Follower(Protocol):
    """Turns what the work writes into events; standard library only, since it lives in the supervisor."""

    def poll(self) -> list[Event]:
        """Return events (stage, progress, metric, artifact, result, failed) for what is new; cheap.

        At most a bounded piece of it, so that the supervisor stays small; what is left comes with the next.
        """
        ...

    def finish(self, exit_code: int | None) -> list[Event]:
        """Return the last events after the work ended: artifacts, and ``failed`` with the reason if there is one."""
        ...

    def mark(self) -> Mapping[str, object]:
        """Return where it has read to, in JSON, for a supervisor that adopts the job."""
        ...

    def restore(self, mark: Mapping[str, object]) -> None:
        """Go on from ``mark``."""
        ...


class Work(Protocol):
    """A kind of job."""

    def prepare(self, folder: JobFolder, spec: JobSpec) -> Command:
        """Write what the command needs (YAML) and return it; raises AppError when the job cannot start."""
        ...

    def follower(self, folder: JobFolder, spec: JobSpec) -> Follower:
        """Return a fresh follower for the attempt that is starting."""
        ...

    def ladder(self, folder: JobFolder, spec: JobSpec) -> tuple[StopStep, ...]:
        """Return the rungs of a graceful stop, gentlest first."""
        ...


def failed_event(error: AppError) -> Event:
    """Return the event by which a follower gives the reason of a failure."""
    return {
        "kind": "failed",
        "title": error.title.as_json(),
        "detail": error.detail.as_json(),
        "hint": error.hint.as_json(),
    }


class LineTail:
    """Reads complete new lines of a growing file: by offset, bounded a poll, restarted when the file shrinks."""

    def __init__(self, path: Path, *, limit_bytes: int = 256 << 10) -> None:
        self.path = path
        self.offset = 0
        self._limit_bytes = limit_bytes

    def lines(self) -> list[bytes]:
        """Return the complete lines that are new, without their newlines; none while the file is missing."""
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, 2)
                if size < self.offset:
                    self.offset = 0
                if size == self.offset:
                    return []
                stream.seek(self.offset)
                chunk = stream.read(self._limit_bytes)
        except OSError:
            return []
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            if len(chunk) >= self._limit_bytes:  # a line beyond all measure is skipped, not waited for
                self.offset += len(chunk)
            return []
        self.offset += end
        return chunk[: end - 1].split(b"\n")


class ReportFollower:
    """Follows ``report.jsonl`` of Paddock's own works (``data.jobs.report``)."""

    KINDS = frozenset({"stage", "progress", "metric", "artifact", "result", "failed"})

    def __init__(self, path: Path) -> None:
        self._tail = LineTail(path)

    def poll(self) -> list[Event]:
        """Return the report lines that are new; lines that are not objects of a known kind are dropped."""
        events: list[Event] = []
        for line in self._tail.lines():
            try:
                value: object = parse_json(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                event = cast("Event", value)
                if event.get("kind") in self.KINDS:
                    events.append(event)
        return events

    def finish(self, exit_code: int | None) -> list[Event]:
        """Return what is left."""
        events: list[Event] = []
        while more := self.poll():
            events += more
        return events

    def mark(self) -> Mapping[str, object]:
        """Return the offset."""
        return {"offset": self._tail.offset}

    def restore(self, mark: Mapping[str, object]) -> None:
        """Go on from the offset."""
        offset = mark.get("offset", 0)
        self._tail.offset = offset if isinstance(offset, int) else 0


class SilentFollower:
    """For programs that report nothing."""

    def poll(self) -> list[Event]:
        """Return nothing."""
        return []

    def finish(self, exit_code: int | None) -> list[Event]:
        """Return nothing."""
        return []

    def mark(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def restore(self, mark: Mapping[str, object]) -> None:
        """Do nothing."""
