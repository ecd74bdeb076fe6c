"""A GGUF made by llama.cpp's own script, for what our converter does not know; then a look at the result.

The script runs in LLaMA-Factory's Python with the ``gguf`` package of its own checkout, offline and without a GPU. What
a training changes of the tokenizer's keys is changed in its file afterwards.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Final

from backend.convert.converter import ConvertReport, Digests, Overrides, Scripted, override
from backend.convert.digest import digest_of
from backend.convert.folder import ModelFolder
from backend.convert.keys import Keys
from backend.convert.llama_cpp import SCRIPT, Script
from backend.convert.plan import FILE_TYPES
from backend.convert.planning import count_eyes
from backend.convert.program import NOT_STARTED, Ended, run, unwritable
from backend.convert.rekey import rekey
from backend.convert.scratch import Scratch, scratch
from backend.convert.stream import Stopped
from backend.convert.weights import ITEM_BYTES, Weight, read_weights
from backend.convert.writer import require_space, settle
from backend.lf.command import environment
from data.errors import AppError, RequestError
from data.gguf import Header, check, read_header
from data.i18n import _

_ITEM_BYTES: Final = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
_WRITING: Final = re.compile(r"Writing:.*\|\s*([\d.]+)([kMGTP]?)/([\d.]+)([kMGTP]?) ")
"""The bar of tqdm, with its units: gguf-py `gguf_writer.py` ``write_tensors_to_file``"""
_UNITS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_NOT_HANDED_ON: Final = ("PYTHONSAFEPATH", "NO_LOCAL_GGUF")
"""The first would hide the modules beside the script"""


def convert_by_script(
    source: Path,
    target: Path,
    script: Script,
    *,
    outtype: str = "auto",
    name: str | None = None,
    overrides: Overrides | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Let ``script`` write the model in the folder ``source`` to the file ``target``; else as ``converter.convert``.

    Raises AppError where the script fails or its file is no whole model, and Stopped; nothing is left behind then.
    """
    folder = ModelFolder(source, weights=False)
    weights = _weights(source)
    changes = overrides if overrides and any(value is not None for value in astuple(overrides)) else None
    made_by = Scripted(script.path, digest_of(script.path), script.python)
    with scratch(target) as work:
        require_space(target, _forecast(source, weights, outtype) * (2 if changes else 1))
        part = _run(script, source, work, target, outtype, name, progress, stop_requested)
        header = read_header(part)
        _verify(header)
        digests = {path: _digest(path, stop_requested) for path in _files(source)}
        if changes:
            digest = rekey(part, target, _changed(header, changes), progress, stop_requested)
        else:
            digest = _digest(part, stop_requested)
            settle(part, target)
    return ConvertReport(
        target,
        header.architecture,
        _outtype(header, outtype),
        len(header.tensors),
        target.stat().st_size,
        header.text("tokenizer.ggml.pre"),
        "",
        Digests(digest, digests),
        source,
        folder.architecture,
        count_eyes(weights),
        made_by,
    )


def _run(
    script: Script,
    source: Path,
    work: Scratch,
    target: Path,
    outtype: str,
    name: str | None,
    progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
) -> Path:
    """Run the script to its end, and return the file that it wrote in the folder ``work``."""
    part = work.folder / "scripted"
    argv = [str(script.python), str(script.path), str(source.absolute()), "--outfile", str(part.absolute())]
    argv += ["--outtype", outtype, *(["--model-name", name] if name else [])]

    def take_line(line: str) -> bool:
        found = _WRITING.search(line)
        if found:
            progress(int(float(found[1]) * _UNITS[found[2]]), int(float(found[3]) * _UNITS[found[4]]))
        return found is not None

    ended = run(argv, take_line, stop_requested, lock=work.lock, env=_environment(script, os.environ))
    if ended.status == NOT_STARTED:
        detail = f"{script.python}: {ended.said}"
        raise AppError(_("LLaMA-Factory's Python is gone"), detail, _("paddock doctor shows what is found now."))
    if ended.status:
        raise unwritable(target, ended.last) or _failed(ended)
    return part


def _environment(script: Script, environ: Mapping[str, str]) -> dict[str, str]:
    made = {**environ, **environment(script.python, output_dir=None, environ=environ)}
    made |= {"PYTHONPATH": str(script.library), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {name: value for name, value in made.items() if name not in _NOT_HANDED_ON}


def _failed(ended: Ended) -> AppError:
    hint = _("The log has all that it said. A more recent llama.cpp may know this model: the setting llama_cpp_dir.")
    if ended.status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        hint = _("It was killed, probably because the memory was full: close other programs, and try again.")
    elif any(line.startswith(("ModuleNotFoundError", "ImportError")) for line in ended.last):
        hint = _(
            "This llama.cpp does not go with LLaMA-Factory's packages. Use another one: the setting llama_cpp_dir."
        )
    return AppError(_("{program} failed", program=SCRIPT), ended.last[-1] if ended.last else str(ended.status), hint)


def _verify(header: Header) -> None:
    """Raise AppError where what the script wrote is not a whole model."""
    problems = check(header)
    if problems:
        raise AppError(
            _("The file of {script} is not what was asked for", script=SCRIPT),
            problems[0].message,
            _("Nothing was kept. Use the script of a recent llama.cpp: the setting llama_cpp_dir."),
        )


def _changed(header: Header, overrides: Overrides) -> Keys:
    tokens = header.array("tokenizer.ggml.tokens")

    def id_of(text: str) -> int | None:
        raw = text.encode()
        return next((number for number, token in enumerate(tokens.values()) if token == raw), None) if tokens else None

    keys = Keys()
    override(keys, overrides, id_of)
    return keys


def _outtype(header: Header, asked: str) -> str:
    number = header.whole("general.file_type")
    return next((name for name, known in FILE_TYPES.items() if known == number), asked)


def _weights(source: Path) -> tuple[Weight, ...]:
    """Return the weights of ``source`` where they are safetensors; the script takes other folders, too."""
    try:
        return read_weights(ModelFolder(source))
    except RequestError:
        return ()


def _files(source: Path) -> Iterator[Path]:
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        yield from sorted(source.glob(pattern))


def _forecast(source: Path, weights: tuple[Weight, ...], outtype: str) -> int:
    if not weights:
        return sum(path.stat().st_size for path in _files(source))
    return int(sum(weight.count * _ITEM_BYTES.get(outtype, ITEM_BYTES.get(weight.dtype, 2)) for weight in weights))


def _digest(path: Path, stop_requested: Callable[[], bool]) -> str:
    if stop_requested():
        raise Stopped
    return digest_of(path)
