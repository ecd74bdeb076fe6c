"""How many bytes each step of an export writes, from the shapes of the model that is there now."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final

from backend.convert.folder import ModelFolder
from backend.convert.names import LLAMA_CPP, OLLAMA
from backend.convert.planning import make_plan
from backend.convert.quants import BITS, forecast_bytes
from backend.convert.weights import read_weights
from backend.export.forecast import Need
from backend.export.plan import ExportPlan, base_folder
from data.errors import AppError

_DTYPE_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_OUTTYPE_BYTES: Final = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "auto": 2.0} | dict.fromkeys(BITS, 2.0)
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
        numbers, item_bytes, planned = counted
        if plan.merge and "export" in steps:
            size = numbers * _DTYPE_BYTES.get(plan.merge.infer_dtype, item_bytes) + _TOKENIZER_BYTES
            yield Need("export", plan.merge.export_dir, size, size)
        if plan.gptq:
            size = numbers * plan.gptq.bits // 8 + _TOKENIZER_BYTES
            yield Need("gptq", plan.gptq.export_dir, size, size)
        if plan.gguf and "convert" in steps:
            gguf_bytes = peak_bytes = planned or int(numbers * _OUTTYPE_BYTES.get(plan.outtype, 4.0))
            if not planned or plan.converter == OLLAMA or (plan.converter == LLAMA_CPP and plan.template):
                peak_bytes *= 2  # what the template changes in the file of another converter is changed in a copy
            if plan.outtype in BITS:  # llama-quantize makes it of a file in 16 bits that lies beside it meanwhile
                wide_bytes, gguf_bytes = gguf_bytes, forecast_bytes(plan.outtype, gguf_bytes)
                peak_bytes = max(peak_bytes, wide_bytes + gguf_bytes)
            yield Need("convert", plan.gguf.parent, peak_bytes, gguf_bytes)
    if plan.deployment and ollama_models is not None and gguf_bytes:
        # As backend.deploy.create.check_space: the blob, the layer that Ollama makes of it, and the quantised one.
        quantizes = bool(plan.deployment.quantize)
        yield Need("deploy", ollama_models, gguf_bytes * (2 + quantizes), gguf_bytes)


def _count(plan: ExportPlan) -> tuple[int, int, int] | None:
    """Return numbers, bytes of each, and the bytes of the GGUF as far as a plan can be made; None for no model."""
    folder = base_folder(plan)
    if folder is None or plan.source.kind == "gguf":
        return None
    try:
        weights = read_weights(ModelFolder(folder))
    except AppError:
        return None
    numbers = sum(prod(weight.shape) for weight in weights)
    item_bytes = max(1, sum(weight.size_bytes for weight in weights) // max(1, numbers))
    try:
        planned = make_plan(folder, "auto" if plan.outtype in BITS else plan.outtype).data_bytes
    except AppError:  # not a model that our converter knows: another one will write about as much
        planned = 0
    return numbers, item_bytes, planned
