"""What a conversion must not write over: the files of the model that it reads, and a file of others beside the GGUF."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from backend.convert.sidecar import is_sidecar, sidecar_of
from data.errors import RequestError
from data.gguf.layout import MAGIC
from data.i18n import _

_MADE_HERE: Final = (".gguf", ".gguf.json")
"""Ends of the names that conversions give: in a model's folder, these are no part of the model"""


def refuse_own_files(target: Path, folders: Iterable[Path]) -> None:
    """Raise RequestError where ``target`` or its sidecar is a file of the models in ``folders``, also by a link."""
    places = tuple(dict.fromkeys(folders))
    for path in (target, sidecar_of(target)):
        own = next((found for folder in places if (found := _own_file(path, folder)) is not None), None)
        if own is not None:
            raise RequestError(
                _("The model's own file {name} would be overwritten", name=own.name),
                _("{path} is one of the files that the model is loaded from.", path=str(own)),
                _("Give the GGUF another name."),
            )


def refuse_foreign_sidecar(target: Path) -> None:
    """Raise RequestError where the file that the sidecar of ``target`` would replace is none of Paddock's."""
    path = sidecar_of(target)
    if path.is_file() and not is_sidecar(path):
        raise RequestError(
            _("The file beside the GGUF exists already"),
            _("{path} is where Paddock writes where the GGUF comes from, and holds something else.", path=str(path)),
            _("Give the GGUF another name, or move that file away."),
        )


def _own_file(path: Path, folder: Path) -> Path | None:
    """Return the file of the model in ``folder`` that ``path`` is; None for one that a conversion made, and for none.

    Whatever lies there counts, since the files of a tokenizer may have any name.
    """
    try:
        wanted = path.stat()
        with os.scandir(folder) as entries:
            found = [Path(entry) for entry in entries if _is_file(entry, wanted)]
    except OSError:
        return None
    return next((file for file in found if not _is_made_here(file)), None)


def _is_file(entry: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        return entry.is_file() and os.path.samestat(entry.stat(), wanted)
    except OSError:
        return False


def _is_made_here(file: Path) -> bool:
    if file.name.lower().endswith(_MADE_HERE) or is_sidecar(file):
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
