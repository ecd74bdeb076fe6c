"""How a work of ours tells its supervisor how it is doing: lines in a file, never a pipe that could fill or break."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from data.errors import AppError, system_failure
from data.files import append_line
from data.i18n import Message, _
from data.jobs.spec import now, rfc3339

VARIABLE: Final = "PADDOCK_REPORT"
_INTERVAL_S: Final = 0.2


class Reporter:
    """Append report lines to ``path``; with no path, print them to stdout (a work started by hand)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last_progress = 0.0
        self._stage: tuple[str, Message] | None = None
        self._aside: Message | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Reporter:
        """Return a reporter for ``$PADDOCK_REPORT``."""
        text = environ.get(VARIABLE)
        return cls(Path(text) if text else None)

    def stage(self, stage: str, label: Message) -> None:
        """Say which part of the work begins; ``stage`` is a stable id, ``label`` its words."""
        self._stage, self._aside = (stage, label), None
        self._write("stage", stage=stage, label=label.as_json())

    def aside(self, words: Message | None) -> None:
        """Say what the stage is held up by, instead of its own words; None when it goes on."""
        if self._stage is not None and words != self._aside:
            stage, label = self._stage
            self._aside = words
            self._write("stage", stage=stage, label=(words or label).as_json())

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Say how far the stage is, in ``unit`` (bytes, steps, shards, tensors …); thinned to five a second."""
        moment = time.monotonic()
        if moment - self._last_progress < _INTERVAL_S and (total is None or done < total):
            return
        self._last_progress = moment
        self._write("progress", done=done, total=total, unit=unit)

    def metric(self, **values: float) -> None:
        """Give measured values, e.g. ``step=3, loss=0.5``."""
        self._write("metric", **values)

    def artifact(self, path: Path, what: str) -> None:
        """Name a file or folder that this work made; its size is taken now."""
        self._write("artifact", path=str(path), what=what, bytes=size_bytes(path))

    def result(self, **values: object) -> None:
        """Give values that later readers want, e.g. an answer or an address; later calls add to earlier ones."""
        self._write("result", values=values)

    def failed(self, error: AppError) -> None:
        """Say why the work fails; the supervisor puts it into the job's ending."""
        self._write(
            "failed",
            title=error.title.as_json(),
            detail=error.detail.as_json(),
            hint=error.hint.as_json(),
        )

    def _write(self, kind: str, **values: object) -> None:
        line = {"time": rfc3339(now()), "kind": kind, **values}
        if self._path is None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        else:
            append_line(self._path, line, durable=False)


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a folder; 0 where there is none."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file() and not entry.is_symlink())
    return path.stat().st_size if path.exists() else 0


def run_work(main: Callable[[Reporter], None]) -> int:
    """Run a work's ``main``; return its exit status. A surprise becomes an explained failure."""
    reporter = Reporter.from_environment()
    try:
        main(reporter)
    except AppError as error:
        reporter.failed(error)
        sys.stderr.write(f"{error.title.english()}\n{error.detail.english()}\n{error.hint.english()}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - the one broad except of a work: a surprise becomes an AppError
        traceback.print_exc()
        reporter.failed(
            system_failure(error)
            or AppError(
                _("Something unexpected went wrong"),
                f"{type(error).__name__}: {error}",
                _("The log has the details; this is a defect of Paddock worth reporting."),
            )
        )
        return 1
    return 0
