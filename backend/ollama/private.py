"""The private server's own folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.ollama.address import VARIABLE, Address
from backend.ollama.name import ModelName
from data.paths import Paths

LOCK_NAME: Final = "server.lock"
"""In the server's home: held while somebody decides whether a server is needed, or is not needed any more.

Its modification time is when a view last chose the server: it counts as a use.
"""


def lock_file(paths: Paths) -> Path:
    """Return the lock on that decision."""
    return paths.ollama_home / LOCK_NAME


def models_folder(paths: Paths) -> Path:
    """Return the private server's OLLAMA_MODELS."""
    return paths.ollama_home / "models"


def server_environment(address: Address, models: Path, home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server that listens at ``address`` and keeps to its own two folders."""
    return {
        **environ,
        VARIABLE: address.authority,
        "OLLAMA_MODELS": str(models),
        "OLLAMA_NO_CLOUD": "1",  # 0.32.7 otherwise calls its maker's site at start
        "HOME": str(home),
    }


def has_manifest(paths: Paths, name: ModelName) -> bool:
    """Say whether the private server, which need not run, has a model of that name (Ollama ``manifest/paths.go``)."""
    manifests = models_folder(paths) / "manifests"
    files = (file.relative_to(manifests) for file in manifests.glob("*/*/*/*") if file.is_file())
    return any(name.same_as(f"{file.parent.as_posix()}:{file.name}") for file in files)
