"""A real Ollama: the person's own where it is new enough, else the official release, else a build from registries."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.setup import build, release, space
from backend.setup.process import answer_of, say
from data.errors import AppError
from data.files import sync_folder, write_atomic
from data.i18n import Message, _
from data.jobs.report import Reporter
from data.jobs.spec import now, rfc3339
from data.paths import Paths
from data.settings import Settings

VERSION: Final = "0.32.7"
LEAST: Final = (0, 11, 5)
"""The oldest version whose API and prompt rules Paddock knows."""
MARKER: Final = "complete.json"
ROAD_VARIABLE: Final = "PADDOCK_OLLAMA_FROM"
"""``release`` or ``build`` takes only that road; both in turn where it is not set."""
_VERSION: Final = re.compile(r"(?:client version is|version is) (?P<version>\d+(?:\.\d+)+\S*)")


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
    """Return the ollama program to use, if there is one: of the setting, on PATH, managed."""
    if settings.ollama_binary:
        program = look(Path(settings.ollama_binary).expanduser(), "settings")
        if program is not None:
            return program
    on_path = shutil.which("ollama", path=environ.get("PATH", os.defpath))
    program = None if on_path is None else look(Path(on_path), "PATH")
    return program or managed(paths)


def managed(paths: Paths) -> Program | None:
    """Return the newest complete Ollama of ours."""
    done = [_read_marker(marker) for marker in paths.ollama.glob(f"[!.]*/{MARKER}")]
    programs = [program for program in done if program is not None]
    return max(programs, key=lambda program: version_key(program.version), default=None)


def look(binary: Path, origin: str) -> Program | None:
    """Return the program at ``binary`` where it runs and is new enough."""
    version = version_of(binary)
    return None if version is None or version_key(version) < LEAST else Program(binary, version, origin)


def version_of(binary: Path) -> str | None:
    """Ask an ollama program for its version, without reaching any server; None where it does not answer."""
    # Port 9 (discard) of loopback: with a server the program would print the server's version as well.
    env = {"HOME": tempfile.gettempdir(), "OLLAMA_HOST": "127.0.0.1:9", "PATH": os.defpath}
    match = _VERSION.search(answer_of([str(binary), "--version"], env=env) or "")
    return match["version"] if match else None


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers of a version for comparing: 0.32.7-rc1 gives (0, 32, 7)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


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


def _read_marker(marker: Path) -> Program | None:
    """Return the program beside ``marker``; None where the marker is unreadable or the program gone."""
    try:
        version = json.loads(marker.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    binary = marker.parent / "bin" / "ollama"
    return Program(binary, str(version), "managed") if os.access(binary, os.X_OK) else None


def _nothing_worked(failures: list[tuple[Message, AppError]]) -> AppError:
    """Return one error for all roads; its parts stay messages, so that it can be read in any language."""
    tried = [Message("{road}: {title}: {detail}", _parts(title, error)) for title, error in failures]
    hints = list({error.hint.english(): error.hint for _title, error in failures if error.hint}.values())
    return AppError(
        _("Ollama cannot be set up"),
        _lines(tried),
        _(
            "Mend one of these and run paddock setup ollama again, which continues:\n{hints}\n"
            "Or install Ollama yourself (https://ollama.com/download): Paddock uses the one on PATH.",
            hints=_lines(hints),
        ),
    )


def _parts(road: Message, error: AppError) -> dict[str, object]:
    return {"road": road, "title": error.title, "detail": error.detail}


def _lines(messages: list[Message]) -> Message:
    """Join messages by line ends without giving up that each can be translated."""
    names = [f"m{index}" for index in range(len(messages))]
    return Message("\n".join(f"{{{name}}}" for name in names), dict(zip(names, messages, strict=True)))
