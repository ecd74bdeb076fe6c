"""What each mend was for, by the digest of the model that it has made: so every copy of that keeps it.

One file each, ``{template, ..., source}``: the fields of a ``Training``, and by whose word it was taken for that.
A guess is nobody's word, and is made anew each time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, cast

from backend.parity.training import Trained, Training
from data.errors import RequestError
from data.files import write_atomic
from data.jsontext import parse_json
from data.paths import Paths

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SOURCES: Final = ("asked", "record")


def remember(paths: Paths, digest: str, trained: Trained) -> None:
    """Write down that the model of this digest was proven to be sent what ``trained`` says; raises OSError."""
    file = _file(paths, digest)
    if file is not None:
        value = {**trained.as_params(), "source": trained.source}
        write_atomic(file, json.dumps(value, ensure_ascii=False) + "\n")


def recall(paths: Paths, digest: str) -> Trained | None:
    """Return what a mend took for the training of the model of this digest; None where none made it."""
    file = _file(paths, digest)
    try:
        found: object = parse_json(file.read_bytes()) if file is not None else None
    except (OSError, ValueError):
        return None
    value = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    source = value.pop("source", None)
    try:
        training = Training.read(value)
    except RequestError:
        return None
    return Trained.by(training, str(source)) if training is not None and source in _SOURCES else None


def _file(paths: Paths, digest: str) -> Path | None:
    """Return where the record lies; None for what a server calls a digest and is none."""
    return paths.mends / f"{digest}.json" if _DIGEST.fullmatch(digest) else None
