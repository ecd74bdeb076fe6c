"""How many bytes each step of an export writes, from the shapes of the model that is there now."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final

from backend.convert.folder import ModelFolder
from backend.convert.room import room_of
from backend.convert.target import SPARE_BYTES, real_target
from backend.convert.weights import read_weights
from backend.export.forecast import Need
from backend.export.plan import ExportPlan, base_folder
from data.errors import AppError

_DTYPE_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_TOKENIZER_BYTES: Final = 32_000_000
"""A generous tokenizer beside the weights"""


def needs(plan: ExportPlan, ollama_models: Path | None) -> list[Need]:
    """Return what each step needs; nothing for steps whose model is not on this machine yet.

    ``ollama_models`` is where the server keeps its models; None where it is on another machine.
    """
    return list(_needs(plan, ollama_models))


def _needs(plan: ExportPlan, ollama_models: Path | None) -> Iterator[Need]:
    counted = _count(plan)
    steps = plan.steps
    gguf_bytes = plan.gguf.stat().st_size if plan.gguf and plan.gguf.is_file() else 0
    if counted is not None:
        folder, numbers, item_bytes = counted
        if plan.merge and "export" in steps:
            size = numbers * _DTYPE_BYTES.get(plan.merge.infer_dtype, item_bytes) + _TOKENIZER_BYTES
            yield Need("export", plan.merge.export_dir, size, size)
        if plan.gptq:
            size = numbers * plan.gptq.bits // 8 + _TOKENIZER_BYTES
            yield Need("gptq", plan.gptq.export_dir, size, size)
        room = room_of(folder, plan.outtype, converter=plan.converter, is_changed=bool(plan.template))
        if plan.gguf and room and "convert" in steps:
            gguf_bytes = room.kept_bytes
            yield Need("convert", real_target(plan.gguf).parent, room.peak_bytes + SPARE_BYTES, gguf_bytes)
    if plan.deployment and ollama_models is not None and gguf_bytes:
        # As backend.deploy.create.check_space: the blob, the layer that Ollama makes of it, and the quantised one.
        quantizes = bool(plan.deployment.quantize)
        yield Need("deploy", ollama_models, gguf_bytes * (2 + quantizes), gguf_bytes)


def _count(plan: ExportPlan) -> tuple[Path, int, int] | None:
    """Return the folder that has the weights now, how many numbers they are and the bytes of each; None for none."""
    folder = base_folder(plan)
    if folder is None or plan.source.kind == "gguf":
        return None
    try:
        weights = read_weights(ModelFolder(folder))
    except AppError:
        return None
    numbers = sum(prod(weight.shape) for weight in weights)
    item_bytes = max(1, sum(weight.size_bytes for weight in weights) // max(1, numbers))
    return folder, numbers, item_bytes
