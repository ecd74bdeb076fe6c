"""Where the models lie of the server that a deployment would use: whose disk has to have the room."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from backend.deploy.server import private_server
from backend.ollama.address import Address, parse_address
from backend.ollama.discover import find_server, passed_over, person_address
from backend.ollama.private import models_folder
from data.i18n import Message
from data.jobs.library import Library
from data.paths import Paths
from data.settings import Settings

_PROGRAM: Final = "ollama"
_OWN_FOLDER: Final = Path(".ollama", "models")
"""Below HOME, unless OLLAMA_MODELS says otherwise (Ollama ``envconfig.Models``)"""
_ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Storage:
    """The models' folder of one server."""

    host: str
    """Empty for the private one, which need not run"""
    folder: Path | None
    """None where it is on another machine, or where nobody here can tell"""
    instead_of: Message | None = None
    """Of the private one: why a person's own was passed over; None where none was"""


async def storage(
    paths: Paths,
    settings: Settings,
    *,
    host: str = "",
    want_private: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Storage:
    """Return where the server that ``ensure_server`` would take, asked the same, keeps its models; starts none.

    Raises RequestError for what is no address.
    """
    private = Storage("", models_folder(paths))
    if want_private and not host:
        return private
    if host or settings.ollama_host:
        address = parse_address(host) if host else person_address(settings, environ)[0]
    else:
        found = await find_server(settings, environ)
        if found is None or not found.is_new_enough:
            return replace(private, instead_of=passed_over(found, settings, environ))
        address = found.address
    own = await private_server(Library(paths.jobs), ask=False)
    if own is not None and parse_address(own.host) == address:
        return private
    return Storage(address.url, await asyncio.to_thread(_folder_at, address))


def _folder_at(address: Address) -> Path | None:
    """Return the folder of a person's own server; None where it is not seen to run here.

    What listens on loopback may be a tunnel to another machine, so only an ollama that runs here is believed: one of
    this user by what it was started with, one of a service's user by that user's home.
    """
    if not address.is_loopback:
        return None
    others: list[Path] = []
    for process in _servers():
        try:
            uid = process.uids().real
            if uid == os.getuid():
                if _listens(process, address.port):
                    return _told(process.environ())
            elif uid != _ROOT:  # root's is mostly that of a container, whose disk is its own
                others.append(Path(pwd.getpwuid(uid).pw_dir) / _OWN_FOLDER)
        except (psutil.Error, KeyError, OSError):
            continue
    return others[0] if len(others) == 1 else None


def _servers() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.name() == _PROGRAM and "serve" in process.cmdline():
                yield process
        except psutil.Error:
            continue


def _listens(process: psutil.Process, port: int) -> bool:
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        for connection in process.net_connections("tcp")
    )


def _told(environ: Mapping[str, str]) -> Path | None:
    if environ.get("OLLAMA_MODELS"):
        return Path(environ["OLLAMA_MODELS"])
    home = environ.get("HOME")
    return Path(home) / _OWN_FOLDER if home else None
