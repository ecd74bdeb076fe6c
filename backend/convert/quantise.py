"""A type that we do not make ourselves: a GGUF of ours in 16 bits, then llama-quantize, then a look at the result.

Both files lie in a hidden folder beside the target until the second is whole; the first never outlives the conversion.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from backend.convert.converter import ConvertReport, Digests, Quantised
from backend.convert.digest import digest_of
from backend.convert.program import run, unwritable
from backend.convert.quants import SMALL_BLOCKS, forecast_bytes
from backend.convert.scratch import scratch
from backend.convert.target import require_space, settle
from data.errors import AppError
from data.gguf import Header, check, read_header
from data.i18n import Message, _

_STEP: Final = re.compile(r"\[ *(\d+)/ *(\d+)\]")


def quantise(
    make: Callable[[Path], ConvertReport],
    target: Path,
    outtype: str,
    program: Path,
    *,
    imatrix: Path | None = None,
    replace: bool = True,
    begin: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Write ``target`` in the type ``outtype``; ``make`` writes the model in 16 bits to the path that it is given.

    ``begin`` is called between the two, ``progress`` then gets tensors done and in all. Raises what ``make`` raises,
    AppError where ``program`` fails or its file is not the same model, and Stopped; nothing is left behind then.
    """
    with scratch(target) as work:
        wide, part = work.folder / "16bit", work.folder / "quantised"
        report = make(wide)
        begin()
        require_space(target, forecast_bytes(outtype, report.size_bytes))
        argv = [str(program), *(["--imatrix", str(imatrix)] if imatrix else [])]
        argv += [str(wide), str(part), outtype.upper(), str(os.cpu_count() or 1)]
        _run(argv, target, work.lock, progress, stop_requested)
        made_header = read_header(part)
        _verify(made_header, read_header(wide))
        made = Quantised(program, imatrix, digest_of(imatrix) if imatrix else "")
        digest, size_bytes = digest_of(part), part.stat().st_size
        settle(part, target, replace=replace)
    return dataclasses.replace(
        report,
        target=target,
        outtype=outtype,
        size_bytes=size_bytes,
        digests=Digests(digest, report.digests.sources),
        quantised=made,
        warnings=(*report.warnings, *_fallen_back(made_header, outtype)),
    )


def _run(
    argv: list[str], target: Path, lock: int, progress: Callable[[int, int], None], stop_requested: Callable[[], bool]
) -> None:
    """Run llama-quantize to its end; AppError where it fails."""

    def take_line(line: str) -> bool:
        found = _STEP.search(line)
        if found:
            progress(int(found[1]), int(found[2]))
        return found is not None

    ended = run(argv, take_line, stop_requested, lock=lock)
    if ended.status:
        raise unwritable(target, ended.last) or _failed(argv[0], ended.said)


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


def _fallen_back(made: Header, outtype: str) -> Iterator[Message]:
    """Say how much of ``made`` got a larger type than was asked for, since its rows are not made of whole blocks.

    Source: llama.cpp `src/llama-quant.cpp`, ``tensor_type_fallback``. What stays F32 is never quantised.
    """
    block = 32 if outtype in SMALL_BLOCKS else 256
    matrices = [tensor for tensor in made.tensors if len(tensor.shape) > 1 and tensor.type.name != "F32"]
    odd = [tensor for tensor in matrices if tensor.shape[0] % block]
    if not odd:
        return
    types = Counter(tensor.type.name for tensor in odd).most_common()
    yield _(
        "{count} of {total} matrices have larger types than {type} stands for ({types}): their rows "
        "({columns} numbers) do not divide by {block}.",
        count=len(odd),
        total=len(matrices),
        type=outtype.upper(),
        types=", ".join(f"{name} × {count}" for name, count in types),
        columns=", ".join(map(str, sorted({tensor.shape[0] for tensor in odd}))),
        block=block,
    )


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
