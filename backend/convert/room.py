"""How much room a conversion takes of the disk that it writes to, before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from backend.convert.folder import ModelFolder
from backend.convert.names import AUTO, LLAMA_CPP, OLLAMA
from backend.convert.planning import make_plan
from backend.convert.quants import BITS, forecast_bytes
from backend.convert.weights import read_weights
from data.errors import AppError

_OUTTYPE_BYTES: Final = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "auto": 2.0} | dict.fromkeys(BITS, 2.0)


class Room(NamedTuple):
    """The bytes of one conversion."""

    peak_bytes: int
    """Most that it holds while it runs"""
    kept_bytes: int
    """What stays of that: the GGUF"""


def room_of(folder: Path, outtype: str, *, converter: str = AUTO, is_changed: bool = False) -> Room | None:
    """Return what a GGUF of the model in ``folder`` takes; None where its weights cannot be read. Reads headers only.

    ``is_changed``: what a training says goes into its keys. A model that our converter does not know takes twice the
    GGUF, since another one makes it, and what is changed in its file is changed in a copy.
    """
    try:
        weights = read_weights(ModelFolder(folder))
    except AppError:
        return None
    try:
        planned = make_plan(folder, "auto" if outtype in BITS else outtype).data_bytes
    except AppError:
        planned = 0
    peak = kept = planned or int(sum(weight.count for weight in weights) * _OUTTYPE_BYTES.get(outtype, 4.0))
    if not planned or converter == OLLAMA or (converter == LLAMA_CPP and is_changed):
        peak *= 2
    if outtype in BITS:  # llama-quantize makes it of a file in 16 bits that lies beside it meanwhile
        wide, kept = kept, forecast_bytes(outtype, kept)
        peak = max(peak, wide + kept)
    return Room(peak, kept)
