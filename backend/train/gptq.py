"""What a GPTQ export needs that may not be there: a GPU, packages of its own, and texts to calibrate with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from backend.lf.checks import Check
from backend.lf.find import LlamaFactory
from backend.telemetry.gpus import read_gpus
from data.i18n import _
from data.jsontext import parse_json

_PARTS: Final = {"gptqmodel": "__init__.py", "optimum": "version.py"}
"""What LLaMA-Factory asks for (0.9.5, model/model_utils/quantization.py), and a file of each; optimum is a namespace"""
_INSTALL: Final = ("gptqmodel==5.7.0", "optimum==2.2.0", "kernels<0.13", "torchao<0.18")
"""The newest that work together with LLaMA-Factory 0.9.5 (tests/real/test_gptq.py runs them).

gptqmodel from 5.8 on wants an accelerate that LLaMA-Factory refuses; optimum before 2.2 reads an attribute that
transformers 5 sets only where a model lies on several devices, from 2.3 on it wants gptqmodel 7; transformers 5.6
cannot be imported beside kernels 0.13, and peft 0.18 makes no LoRA beside torchao 0.18.
"""
_BUILT_WITH: Final = "setuptools>=77.0.1,<82"
"""gptqmodel's own lower bound and torch 2.11's upper one; Python 3.11 puts 65.5 into a new environment"""
_HELD: Final = ("llamafactory", "torch")
"""Named in the same command, or pip would replace them, and what they depend on, by what gptqmodel likes best"""
_ENDINGS: Final = (".json", ".jsonl", ".txt", ".csv", ".parquet", ".arrow")
"""Of the files that LLaMA-Factory opens (0.9.5, extras/constants.py FILEEXT2TYPE)"""
_TEXT: Final = "text"
_LIMIT_BYTES: Final = 16 << 20
_MAXLEN: Final = 1024
"""LLaMA-Factory's own (0.9.5, hparams/model_args.py export_quantization_maxlen)"""


def lacks(lf: LlamaFactory | None, *, has_gpu: bool) -> Iterator[Check]:
    """Yield why the quantisation would fail on this machine, each with its remedy."""
    if not has_gpu:
        yield Check(
            "gptq.gpu",
            "warning",
            _("GPTQ needs a GPU, and none is seen here: on a processor it takes hours"),
            _("Start it on a machine that has one, or quantise by the GGUF's type or in Ollama."),
        )
    missing = [name for name, file in _PARTS.items() if lf and lf.file(name, file) is None]
    if lf is not None and missing:
        yield Check(
            "gptq.packages",
            "warning",
            _("GPTQ will fail: LLaMA-Factory's environment lacks {names}", names=", ".join(missing)),
            _("Install: {command}", command=" && ".join(shlex.join(words) for words in install_commands(lf))),
        )


def install_commands(lf: LlamaFactory) -> list[list[str]]:
    """Return the commands that bring the packages of GPTQ into the environment of ``lf`` and change nothing it needs.

    gptqmodel looks for the environment's torch when it is built, hence without pip's isolation, and after what it is
    built with.
    """
    held = [f"{name}=={version}" for name in _HELD if (version := lf.packages.get(name))]
    install = [str(lf.python), "-m", "pip", "install"]
    return [[*install, _BUILT_WITH], [*install, "--no-build-isolation", *_INSTALL, *held]]


def sees_gpu() -> bool:
    """Say whether the driver shows a GPU at this moment."""
    return bool(read_gpus(processes=False).gpus)


def is_file_name(dataset: str) -> bool:
    """Say whether ``dataset`` is meant as a file here, not as a dataset on a hub."""
    return dataset.startswith(("/", ".", "~")) or dataset.lower().endswith(_ENDINGS)


def dataset_checks(args: Mapping[str, object]) -> Iterator[Check]:
    """Yield an error where ``args`` quantise and there is nothing to calibrate with.

    The texts of JSON and JSONL up to 16 MiB are looked at.
    """
    if not args.get("export_quantization_bit"):
        return
    dataset = str(args.get("export_quantization_dataset") or "")
    remedy = _("Name a JSON file whose rows have a field text, or a dataset on a hub (owner/name).")
    if not dataset:
        yield Check("gptq.dataset", "error", _("GPTQ needs texts to calibrate with"), remedy)
    if not is_file_name(dataset):
        return
    path = Path(dataset)
    if not path.is_file():
        yield Check("gptq.dataset", "error", _("There is no file {path} to calibrate with", path=dataset), remedy)
        return
    maxlen = args.get("export_quantization_maxlen", _MAXLEN)
    rows = _rows(path)
    lengths = [len(text.encode()) for row in rows if isinstance(text := row.get(_TEXT), str)]
    if rows and len(lengths) < len(rows):
        yield Check("gptq.dataset", "error", _("Not every row of {path} has a field text", path=dataset), remedy)
    elif lengths and isinstance(maxlen, int) and max(lengths) <= maxlen:
        # A token takes a byte or more, and LLaMA-Factory gives up where it finds no text with more tokens than that.
        yield Check(
            "gptq.dataset",
            "error",
            _("Every text of {path} is shorter than {count} tokens", path=dataset, count=maxlen),
            _("Use longer texts, or a smaller export_quantization_maxlen."),
        )


def _rows(path: Path) -> list[Mapping[str, object]]:
    """Return the rows of a JSON list or of JSONL; none where the file is another, too large, or cannot be read."""
    if path.suffix.lower() not in (".json", ".jsonl"):
        return []
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            return []
        raw = path.read_bytes()
        is_list = raw.lstrip().startswith(b"[")
        values = parse_json(raw) if is_list else [parse_json(line) for line in raw.splitlines() if line.strip()]
    except (OSError, ValueError):
        return []  # what is wrong with it, its reader says better
    return [cast("Mapping[str, object]", value) for value in cast("list[object]", values) if isinstance(value, dict)]
