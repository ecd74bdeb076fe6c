"""Read and write one job folder: the only place that knows the names of its files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

from data.errors import AppError, RequestError
from data.files import append_lines, is_locked, open_lock, try_lock, write_atomic
from data.i18n import _
from data.jobs.spec import JobSpec, now, rfc3339
from data.jsontext import json_line, json_text, parse_json

Event = dict[str, object]
Manner = Literal["graceful", "now"]

STATE_KINDS: Final = frozenset({"waiting", "supervised", "started", "stopping", "finished"})
"""Events that decide the status: written through to the disk. All others are samples."""
HEARTBEAT_LATE_S: Final = 30.0
_READ_BYTES: Final = 256 << 10


class EventBatch(NamedTuple):
    """Events read from ``events.jsonl`` and where to go on."""

    events: list[Event]
    offset: int
    bad_lines: int


class JobFolder(NamedTuple):
    """A folder of one job; ``path`` may still have its unpublished dot-name."""

    path: Path

    @property
    def id(self) -> str:
        """The job's id."""
        return self.path.name.removeprefix(".new-")

    @property
    def spec_file(self) -> Path:
        """What was asked."""
        return self.path / "spec.json"

    @property
    def events_file(self) -> Path:
        """What happened."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """Raw stdout and stderr of the work."""
        return self.path / "output.log"

    @property
    def telemetry(self) -> Path:
        """GPU and host samples while it ran."""
        return self.path / "telemetry.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for life; its modification time is the heartbeat."""
        return self.path / "lock"

    @property
    def stop_file(self) -> Path:
        """Appears when somebody asked for a stop."""
        return self.path / "stop"

    @property
    def report(self) -> Path:
        """What a work of Paddock's own reports; see ``data.jobs.report``."""
        return self.path / "report.jsonl"

    @property
    def proof(self) -> Path:
        """What the proof of a model found, where the job made one: the object of ``paddock verify --json``."""
        return self.path / "proof.json"

    @property
    def exit_file(self) -> Path:
        """The exit status of the work, written by the shim that is its parent."""
        return self.path / "exit"

    @property
    def mark_file(self) -> Path:
        """How far the follower has read: a hint for a supervisor that adopts the job."""
        return self.path / "follow.json"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself had to say: empty unless something is wrong with it."""
        return self.path / "supervisor.log"

    @classmethod
    def create(cls, jobs: Path, spec: JobSpec) -> tuple[JobFolder, int]:
        """Make the folder under a dot-name with spec.json and the lock taken; return it and the lock's descriptor.

        Raises RequestError where it cannot be written: nothing has been started then.
        """
        folder = cls(jobs / f".new-{spec.id}")
        try:
            folder.path.mkdir(parents=True)
            handle = open_lock(folder.lock)
            try:
                if not try_lock(handle):
                    raise BlockingIOError(errno.EAGAIN, "the lock of a new job is held by somebody else")  # noqa: TRY301 - one road out
                text = json_text(spec.as_json(), ensure_ascii=False, indent=2)
                write_atomic(folder.spec_file, text + "\n")
                folder.append({"kind": "waiting", "attempt": 1})
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise RequestError(
                _("The job's folder cannot be written"),
                str(error),
                _("Check the free space and the permissions of {folder}.", folder=str(jobs)),
            ) from error
        return folder, handle

    def publish(self) -> JobFolder:
        """Give the folder its final name (a supervisor and its launcher may both try); return it under that name."""
        final = JobFolder(self.path.parent / self.id)
        if final.path != self.path:
            with contextlib.suppress(FileNotFoundError):  # the other one was faster
                self.path.rename(final.path)
        return final

    def read_spec(self) -> JobSpec:
        """Read spec.json; raises AppError, also where it speaks of another job than this folder's."""
        try:
            value: object = parse_json(self.spec_file.read_bytes())
        except (OSError, ValueError) as error:
            raise AppError(
                _("This job's spec.json cannot be read"),
                str(error),
                _("Mend the file, or remove the job: `paddock jobs remove {job}`", job=self.id),
            ) from error
        spec = JobSpec.from_json(value)
        if spec.id != self.id:
            raise AppError(
                _("This job's spec.json belongs to another job"),
                _("{file} names {job}.", file=str(self.spec_file), job=spec.id),
                _("Give the folder its own name again, or remove it: `paddock jobs remove {job}`", job=self.id),
            )
        return spec

    def append(self, event: Mapping[str, object]) -> None:
        """Append an event, with the time in front unless it has one; state events wait for the disk."""
        self.append_all((event,))

    def append_all(self, events: Iterable[Mapping[str, object]]) -> list[Event]:
        """Append events in one write, as ``append`` does each; return them as they were written."""
        lines = [{"time": event.get("time") or rfc3339(now()), "kind": event["kind"], **event} for event in events]
        if lines:
            append_lines(self.events_file, lines, durable=any(line["kind"] in STATE_KINDS for line in lines))
        return lines

    def every_event(self) -> Iterator[Event]:
        """Yield the events from the first to the last, a piece of the file at a time: however many there are."""
        offset = 0
        while True:
            lines, end = self.read_lines(offset, _READ_BYTES)
            if end == offset:
                return
            offset = end
            yield from (event for event in map(parse_event, lines) if event is not None)

    def read_lines(self, offset: int = 0, limit_bytes: int = -1) -> tuple[list[bytes], int]:
        """Return the complete lines of events.jsonl from ``offset`` and the offset behind them; raises AppError.

        With ``limit_bytes``, at most about so much of them, but always one line where there is one.
        """
        try:
            with self.events_file.open("rb") as stream:
                stream.seek(offset)
                chunk = stream.read(limit_bytes)
                if limit_bytes >= 0 and len(chunk) == limit_bytes:
                    chunk += stream.readline()
        except FileNotFoundError:
            return [], offset
        except OSError as error:
            raise AppError(
                _("This job's events cannot be read"),
                str(error),
                _(
                    "Mend {file}, or remove the job: `paddock jobs remove {job}`",
                    file=str(self.events_file),
                    job=self.id,
                ),
            ) from error
        end = chunk.rfind(b"\n") + 1
        return (chunk[: end - 1].split(b"\n") if end else []), offset + end

    def events(self, offset: int = 0) -> EventBatch:
        """Return the events from byte ``offset``; a torn last line is left for later, bad lines are counted."""
        lines, end = self.read_lines(offset)
        events: list[Event] = []
        bad = 0
        for line in lines:
            event = parse_event(line)
            if event is None:
                bad += bool(line)
            else:
                events.append(event)
        return EventBatch(events, end, bad)

    def ask_stop(self, manner: Manner) -> None:
        """Leave the request to stop; "now" is never weakened to "graceful"."""
        if manner == "now" or self.read_stop() is None:
            write_atomic(self.stop_file, json_line({"manner": manner, "time": rfc3339(now())}) + "\n")

    def read_stop(self) -> Manner | None:
        """Return how the job was asked to stop; None when it was not. A file that cannot be read is graceful."""
        try:
            raw = self.stop_file.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(ValueError):
            value: object = parse_json(raw)
            if isinstance(value, dict) and cast("Event", value).get("manner") == "now":
                return "now"
        return "graceful"

    def read_exit(self) -> int | None:
        """Return the work's exit status as its shim wrote it (128+N for signal N, as a shell says it)."""
        try:
            return int(self.exit_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def write_mark(self, mark: Mapping[str, object]) -> None:
        """Note how far the follower has read: renamed into place but not synced, since it is only a hint."""
        part = self.mark_file.with_suffix(".part")
        with contextlib.suppress(OSError):
            part.write_text(json_line(mark), encoding="utf-8")
            part.replace(self.mark_file)

    def read_mark(self) -> dict[str, object]:
        """Return what ``write_mark`` noted; empty where there is nothing to read."""
        try:
            value: object = parse_json(self.mark_file.read_bytes())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, object]", value) if isinstance(value, dict) else {}

    def is_owned(self) -> bool:
        """Say whether a supervisor holds the lock; raises OSError where the file system cannot tell."""
        return is_locked(self.lock)

    def beat(self) -> None:
        """Show that the supervisor is alive and awake."""
        with contextlib.suppress(OSError):
            os.utime(self.lock)

    def heartbeat_age_s(self, time_s: float) -> float:
        """Return the seconds from the last heartbeat to ``time_s`` (Unix time); infinite when there is none."""
        try:
            return time_s - self.lock.stat().st_mtime
        except OSError:
            return float("inf")


def parse_event(line: bytes) -> Event | None:
    """Return the event in ``line``; None when it is not an object with a kind and a time."""
    try:
        value: object = parse_json(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    event = cast("Event", value)
    return event if isinstance(event.get("kind"), str) and isinstance(event.get("time"), str) else None
