"""The private server's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
