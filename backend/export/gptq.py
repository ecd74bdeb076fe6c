"""What a GPTQ export needs that may not be there: a GPU, packages of its own, and texts to calibrate with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.lf.find import LlamaFactory
from backend.telemetry.gpus import read_gpus
from data.errors import RequestError
from data.i18n import Message, _

_PACKAGES: Final = {"gptqmodel": "gptqmodel>=2.0.0", "optimum": "optimum>=1.24.0"}
"""By their modules, what LLaMA-Factory asks for (0.9.5, model/model_utils/quantization.py)"""
_ENDINGS: Final = (".json", ".jsonl", ".txt", ".csv", ".parquet", ".arrow")
"""Of the files that LLaMA-Factory opens (0.9.5, extras/constants.py FILEEXT2TYPE)"""


def lacks(lf: LlamaFactory | None, *, has_gpu: bool) -> Iterator[Message]:
    """Yield why the quantisation would fail on this machine, each with its remedy."""
    if not has_gpu:
        yield _("GPTQ will fail: no GPU is seen here. Start it on a machine that has one, or set Bits to none.")
    missing = [wanted for module, wanted in _PACKAGES.items() if lf and lf.file(module, "__init__.py") is None]
    if lf is not None and missing:
        yield _(
            "GPTQ will fail: LLaMA-Factory's environment lacks {names}. Install: {command}",
            names=", ".join(missing),
            command=shlex.join([str(lf.python), "-m", "pip", "install", *missing]),
        )


def sees_gpu() -> bool:
    """Say whether the driver shows a GPU at this moment."""
    return bool(read_gpus(processes=False).gpus)


def is_file_name(dataset: str) -> bool:
    """Say whether ``dataset`` is meant as a file here, not as a dataset on a hub."""
    return dataset.startswith(("/", ".", "~")) or dataset.lower().endswith(_ENDINGS)


def check_dataset(dataset: str) -> None:
    """Raise RequestError where there is nothing to calibrate with."""
    hint = _("Name a JSON file whose rows have a field text, or a dataset on a hub (owner/name).")
    if not dataset:
        raise RequestError(_("GPTQ needs texts to calibrate with"), "", hint)
    if is_file_name(dataset) and not Path(dataset).is_file():
        raise RequestError(_("There is no file {path} to calibrate with", path=dataset), "", hint)
