"""A type that we do not make ourselves: a GGUF of ours in 16 bits, then llama-quantize, then a look at the result.

Both files have hidden names beside the target until the second is whole; the first never outlives the conversion.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from backend.convert.converter import ConvertReport, Digests, Quantised
from backend.convert.digest import digest_of
from backend.convert.quants import forecast_bytes
from backend.convert.stream import Stopped
from backend.convert.writer import publish, require_space
from data.errors import AppError
from data.gguf import Header, check, read_header
from data.i18n import Message, _

_STEP: Final = re.compile(r"\[ *(\d+)/ *(\d+)\]")
_TICK_S: Final = 0.2
_END_WAIT_S: Final = 5.0
_KEPT_LINES: Final = 6
_MAX_LINE_BYTES: Final = 65_536


def quantise(
    make: Callable[[Path], ConvertReport],
    target: Path,
    outtype: str,
    program: Path,
    *,
    imatrix: Path | None = None,
    begin: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Write ``target`` in the type ``outtype``; ``make`` writes the model in 16 bits to the path that it is given.

    ``begin`` is called between the two, ``progress`` then gets tensors done and in all. Raises what ``make`` raises,
    AppError where ``program`` fails or its file is not the same model, and Stopped; nothing is left behind then.
    """
    wide = target.with_name(f".{target.name}.{os.getpid()}.16bit")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        report = make(wide)
        begin()
        require_space(target, forecast_bytes(outtype, report.size_bytes))
        argv = [str(program), *(["--imatrix", str(imatrix)] if imatrix else [])]
        _run([*argv, str(wide), str(part), outtype.upper(), str(os.cpu_count() or 1)], progress, stop_requested)
        _verify(read_header(part), read_header(wide))
        digest = digest_of(part)
        _publish(part, target)
    finally:
        wide.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return replace(
        report,
        target=target,
        outtype=outtype,
        size_bytes=target.stat().st_size,
        digests=Digests(digest, report.digests.sources),
        quantised=Quantised(program, imatrix, digest_of(imatrix) if imatrix else ""),
    )


def _publish(part: Path, target: Path) -> None:
    handle = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    publish(part, target)


def _run(argv: list[str], progress: Callable[[int, int], None], stop_requested: Callable[[], bool]) -> None:
    """Run llama-quantize to its end; what it says goes into the log, its last lines into the error."""
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise _failed(argv[0], error.strerror or str(error)) from error
    try:
        for line in _lines(process, stop_requested):
            sys.stdout.write(line + "\n")
            found = _STEP.search(line)
            if found:
                progress(int(found[1]), int(found[2]))
            elif line.strip():
                last.append(line.strip())
        status = process.wait()
    finally:
        _end(process)
    if stop_requested():
        raise Stopped
    if status:
        raise _failed(argv[0], "\n".join(last) or f"{status}")


def _lines(process: subprocess.Popen[bytes], stop_requested: Callable[[], bool]) -> Iterator[str]:
    """Yield what the program says line by line until it ends; Stopped soon after a stop was asked for."""
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    handle, rest = process.stdout.fileno(), b""
    while True:
        if stop_requested():
            raise Stopped
        if not select.select([handle], [], [], _TICK_S)[0]:
            continue
        data = os.read(handle, _MAX_LINE_BYTES)
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
        if not data:
            yield rest.decode(errors="replace")
            return
        rest = rest[-_MAX_LINE_BYTES:]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _verify(made: Header, wide: Header) -> None:
    """Raise AppError where ``made`` is not the model of ``wide`` with other types."""
    shapes = [{tensor.name: tensor.shape for tensor in header.tensors} for header in (made, wide)]
    if shapes[0] != shapes[1]:
        raise _wrong(_("Its tensors are not those of the model."))
    lost = sorted(wide.keys.keys() - made.keys.keys())
    if lost:
        raise _wrong(_("It lacks keys of the model: {names}", names=", ".join(lost[:5])))
    problems = check(made)
    if problems:
        raise _wrong(problems[0].message)


def _wrong(reason: Message) -> AppError:
    return AppError(
        _("The file of llama-quantize is not what was asked for"),
        reason,
        _("Nothing was kept. Use the llama-quantize of a recent llama.cpp: the setting llama_cpp_dir."),
    )


def _failed(program: str, detail: str) -> AppError:
    hint = _("The log has all that it said. Another llama-quantize can be named with the setting llama_cpp_dir.")
    if "requires an imatrix" in detail:
        hint = _("Give an importance matrix with --imatrix FILE, or choose q4_k_m or iq4_xs.")
    elif "failed to load imatrix" in detail or "missing imatrix metadata" in detail:
        hint = _("Make the importance matrix again with llama-imatrix of the same llama.cpp.")
    return AppError(_("{program} failed", program=program), detail, hint)
