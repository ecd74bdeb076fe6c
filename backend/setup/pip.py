"""pip, driven: the person's mirrors and proxies are honoured, everything it writes stays in Paddock's folders.

pip itself runs from a virtual environment that is made here, because the Python that runs Paddock need not have
it (``uv tool install`` leaves it out). The form of its raw progress lines is pip's ``--progress-bar raw``
("Progress 262144 of 530600000"), which pip has had since 24.1.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from backend.setup.failure import NO_INDEX, NO_PACKAGES, failed
from backend.setup.process import Ended, answer_of, run, say
from data.errors import AppError
from data.i18n import Message, _
from data.jobs.report import Reporter
from data.paths import Paths

VERSION: Final = "26.3"
RAW_PROGRESS: Final = ("--progress-bar", "raw")
_DOWNLOADING: Final = re.compile(r"\s*Downloading (?P<file>\S+)(?: \((?P<size>[\d.]+) (?P<unit>[kMG]?B|bytes)\))?")
_CACHED: Final = re.compile(r"\s*Using cached (?P<file>\S+)(?: \((?P<size>[\d.]+) (?P<unit>[kMG]?B|bytes)\))?")
_PROGRESS: Final = re.compile(r"Progress (?P<done>\d+)(?: of (?P<total>\d+))?\s*$")
_RETRYING: Final = re.compile(r"WARNING: Retrying \(Retry\(total=(?P<left>\d+)")
# What pip says, when it is asked to say all (-vv), of an index that had nothing for it; and of one that it could read.
_COULD_NOT_FETCH: Final = re.compile(r"\s*Could not fetch URL (?P<why>.+?)(?: - skipping)?$")
_FETCHED: Final = re.compile(r"\s*Fetched page (?P<url>\S+) as (?P<what>\S+)")
_NOTHING_FOUND: Final = "(from versions: none)"
_ASK_AGAIN_TIMEOUT_S: Final = 10
_INSTALLING: Final = re.compile(r"Installing collected packages: (?P<names>.+)")
_UNITS: Final = {"bytes": 1, "B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_FEW_PACKAGES: Final = 3  # are unpacked too soon for a progress of their own
# What would send packages elsewhere than into the environment that pip runs in, or change what is run.
_MISLEADING: Final = frozenset(
    {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_DRY_RUN"}
    | {"PIP_NO_DEPS", "PIP_REPORT", "PIP_QUIET", "PIP_LOG", "PIP_PYTHON", "PIP_NO_BUILD_ISOLATION"}
    | {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE", "PYTHONPLATLIBDIR", "VIRTUAL_ENV"}
)


def environment(paths: Paths, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of pip and of builds: ``environ`` with temporary files in our cache, and none of pip's."""
    temporary = paths.cache / "setup" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in environ.items() if name not in _MISLEADING}
    env.update(
        TMPDIR=str(temporary),
        PIP_NO_CACHE_DIR="1",
        PIP_USER="0",
        PIP_NO_INPUT="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_ROOT_USER_ACTION="ignore",
        PYTHONUNBUFFERED="1",
        PYTHONUTF8="1",
    )
    return env


def make_environment(folder: Path, env: Mapping[str, str], reporter: Reporter) -> Path:
    """Make a virtual environment with a current pip in ``folder`` and return its Python; does nothing when it is there.

    ``reporter`` has been told what the environment is for. One whose Python does not run any more (the system's was
    replaced) is made anew. Raises AppError where this Python cannot make one: Debian and Ubuntu package the module
    apart.
    """
    python = folder / "bin" / "python"
    if answer_of([str(python), "-P", "-m", "pip", "--version"], env=env) is None:
        shutil.rmtree(folder, ignore_errors=True)
        _require_venv_module()
        folder.parent.mkdir(parents=True, exist_ok=True)
        ended = run([sys.executable, "-P", "-m", "venv", str(folder)], env=env)
        if ended.status != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise failed(_("The virtual environment cannot be made"), ended.lines, fallback=_venv_remedy())
    if f"pip {VERSION} " not in (answer_of([str(python), "-P", "-m", "pip", "--version"], env=env) or ""):
        progress = PipProgress(reporter, total_bytes=0, site_packages=site_packages(python))
        ended = call(python, ["install", "--upgrade", f"pip=={VERSION}"], env=env, progress=progress)
        if ended.status != 0:
            raise failed(_("pip {version} cannot be fetched", version=VERSION), ended.lines)
    return python


def _require_venv_module() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise AppError(
            _("This Python cannot make virtual environments"),
            _("The module {name} of {python} is missing.", name=missing[0], python=sys.executable),
            _venv_remedy(),
        )


def _venv_remedy() -> Message:
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return _("On Debian and Ubuntu: apt install {package} (or python3-venv); then run it again.", package=package)


