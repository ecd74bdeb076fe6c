"""Where a model from a hub lies on this machine: the caches of Hugging Face and ModelScope, read, never fetched into.

Sources: huggingface_hub `constants.py` and `file_download.py` (layout of the cache), modelscope 1.2x `hub/utils`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def local_model(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of the model ``name``: a folder by that path, or its newest snapshot in a hub's cache."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1:
        return None
    return next((found for found in _cached(name, environ) if (found / "config.json").is_file()), None)


def _cached(name: str, environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hugging_face = Path(environ.get("HF_HOME") or cache / "huggingface")
    hub = Path(environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or hugging_face / "hub")
    yield from _snapshots(hub / f"models--{name.replace('/', '--')}")
    scope = Path(environ.get("MODELSCOPE_CACHE") or cache / "modelscope" / "hub")
    for parts in (("models", name), (name,), ("hub", "models", name)):
        yield scope.joinpath(*parts[:-1]) / parts[-1].replace(".", "___")
        yield scope.joinpath(*parts)


def _snapshots(repository: Path) -> Iterator[Path]:
    """Yield the snapshot that ``main`` means, then the others, newest first."""
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = ""
    if commit and commit == Path(commit).name:
        yield repository / "snapshots" / commit
    try:
        others = sorted((repository / "snapshots").iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    except OSError:
        return
    yield from others
