"""The work of a ``setup`` job: install what is asked for and is missing, one after the other.

Params: ``{"what": ["llamafactory", "ollama"]}``; both where it is left out. Result: ``{"llamafactory": {…}}`` and
``{"ollama": {…}}``, each with where it is and which version.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final, cast

from backend.setup import llamafactory, ollama
from data.errors import RequestError
from data.files import open_lock, try_lock
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.paths import Paths
from data.settings import Settings, load_settings

PARTS: Final = ("llamafactory", "ollama")
_LOCK_POLL_S: Final = 1.0


def set_up(
    what: tuple[str, ...],
    paths: Paths,
    settings: Settings,
    reporter: Reporter,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Install the parts that are missing.

    Raises AppError for the first that cannot be had, RequestError for a wrong name.
    """
    unknown = [part for part in what if part not in PARTS]
    if unknown:
        raise RequestError(
            _("There is nothing called {name} to set up", name=unknown[0]),
            "",
            _("Known: {names}", names=", ".join(PARTS)),
        )
    with _alone(paths, reporter):
        if "llamafactory" in what:
            made = llamafactory.install(paths, settings, reporter, environ)
            reporter.result(llamafactory=made.as_json())
        if "ollama" in what:
            program = ollama.install(paths, settings, reporter, environ)
            reporter.result(ollama=program.as_json())


@contextlib.contextmanager
def _alone(paths: Paths, reporter: Reporter) -> Generator[None]:
    """Hold the lock of all set-ups: two at once would write into the same folders. A second one waits its turn."""
    place = paths.cache / "setup"
    place.mkdir(parents=True, exist_ok=True)
    handle = open_lock(place / "lock")
    try:
        if not try_lock(handle):
            reporter.stage("setup-waiting", _("Waiting for another set-up to end"))
            while not try_lock(handle):
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(handle)


def _end(signum: int, _frame: FrameType | None) -> None:
    """Turn a request to stop into the end of everything that was started, by way of ``finally``."""
    sys.exit(128 + signum)


def main(folder: Path) -> int:
    """Run the job in ``folder`` and return the exit status."""
    signal.signal(signal.SIGTERM, _end)

    def work(reporter: Reporter) -> None:
        params = JobFolder(folder).read_spec().params
        what = tuple(cast("list[str]", params.get("what") or PARTS))
        paths = Paths.default()
        set_up(what, paths, load_settings(paths.settings).values, reporter)

    return run_work(work)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
