"""A real Ollama: the person's own where it is new enough, else the official release, else a build from registries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.ollama.discover import find_binary, managed_binaries, version_of
from backend.ollama.version import is_new_enough
from backend.setup import build, release, space
from backend.setup.process import answer_of, say
from data.errors import AppError
from data.files import sync_folder, write_atomic
from data.i18n import Message, _, lines_of
from data.jobs.report import Reporter
from data.jobs.spec import now, rfc3339
from data.paths import Paths
from data.settings import Settings

VERSION: Final = "0.32.7"
MARKER: Final = "complete.json"
"""A note of how a managed Ollama was made, for people; complete is what has no dot in front of its name."""
ROAD_VARIABLE: Final = "PADDOCK_OLLAMA_FROM"
"""``release`` or ``build`` takes only that road; both in turn where it is not set."""


@dataclass(frozen=True, slots=True)
class Program:
    """An ollama program: where it is, its version, and where it came from."""

    binary: Path
    version: str
    origin: str
    """settings, PATH or managed"""

    def as_json(self) -> dict[str, object]:
        """Return ``{binary, version, origin}``."""
        return {"binary": str(self.binary), "version": self.version, "origin": self.origin}


def install(paths: Paths, settings: Settings, reporter: Reporter, environ: Mapping[str, str]) -> Program:
    """Return an ollama program that can be used; fetch or build one where there is none.

    Raises one AppError that says what was tried, why each road failed, and what to do.
    """
    found = present(paths, settings, environ)
    if found is not None:
        say(f"Ollama {found.version} is already there: {found.binary} ({found.origin})")
        return found
    failures: list[tuple[Message, AppError]] = []
    for name, title, fill, download_bytes, disk_bytes in _roads(environ):
        try:
            space.require({paths.ollama: disk_bytes, paths.cache: download_bytes})
            program = _fill_and_publish(name, fill, paths, reporter, environ)
        except AppError as error:
            say(f"{name}: {error.title.english()}: {error.detail.english()}")
            failures.append((title, error))
        else:
            reporter.artifact(program.binary.parent.parent, "ollama")
            return program
    raise _nothing_worked(failures)


def present(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Program | None:
    """Return the ollama program to use, if there is one that is new enough: of the setting, on PATH, managed.

    Raises AppError when the setting names something that is no program.
    """
    found = find_binary(paths, settings, environ)
    if found is not None and found.origin != "managed":
        version = version_of(found.path)
        if version is not None and is_new_enough(version):
            return Program(found.path, version, found.origin)
    return managed(paths)


def managed(paths: Paths) -> Program | None:
    """Return the newest complete Ollama of ours."""
    found = managed_binaries(paths)
    return Program(found[0], found[0].parent.parent.name, "managed") if found else None


_Fill = Callable[[str, Path, Paths, Reporter, Mapping[str, str]], None]


def _roads(environ: Mapping[str, str]) -> list[tuple[str, Message, _Fill, int, int]]:
    """Return (id, words, function, bytes in the cache, bytes in the end) of each road, best first."""
    roads: list[tuple[str, Message, _Fill, int, int]] = [
        ("release", _("the official release"), release.fetch, release.DOWNLOAD_BYTES, release.DISK_BYTES),
        ("build", _("a build from package registries"), build.build, build.DISK_BYTES, build.RESULT_BYTES),
    ]
    wanted = environ.get(ROAD_VARIABLE, "")
    return [road for road in roads if not wanted or road[0] == wanted] or roads


def _fill_and_publish(road: str, fill: _Fill, paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> Program:
    """Let ``fill`` make the folder under a dot-name, prove that its programs run, and give it its final name."""
    target = paths.ollama / VERSION
    part = paths.ollama / f".{VERSION}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        fill(VERSION, part, paths, reporter, environ)
        reporter.stage("ollama-proof", _("Starting Ollama's programs once, to see that they work"))
        version = _prove(part)
        write_atomic(
            part / MARKER,
            json.dumps({"version": version, "from": road, "completed_at": rfc3339(now())}) + "\n",
        )
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for folder in build.leftovers(paths):
        shutil.rmtree(folder, ignore_errors=True)
    return Program(target / "bin" / "ollama", version, "managed")


def _prove(folder: Path) -> str:
    """Start what was made and return the version that it says; raises AppError where something does not run."""
    version = version_of(folder / "bin" / "ollama")
    if version is None:
        raise AppError(_("The new Ollama does not run on this machine"), str(folder / "bin" / "ollama"))
    server = folder / "lib" / "ollama" / "llama-server"
    if server.exists() and answer_of([str(server), "--version"]) is None:
        raise AppError(_("The new Ollama does not run on this machine"), str(server))
    return version


def _nothing_worked(failures: list[tuple[Message, AppError]]) -> AppError:
    """Return one error for all roads; its parts stay messages, so that it can be read in any language."""
    tried = [Message("{road}: {title}: {detail}", _parts(title, error)) for title, error in failures]
    hints = list({error.hint.english(): error.hint for _title, error in failures if error.hint}.values())
    return AppError(
        _("Ollama cannot be set up"),
        lines_of(tried),
        _(
            "Mend one of these and run paddock setup ollama again, which continues:\n{hints}\n"
            "Or install Ollama yourself (https://ollama.com/download): Paddock uses the one on PATH.",
            hints=lines_of(hints),
        ),
    )


def _parts(road: Message, error: AppError) -> dict[str, object]:
    return {"road": road, "title": error.title, "detail": error.detail}
