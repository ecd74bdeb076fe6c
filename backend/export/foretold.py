"""What the weights of an export foretell of its GGUF, before there is one: how large it is, and its type ``auto``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.convert.folder import ModelFolder, read_json
from backend.convert.naming import counts_of
from backend.convert.plan import Counts
from backend.convert.planning import own_type
from backend.convert.weights import read_weights
from backend.lf.hub import local_model
from backend.train.gptq import sees_gpu
from data.errors import RequestError

_TYPES: Final = {"bfloat16": "bf16", "float16": "f16"}
_SIXTEEN_BITS: Final = ("BF16", "F16")


def of_model(folder: Path) -> tuple[Counts | None, str]:
    """Return the numbers that the model in ``folder`` has, None where they cannot be read, and its own type."""
    return counts_of(folder), own_type(folder)


def of_merge(base: str) -> tuple[Counts | None, str]:
    """Return the same of a merge into ``base``, a folder or owner/name on a hub; None and "" where it is not here."""
    folder = local_model(base) if base else None
    return (None, "") if folder is None else (counts_of(folder), _merged_type(folder))


def _merged_type(base: Path) -> str:
    """Return bf16 or f16: what LLaMA-Factory's ``infer_dtype`` auto makes of ``base``, and ``auto`` of that.

    LLaMA-Factory 0.9.5, train/tuner.py ``export_model``: the type that config.json names, else that of the weights;
    32 bits become bfloat16 where there is a GPU, and stay 32 elsewhere, which the GGUF keeps as f16.
    """
    try:
        config = read_json(base / "config.json") or {}
    except RequestError:
        config = {}
    named = config.get("dtype") or config.get("torch_dtype")  # the second before transformers 5
    if isinstance(named, str) and named in _TYPES:
        return _TYPES[named]
    if named is None and _has_sixteen_bits(base):
        return own_type(base)
    return "bf16" if sees_gpu() else "f16"


def _has_sixteen_bits(folder: Path) -> bool:
    try:
        return any(weight.dtype in _SIXTEEN_BITS for weight in read_weights(ModelFolder(folder)))
    except RequestError:
        return False
