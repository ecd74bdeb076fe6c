"""Has a merge taken? The merged model's tensors against the base's: they must differ just where the adapter acts.

Merging into the wrong size of base, or an adapter that was never trained, gives unchanged weights without any error
(LLaMA-Factory issue 9051); nothing later tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from backend.convert.cast import RAW_TYPES, NotFiniteError, Raw, is_finite, to_bf16, to_f16, to_f32
from backend.convert.folder import ModelFolder
from backend.convert.plan import Part
from backend.convert.stream import Sources
from backend.convert.weights import ITEM_BYTES, Weight, read_weights
from backend.export.adapter import Adapter

_CHUNK: Final = 1 << 19  # numbers
_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between the base and the merged model; all names are tensors of the merged model."""

    changed: tuple[str, ...]
    """Differ, and an adapter acts there"""
    unchanged: tuple[str, ...]
    """Do not differ anywhere, although an adapter acts there"""
    strayed: tuple[str, ...]
    """Differ although no adapter acts there (sampled)"""
    reshaped: tuple[str, ...]
    """Have another shape: a vocabulary that was resized"""
    not_finite: tuple[str, ...]
    """Hold NaN or Inf in what was read"""
    idle: tuple[str, ...]
    """Modules whose adapter was never trained: its factors are zero"""
    absent: tuple[str, ...]
    """Modules that an adapter acts on and one of the models lacks"""

    @property
    def has_taken(self) -> bool:
        """Every tensor that an adapter acts on differs, and every number is one."""
        return bool(self.changed) and not (self.unchanged or self.not_finite or self.absent)

    def as_json(self) -> dict[str, object]:
        """Return the counts, and the names of what is wrong."""
        return {
            "ok": self.has_taken,
            "changed": len(self.changed),
            **{
                name: list(getattr(self, name))
                for name in ("unchanged", "strayed", "reshaped", "not_finite", "idle", "absent")
            },
        }


def compare(
    base: Path,
    merged: Path,
    adapters: Sequence[Adapter],
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Compare the model folders; ``progress`` gets tensors looked at and in all.

    A tensor that an adapter acts on is read until it differs, one that none acts on at three places. Raises
    RequestError where a folder is no model in safetensors, OSError where it cannot be read.
    """
    before = {weight.name: weight for weight in read_weights(ModelFolder(base))}
    after = {weight.name: weight for weight in read_weights(ModelFolder(merged))}
    names = _Names(after)
    acted: set[str] = set()
    absent: list[str] = []
    for name in sorted({name for adapter in adapters for name in _tensors(adapter)}):
        found = names.find(name)
        if found is None or found not in before:
            absent.append(name)
        else:
            acted.add(found)
    kinds: dict[str, list[str]] = {kind: [] for kind in ("changed", "unchanged", "strayed", "reshaped", "not_finite")}
    shared = sorted(after.keys() & before.keys())
    with Sources() as sources:
        for number, name in enumerate(shared, 1):
            kind = _kind(sources, before[name], after[name], is_acted_on=name in acted)
            if kind:
                kinds[kind].append(name)
            progress(number, len(shared))
    idle = sorted({module for adapter in adapters for module in adapter.idle})
    return Comparison(**{kind: tuple(found) for kind, found in kinds.items()}, idle=tuple(idle), absent=tuple(absent))


def _tensors(adapter: Adapter) -> set[str]:
    return {f"{module}.weight" for module in adapter.modules} | set(adapter.replaced)


class _Names:
    """Finds a tensor by the name that an adapter has for it: prefixes differ between classes of one model."""

    def __init__(self, weights: dict[str, Weight]) -> None:
        self._names = set(weights)

    def find(self, name: str) -> str | None:
        """Return the tensor ``name``, or the only one whose name ends as it does; None where neither is there."""
        if name in self._names:
            return name
        parts = name.split(".")
        # What stands before the layer's number ("model.layers.7.…") is a matter of the class; the rest is the tensor.
        last = next((index - 1 for index, part in enumerate(parts) if part.isdecimal()), len(parts) - 2)
        for begin in range(1, max(1, last) + 1):
            tail = ".".join(parts[begin:])
            ending = [known for known in self._names if known == tail or known.endswith("." + tail)]
            if ending:
                return ending[0] if len(ending) == 1 else None
        return None


def _kind(sources: Sources, before: Weight, after: Weight, *, is_acted_on: bool) -> str:
    """Return the list of ``Comparison`` that a tensor belongs to; empty where it is as it must be."""
    if before.shape != after.shape:
        return "reshaped"
    if before.dtype not in ITEM_BYTES or after.dtype not in ITEM_BYTES:
        return ""
    for weight in (before, after):
        sources.open(weight.path)
    differs = False
    for first, count in _pieces(after.count, everywhere=is_acted_on):
        old, new = sources.read(Part(before), first, count), sources.read(Part(after), first, count)
        if not is_finite(new, after.dtype):
            return "not_finite"
        if _as(old, before.dtype, after.dtype).tobytes() != new.tobytes():
            differs = True
            break
    if is_acted_on:
        return "changed" if differs else "unchanged"
    return "strayed" if differs else ""


def _pieces(total: int, *, everywhere: bool) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of the numbers to compare: all, or the beginning, the middle and the end."""
    starts = range(0, total, _CHUNK)
    if not everywhere and len(starts) > _SAMPLES:
        starts = (0, (len(starts) // 2) * _CHUNK, starts[-1])
    for first in starts:
        yield first, min(_CHUNK, total - first)


def _as(raw: Raw, dtype: str, wanted: str) -> Raw:
    """Return ``raw`` rounded as a merge into ``wanted`` would have rounded it, had the adapter done nothing."""
    if dtype == wanted:
        return raw
    floats = to_f32(raw, dtype)
    try:
        match wanted:
            case "BF16":
                return to_bf16(floats)
            case "F16":
                return to_f16(floats)
            case _:
                return floats.astype(RAW_TYPES[wanted])
    except NotFiniteError:
        return np.zeros(0, np.uint8)  # cannot be the same
