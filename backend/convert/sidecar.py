"""The file beside a GGUF that says where it comes from: source, training run, digests, and what made it.

It stands beside the GGUF, so that it can name the digest of the whole file. A GGUF that is made after a training says
the run itself as well (``general.description``), for those who get it alone; any other stays, byte for byte, what
llama.cpp's script makes of the same folder.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from backend.convert.folder import Limits, read_json
from backend.convert.target import real_target
from data.errors import AppError, RequestError
from data.files import write_atomic
from data.i18n import _
from data.jobs.spec import rfc3339
from data.jsontext import json_text

if TYPE_CHECKING:  # numpy is not needed to read a sidecar
    from backend.convert.converter import ConvertReport, Quantised

VERSION: Final = 1
RUN_FILE: Final = "paddock.json"
"""What a training, and an export of it, leave beside the weights"""
_SUFFIX: Final = ".json"
_LIMITS: Final = Limits(1024 * 1024, 2_000, 20_000)


def sidecar_of(gguf: Path) -> Path:
    """Return the name of the sidecar: that of the GGUF with .json behind it; of a link, that of the file."""
    real = real_target(gguf)
    return real.with_name(real.name + _SUFFIX)


def write_sidecar(
    report: ConvertReport, *, changed: Sequence[str], moment: datetime, training: Mapping[str, object] | None = None
) -> Path:
    """Write the sidecar of a GGUF that was just made; ``changed`` names the keys that were given, not read.

    ``training`` holds the params of the job by that name, which need not be what the run recorded. Raises AppError
    where the file cannot be written.
    """
    path = sidecar_of(report.target)
    value = {
        "version": VERSION,
        "made_at": rfc3339(moment),
        "made_by": {"program": "paddock", "version": _version()},
        "gguf": {
            "file": report.target.name,
            "bytes": report.size_bytes,
            "blake3": report.digests.target,
            "outtype": report.outtype,
            "architecture": report.architecture,
            "tensors": report.tensors,
        },
        **({report.made_by.key: report.made_by.as_json()} if report.made_by else {}),
        "quantised": _quantised(report.quantised),
        "source": {
            "folder": str(report.source.absolute()),
            "architecture": report.source_architecture,
            "files": [
                {"file": file.name, "bytes": _size_bytes(file), "blake3": blake3}
                for file, blake3 in report.digests.sources.items()
            ],
        },
        "base": report.base.as_json() if report.base else None,
        "run": _run(report.source),
        "training": dict(training) if training else None,
        "changed_keys": sorted(changed),
    }
    try:
        write_atomic(path, json_text(value, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise AppError(
            _("{path} cannot be written", path=str(path)),
            error.strerror or str(error),
            _("Check the folder's permissions and its free space; the GGUF itself is complete."),
        ) from error
    return path


def description_of(folder: Path, told: str = "") -> str | None:
    """Return the training that the weights in ``folder`` come from, in a line; None where nobody recorded one.

    ``told`` is the template that the GGUF is made with, named beside another one that was recorded. A base on this
    machine is named without its place: the file may go out into the world.
    """
    run = _run(folder)
    job, base = (run or {}).get("job"), (run or {}).get("model")
    if run is None or not isinstance(job, str) or not job:
        return None
    said = [f"run {job}"]
    if isinstance(base, str) and base:
        said.append(f"base {Path(base).name if Path(base).is_absolute() else base}")
    trained = run.get("template")
    if told and isinstance(trained, str) and told != trained:
        said.append(f"template {told}, not {trained} as trained")
    elif told or isinstance(trained, str):
        said.append(f"template {told or trained}")
    return f"Fine-tuned with LLaMA-Factory by Paddock {_version()}: {', '.join(said)}."


def _version() -> str:
    return importlib.metadata.version("llama-paddock")


def read_sidecar(gguf: Path) -> Mapping[str, object] | None:
    """Return what the sidecar of ``gguf`` says; None where there is none, or where it is not about this file."""
    value = _read(sidecar_of(gguf))
    try:
        size = gguf.stat().st_size
    except OSError:
        return None
    match value:
        case {"version": 1, "gguf": {"bytes": int(found)}} if found == size:
            return cast("Mapping[str, object]", value)
        case _:
            return None


def is_sidecar(file: Path) -> bool:
    """Say whether ``file`` is a sidecar of Paddock's, of whichever GGUF and version."""
    match _read(file):
        case {"version": int(), "made_by": {"program": "paddock"}, "gguf": {}}:
            return True
        case _:
            return False


def _read(file: Path) -> object:
    """Return the JSON in ``file``; None where there is none, and where it is more than a sidecar."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(_LIMITS.size_bytes + 1)
        return None if _LIMITS.exceeded_by(raw) else json.loads(raw)
    except (OSError, ValueError, RecursionError):
        return None


def _size_bytes(file: Path) -> int | None:
    """Return how large a file of the source is; None where somebody has removed it meanwhile."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _quantised(made: Quantised | None) -> Mapping[str, object] | None:
    if made is None:
        return None
    imatrix = {"file": str(made.imatrix.absolute()), "blake3": made.imatrix_digest} if made.imatrix else None
    return {"program": str(made.program), "imatrix": imatrix}


def _run(folder: Path) -> Mapping[str, object] | None:
    """Return the record of the training that the weights come from; None where there is no good one.

    That of a checkpoint lies in the output_dir above it.
    """
    try:
        found = read_json(folder / RUN_FILE, limits=_LIMITS)
    except RequestError:
        return None
    is_checkpoint = found is None and folder.name.startswith("checkpoint-")
    return _run(folder.parent) if is_checkpoint else found
