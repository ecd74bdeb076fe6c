"""Checks of Ollama: whether there is a program, whether a server runs, and whether both are new enough."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from backend.doctor.report import Check, Level
from backend.setup import ollama
from data.i18n import _
from data.paths import Paths
from data.settings import Settings

DEFAULT_HOST: Final = "127.0.0.1:11434"
_TIMEOUT_S: Final = 0.4


def check_ollama(
    paths: Paths, settings: Settings, environ: Mapping[str, str]
) -> tuple[Mapping[str, object] | None, list[Check]]:
    """Return ``{binary, host, version, running}`` of what would be used (None: nothing), and the checks that say so."""
    program = ollama.present(paths, settings, environ)
    host = address_of(settings.ollama_host or environ.get("OLLAMA_HOST", ""))
    server = server_version(host)
    wished = bool(settings.ollama_host or environ.get("OLLAMA_HOST"))
    checks = list(_checks(program, host, server, wished=wished))
    if program is None and server is None:
        return None, checks
    usable = server is not None and ollama.version_key(server) >= ollama.LEAST
    return {
        "binary": None if program is None else str(program.binary),
        "host": host if server is not None else None,
        "version": server if usable or program is None else program.version,
        "running": server is not None,
    }, checks


def _checks(program: ollama.Program | None, host: str, server: str | None, *, wished: bool) -> Iterator[Check]:
    least = ".".join(str(part) for part in ollama.LEAST)
    too_old = server is not None and ollama.version_key(server) < ollama.LEAST
    if program is not None:
        message = _(
            "Ollama {version}: {path} ({origin})",
            version=program.version,
            path=str(program.binary),
            origin=program.origin,
        )
        yield Check("ollama", Level.OK, message)
    elif server is None or too_old:
        message = _("Ollama was not found: models cannot be deployed or talked to.")
        yield Check("ollama", Level.ERROR, message, _("paddock setup ollama"))
    else:
        message = _("There is a server, but no ollama program: Paddock cannot start one of its own.")
        yield Check("ollama", Level.INFO, message, _("paddock setup ollama"))
    if server is not None and too_old:
        yield Check(
            "ollama-server",
            Level.WARNING,
            _("The server at {host} is Ollama {version}, older than {least}.", host=host, version=server, least=least),
            _("Update it (https://ollama.com/download); until then Paddock starts a private one."),
        )
    elif server is not None:
        yield Check("ollama-server", Level.OK, _("Ollama {version} answers at {host}.", version=server, host=host))
    elif wished:
        yield Check(
            "ollama-server",
            Level.WARNING,
            _("No Ollama answers at {host}, which OLLAMA_HOST or the setting ollama_host names.", host=host),
            _("Start it there (ollama serve), or unset the name: Paddock then starts a private one."),
        )
    else:
        message = _("No Ollama server is running; Paddock starts a private one when it is needed.")
        yield Check("ollama-server", Level.INFO, message)


def address_of(text: str) -> str:
    """Return ``http://host:port`` for what OLLAMA_HOST may hold: "", "0.0.0.0", ":8080", "host", "https://host".

    The rules are ollama's own (``envconfig/config.go``, ``Host``); an address of all interfaces is asked on loopback.
    """
    value = text.strip().strip("\"'")
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    parts = urlsplit(f"//{rest or DEFAULT_HOST}")
    name = parts.hostname or "127.0.0.1"
    try:
        port = parts.port
    except ValueError:
        port = None
    port = port or {"http": 80, "https": 443}.get(scheme if separator else "", 11434)
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104 - what is compared, not bound to
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def server_version(address: str, timeout_s: float = _TIMEOUT_S) -> str | None:
    """Return the version of the Ollama server at ``address``; None where none answers in time."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/version")
        answer = connection.getresponse()
        value: object = json.loads(answer.read(4096)) if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    match value:
        case {"version": str(version)}:
            return version
        case _:
            return None
