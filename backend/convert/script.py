"""A GGUF made by llama.cpp's own script, for what our converter does not know; then a look at the result.

The script runs in LLaMA-Factory's Python with the ``gguf`` package of its own checkout, offline and without a GPU. What
a training changes of the tokenizer's keys is changed in its file afterwards.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from backend.convert.adopt import adopt, files_of_weights, ids_of, looked_at, readable_weights
from backend.convert.converter import ConvertReport, Overrides, Scripted, override
from backend.convert.digest import digest_of
from backend.convert.keys import Keys
from backend.convert.llama_cpp import SCRIPT, Script
from backend.convert.naming import name_of
from backend.convert.program import NOT_STARTED, Ended, run, unwritable
from backend.convert.scratch import Scratch, scratch
from backend.convert.target import require_space
from backend.convert.weights import ITEM_BYTES, Weight
from backend.lf.command import environment
from data.errors import AppError
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
    replace: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Let ``script`` write the model in the folder ``source`` to the file ``target``; else as ``converter.convert``.

    Raises AppError where the script fails or its file is no whole model, and Stopped; nothing is left behind then.
    """
    made_by = Scripted(script.path, digest_of(script.path), script.python)
    weights = readable_weights(source)
    with scratch(target) as work:
        copies = 2 if overrides and overrides.any else 1
        require_space(target, _forecast(source, weights, outtype) * copies)
        part = _run(script, source, work, target, outtype, name, progress, stop_requested)
        header = looked_at(part, SCRIPT)
        changes = Keys()
        if overrides is not None:
            override(changes, overrides, ids_of(header))
        return adopt(
            header,
            source,
            weights,
            target,
            changes,
            made_by,
            outtype,
            replace=replace,
            progress=progress,
            stop_requested=stop_requested,
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
    called = name_of(source)
    name = name or (called if called != source.absolute().name else None)  # the script would take a snapshot's hash
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
    elif any("mistral-common" in line for line in ended.last):
        hint = _("Copy the tokenizer.json of the same model into the folder: no mistral-common is needed then.")
    elif any(line.startswith(("ModuleNotFoundError", "ImportError")) for line in ended.last):
        hint = _(
            "This llama.cpp does not go with LLaMA-Factory's packages. Use another one: the setting llama_cpp_dir."
        )
    return AppError(_("{program} failed", program=SCRIPT), ended.last[-1] if ended.last else str(ended.status), hint)


def _forecast(source: Path, weights: tuple[Weight, ...], outtype: str) -> int:
    if not weights:
        return sum(path.stat().st_size for path in files_of_weights(source))
    return int(sum(weight.count * _ITEM_BYTES.get(outtype, ITEM_BYTES.get(weight.dtype, 2)) for weight in weights))
