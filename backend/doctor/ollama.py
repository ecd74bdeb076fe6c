"""Checks of Ollama: whether there is a program, whether a server runs, and whether both are new enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from backend.doctor.report import Check, Level, of_error
from backend.ollama.discover import engine_folder, person_address, unusable
from backend.ollama.probe import version_at
from backend.ollama.version import is_new_enough
from backend.setup import ollama
from backend.setup.release import BASE_VARIABLE
from backend.telemetry.gpus import GpuReading
from data.errors import AppError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings

_TIMEOUT_S: Final = 0.4


def check_ollama(
    paths: Paths, settings: Settings, environ: Mapping[str, str]
) -> tuple[Mapping[str, object] | None, list[Check]]:
    """Return ``{binary, host, version, running}`` of what would be used (None: nothing), and the checks that say so."""
    checks: list[Check] = []
    program: ollama.Program | None = None
    host, server, wished = "", None, False
    try:
        address, origin = person_address(settings, environ)
        host, wished = address.url, origin != "default"
        server = version_at(address, timeout_s=_TIMEOUT_S)
    except AppError as error:
        checks.append(of_error("ollama-server", error))
    try:
        program = ollama.present(paths, settings, environ)
    except AppError as error:
        checks.append(of_error("ollama", error))
    else:
        checks.append(_check_program(program, server))
    if host:
        checks.append(_check_server(host, server, wished=wished))
    if program is None and server is None:
        return None, checks
    usable = server is not None and is_new_enough(server)
    return {
        "binary": None if program is None else str(program.binary),
        "host": host if server is not None else None,
        "version": server if usable or program is None else program.version,
        "running": server is not None,
    }, checks


def check_acceleration(found: Mapping[str, object] | None, gpus: GpuReading) -> Iterator[Check]:
    """Yield a warning where there is a GPU that the managed Ollama cannot use: a build from registries has no CUDA.

    The official release keeps its CUDA libraries in ``lib/ollama/cuda_v*``.
    """
    binary = None if found is None else found["binary"]
    if not gpus.gpus or not isinstance(binary, str):
        return
    engine = engine_folder(Path(binary))
    if (engine / "llama-server").exists() and not any(engine.glob("cuda*")):
        yield Check(
            "ollama-gpu",
            Level.WARNING,
            _("This Ollama runs models on the CPU only ({path} has no CUDA).", path=str(engine)),
            _(
                "Install Ollama's release (https://ollama.com/download), or name a mirror of its releases in {name}.",
                name=BASE_VARIABLE,
            ),
        )


def _check_program(program: ollama.Program | None, server: str | None) -> Check:
    if program is not None:
        message = _(
            "Ollama {version}: {path} ({origin})",
            version=program.version,
            path=str(program.binary),
            origin=program.origin,
        )
        return Check("ollama", Level.OK, message)
    if server is None or not is_new_enough(server):
        message = _("Ollama was not found: models cannot be deployed or talked to.")
        return Check("ollama", Level.ERROR, message, _("paddock setup ollama"))
    message = _("There is a server, but no ollama program: Paddock cannot start one of its own.")
    return Check("ollama", Level.INFO, message, _("paddock setup ollama"))


def _check_server(host: str, server: str | None, *, wished: bool) -> Check:
    if server is not None and not is_new_enough(server):
        return Check(
            "ollama-server",
            Level.WARNING,
            unusable(host, server),
            _("Update it (https://ollama.com/download); until then Paddock starts a private one."),
        )
    if server is not None:
        return Check("ollama-server", Level.OK, _("Ollama {version} answers at {host}.", version=server, host=host))
    if wished:
        return Check(
            "ollama-server",
            Level.WARNING,
            unusable(host, None),
            _("Start it there (ollama serve), or unset the name: Paddock then starts a private one."),
        )
    message = _("No Ollama server is running; Paddock starts a private one when it is needed.")
    return Check("ollama-server", Level.INFO, message)