def install(
    python: Path,
    wanted: Sequence[str],
    *,
    env: Mapping[str, str],
    progress: PipProgress,
    options: Sequence[str] = (),
) -> Ended:
    """Install ``wanted`` (requirements) into ``python``'s environment and return how pip ended."""
    return call(python, ["install", *RAW_PROGRESS, "--prefer-binary", *options, *wanted], env=env, progress=progress)


def call(python: Path, arguments: Sequence[str], *, env: Mapping[str, str], progress: PipProgress) -> Ended:
    """Run pip with ``arguments`` (a command that fetches, first) and return how it ended.

    Where pip found no version of something at all, the last lines say why: what the registry answered.
    """
    argv = [str(python), "-P", "-m", "pip", *arguments]
    ended = run(argv, env=env, take_line=progress.take_line, tick=progress.tick)
    if ended.status != 0 and (missing := _not_found(ended.lines)) is not None:
        return Ended(ended.status, (*ended.lines, *_answers(python, missing, env)))
    return ended


def _not_found(lines: Sequence[str]) -> str | None:
    """Return the requirement of which pip found no version whatsoever."""
    for line in lines:
        if _NOTHING_FOUND in line and (match := re.search(r"satisfies the requirement (\S+)", line)):
            return match[1]
    return None


def _answers(python: Path, requirement: str, env: Mapping[str, str]) -> list[str]:
    """Ask the indexes once more for ``requirement`` and return what each answered, which pip tells only with -vv."""
    scratch = Path(env["TMPDIR"]) / "asked-again"
    argv = [str(python), "-P", "-m", "pip", "download", "-vv", "--no-input", "--no-deps", "--dest", str(scratch)]
    limits = ["--retries", "0", "--timeout", str(_ASK_AGAIN_TIMEOUT_S)]
    answers: list[str] = []

    def listen(line: str) -> bool:
        if match := _COULD_NOT_FETCH.match(line):
            answers.append(f"{NO_INDEX}: {match['why']}")
        elif match := _FETCHED.match(line):
            answers.append(f"{NO_PACKAGES}: {match['url']} ({match['what']})")
        return True

    run([*argv, *limits, requirement], env=env, take_line=listen)
    shutil.rmtree(scratch, ignore_errors=True)
    for answer in answers:
        say(answer)
    return answers


class PipProgress:
    """pip's output as progress: bytes while it fetches, packages while it unpacks them.

    ``total_bytes`` is what all runs that share this object will fetch together; when pip fetches more, the total
    grows, so that it is never passed. While the registry does not answer, the stage says so: pip waits up to
    a minute and a half, in silence.
    """

    def __init__(self, reporter: Reporter, *, total_bytes: int, site_packages: Path) -> None:
        self._reporter = reporter
        self._total = float(total_bytes)
        self._site_packages = site_packages
        self._fetched = 0.0
        self._current = 0.0
        self._current_total = 0.0
        self._to_install = 0
        self._before_install = 0

    def take_line(self, line: str) -> bool:
        """Read one line of pip's output; True for a raw progress line."""
        if match := _RETRYING.match(line):
            left = int(match["left"])
            self._reporter.aside(_("The package registry does not answer: asking again (tries left: {n})", n=left))
            return False
        self._reporter.aside(None)
        if match := _PROGRESS.match(line):
            self._current = float(match["done"])
            self._current_total = float(match["total"] or 0)
            self._report_bytes()
            return True
        if match := _DOWNLOADING.match(line) or _CACHED.match(line):
            self._finish_file()
            if not match["file"].endswith(".metadata"):
                size = float(match["size"]) * _UNITS[match["unit"]] if match["size"] else 0.0
                self._current = self._current_total = size
                if _DOWNLOADING.match(line):
                    self._current = 0.0
                self._report_bytes()
        elif match := _INSTALLING.match(line):
            self._finish_file()
            self._to_install = match["names"].count(",") + 1
            self._before_install = self._installed()
        elif line.startswith("Successfully installed"):
            if self._to_install > _FEW_PACKAGES:
                self._reporter.progress(self._to_install, self._to_install, "packages")
            self._to_install = 0
        return False

    def tick(self) -> None:
        """Count what pip has unpacked so far: it says nothing while it does."""
        if self._to_install > _FEW_PACKAGES:
            done = min(self._installed() - self._before_install, self._to_install)
            self._reporter.progress(max(0, done), self._to_install, "packages")

    def _finish_file(self) -> None:
        self._fetched += max(self._current, self._current_total)
        self._current = self._current_total = 0.0

    def _report_bytes(self) -> None:
        done = self._fetched + self._current
        self._total = max(self._total, self._fetched + self._current_total, done)
        self._reporter.progress(done, self._total, "bytes")

    def _installed(self) -> int:
        return sum(1 for _folder in self._site_packages.glob("*.dist-info"))


def site_packages(python: Path) -> Path:
    """Return the site-packages folder of the environment that ``python`` (``…/bin/python``) belongs to."""
    found = sorted((python.parent.parent / "lib").glob("python3*/site-packages"))
    if not found:
        raise AppError(_("{path} is not a virtual environment", path=str(python.parent.parent)))
    return found[-1]
