"""Finding Ollama: a person's own server, and a program to run a private one with."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backend.ollama.address import VARIABLE, Address, parse_address
from backend.ollama.probe import version_at
from backend.ollama.version import OLDEST, is_new_enough, version_key
from data.errors import AppError, RequestError
from data.files import is_program
from data.i18n import Message, _, lines_of
from data.paths import Paths
from data.settings import Settings

Origin = Literal["settings", "environment", "default"]
_VERSION_S: Final = 20.0
_VERSION_LINE: Final = re.compile(r"version is (\d+\.\d+\.\S*)")
NOWHERE: Final = "127.0.0.1:9"
"""The discard port: with a server's address the program would print that server's version as well."""


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answers."""

    address: Address
    version: str
    origin: Origin

    @property
    def is_new_enough(self) -> bool:
        """Whether Paddock can work with it."""
        return is_new_enough(self.version)


@dataclass(frozen=True, slots=True)
class FoundBinary:
    """An ollama program."""

    path: Path
    origin: Literal["settings", "PATH", "managed"]


def person_address(settings: Settings, environ: Mapping[str, str] = os.environ) -> tuple[Address, Origin]:
    """Return where a person's own server would be: the setting, OLLAMA_HOST, else Ollama's default.

    Raises RequestError when what was written there is not an address.
    """
    if settings.ollama_host:
        return parse_address(settings.ollama_host), "settings"
    if environ.get(VARIABLE, "").strip():
        return parse_address(environ[VARIABLE]), "environment"
    return parse_address(""), "default"


async def find_server(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, timeout_s: float = 2.0
) -> FoundServer | None:
    """Return a person's own server, if one answers; whether it is new enough is for the caller to ask."""
    address, origin = person_address(settings, environ)
    version = await asyncio.to_thread(version_at, address, timeout_s=timeout_s)
    return None if version is None else FoundServer(address, version, origin)


def unusable(url: str, version: str | None) -> Message:
    """Say why a server that was named cannot be used: it does not answer (None), or is too old."""
    if version is None:
        return _("No Ollama answers at {host}, which OLLAMA_HOST or the setting ollama_host names.", host=url)
    return _("The server at {host} is Ollama {version}, older than {least}.", host=url, version=version, least=OLDEST)


def passed_over(
    found: FoundServer | None, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Message | None:
    """Say why a person's own server, as ``find_server`` has ``found`` it, is not used; None where nobody expects it to.

    Raises RequestError as ``person_address``.
    """
    if found is not None:
        return None if found.is_new_enough else unusable(found.address.url, found.version)
    address, origin = person_address(settings, environ)
    return None if origin == "default" else unusable(address.url, None)


def find_binary(paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ) -> FoundBinary | None:
    """Return the program for a private server: that of the setting, on PATH, else the newest complete managed one.

    Raises RequestError when the setting names something that is no program. Starts nothing, so knows no version.
    """
    return next(_candidates(paths, settings, environ), None)


async def usable_binary(
    paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ, *, instead_of: Message | None = None
) -> FoundBinary:
    """Do as ``usable_program``, in a thread."""
    return await asyncio.to_thread(usable_program, paths, settings, environ, instead_of=instead_of)


def usable_program(
    paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ, *, instead_of: Message | None = None
) -> FoundBinary:
    """Return the first program in the order of ``find_binary`` that runs and is new enough; raises AppError.

    Asks each for its version, which takes tens of milliseconds. ``instead_of`` is why a server was ``passed_over``.
    """
    refused: list[tuple[FoundBinary, str | None]] = []
    for candidate in _candidates(paths, settings, environ):
        version = version_of(candidate.path)
        if version is not None and is_new_enough(version):
            return candidate
        refused.append((candidate, version))
    if not refused:
        raise AppError(
            _("There is no Ollama on this machine"),
            lines_of(
                [
                    instead_of or _("No server answers."),
                    _("No ollama program was found: not in settings, PATH or Paddock's own folders."),
                ]
            ),
            _("`paddock setup ollama` fetches or builds one in Paddock's own folders, without root."),
        )
    raise AppError(
        _("The ollama program on this machine cannot be used"),
        "; ".join(f"{found.path}: {version or '?'}" for found, version in refused),
        _(
            "Paddock needs {oldest} or later. `paddock setup ollama` gets one into Paddock's own folders; clear the "
            "setting ollama_binary if it names the old one.",
            oldest=OLDEST,
        ),
    )


def _candidates(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Iterator[FoundBinary]:
    if settings.ollama_binary:
        path = Path(settings.ollama_binary).expanduser()
        if not is_program(path):
            raise RequestError(
                _("The ollama program of the settings cannot be run"),
                str(path),
                _("Correct ollama_binary (or PADDOCK_OLLAMA_BINARY), or leave it empty."),
            )
        yield FoundBinary(path, "settings")
        return  # what was named is never replaced by another
    on_path = shutil.which("ollama", path=environ.get("PATH", os.defpath))
    if on_path is not None:
        yield FoundBinary(Path(on_path), "PATH")
    for path in managed_binaries(paths):
        yield FoundBinary(path, "managed")


def managed_binaries(paths: Paths) -> list[Path]:
    """Return the complete managed programs, newest first: those with the engine's folder next to them."""
    found = [
        path for path in paths.ollama.glob("[!.]*/bin/ollama") if is_program(path) and engine_folder(path).is_dir()
    ]
    return sorted(found, key=lambda path: version_key(path.parent.parent.name), reverse=True)


def engine_folder(binary: Path) -> Path:
    """Return where an ollama program looks for llama-server and llama-quantize: ``../lib/ollama``."""
    return binary.resolve().parent.parent / "lib" / "ollama"


def version_of(binary: Path) -> str | None:
    """Ask an ollama program for its version; None when it does not say one. No server is asked."""
    environ = {"HOME": tempfile.gettempdir(), VARIABLE: NOWHERE, "PATH": os.defpath}
    try:
        done = subprocess.run(
            [str(binary), "--version"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION_LINE.search(done.stdout + done.stderr)
    return match[1] if match else None
