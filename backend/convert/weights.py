"""The tensors of a model folder: safetensors headers, one file or shards with an index, checked before use.

Source of the format: huggingface/safetensors README ("Format"): 8 bytes length, a JSON header, then the data.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Final, cast

from backend.convert.folder import Json, Limits, ModelFolder
from data.errors import RequestError
from data.i18n import Message, _

ITEM_BYTES: Final = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}
_OTHER_BYTES: Final = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1} | {
    "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8, "C64": 8
}  # fmt: skip
# The format allows 100 MB; 4 MiB describe 25,000 tensors in one file, ten times what the largest shards hold, and with
# the other two limits they parse in a fraction of a second and of 100 MB whatever they say. The largest index that is
# known (DeepSeek-V3: 92,000 weights) has 9 MB.
_HEADER_LIMITS: Final = Limits(4 * 1024 * 1024, 100_000, 500_000)
_INDEX_LIMITS: Final = Limits(16 * 1024 * 1024, 16, 500_000)
_MAX_DIMENSIONS: Final = 8
_MAX_NAME: Final = 256
_MAX_FILE_NAME: Final = 256
INDEX: Final = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of the source: where its bytes lie, in row-major order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Bytes from the beginning of the file, the safetensors header included"""

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """How many bytes they take."""
        return self.count * (ITEM_BYTES | _OTHER_BYTES)[self.dtype]

    def rows(self, first: int, count: int) -> Weight:
        """Return ``count`` rows from row ``first`` on, as a weight of its own; rows of a stack are counted through."""
        row = prod(self.shape[-1:]) if len(self.shape) > 1 else 1
        start = self.offset + first * row * (ITEM_BYTES | _OTHER_BYTES)[self.dtype]
        return replace(self, shape=(count, *self.shape[-1:]) if len(self.shape) > 1 else (count,), offset=start)


def read_weights(folder: ModelFolder) -> tuple[Weight, ...]:
    """Return the tensors of ``folder``, shard by shard, by name inside a shard (llama.cpp's order).

    Raises RequestError for a missing or extra shard or tensor, and for a header that contradicts its file.
    """
    index = folder.json(INDEX, limits=_INDEX_LIMITS)
    if index is None:
        names = sorted(file.name for file in folder.path.glob("model*.safetensors"))
        if not names:
            raise RequestError(
                _("{path} holds no weights under the usual name", path=str(folder.path)),
                _("Expected model.safetensors, or shards with {index}.", index=INDEX),
                _("Save the model again with transformers' save_pretrained."),
            )
        if len(names) > 1:
            raise _incomplete(folder, _("There are {count} shards, but no {index}.", count=len(names), index=INDEX))
        return read_file(folder.path / names[0])
    return _read_shards(folder, index)


def _read_shards(folder: ModelFolder, index: Json) -> tuple[Weight, ...]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(name, str) and isinstance(file, str) and len(file) < _MAX_FILE_NAME and file == Path(file).name
        for name, file in cast("dict[object, object]", weight_map).items()
    ):
        raise _incomplete(folder, _("{index} has no usable weight_map.", index=INDEX))
    promised = cast("dict[str, str]", weight_map)
    shards = sorted(set(promised.values()))
    missing = [shard for shard in shards if not folder.has(shard)]
    if missing:
        raise _incomplete(folder, _("Shards are missing: {names}", names=", ".join(missing[:5])))
    present = {file.name for file in folder.path.glob("model*.safetensors")}
    extra = sorted(present - set(shards))
    if extra:
        raise _incomplete(
            folder, _("Files that {index} does not name: {names}", index=INDEX, names=", ".join(extra[:5]))
        )
    weights = [weight for shard in shards for weight in read_file(folder.path / shard)]
    found = {weight.name: weight.path.name for weight in weights}
    if len(found) != len(weights) or found != promised:
        wrong = sorted(name for name in found.keys() | promised.keys() if found.get(name) != promised.get(name))
        names = ", ".join(wrong[:5])
        raise _incomplete(folder, _("The shards and {index} disagree about: {names}", index=INDEX, names=names))
    return tuple(weights)


def _incomplete(folder: ModelFolder, reason: Message) -> RequestError:
    return RequestError(
        _("The weights of {path} are not complete", path=str(folder.path)),
        reason,
        _("Export or download the model again; remove files of an earlier export from the folder first."),
    )


def read_file(path: Path) -> tuple[Weight, ...]:
    """Return the tensors of one safetensors file, by name; RequestError where its header contradicts it."""
    try:
        with path.open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, _HEADER_LIMITS.size_bytes):
                raise _damaged(
                    path, _("its header claims {length} bytes, the file has {size}", length=length, size=size)
                )
            raw = stream.read(length)
        if _HEADER_LIMITS.exceeded_by(raw):
            raise _damaged(path, _("its header describes more than any model has"))
        header: object = json.loads(raw, object_pairs_hook=_without_duplicates)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, Message("{reason}", {"reason": str(error)})) from error
    if not isinstance(header, dict):
        raise _damaged(path, _("its header is not a JSON object"))
    entries = {name: entry for name, entry in cast("dict[str, object]", header).items() if name != "__metadata__"}
    weights = [_weight(path, name, entry, 8 + length, size) for name, entry in entries.items()]
    _refuse_overlap(path, weights)
    return tuple(sorted(weights, key=lambda weight: weight.name))


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON; ValueError for a name that comes twice, of which readers take one or the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        name = next(name for name, count in Counter(name for name, _value in pairs).items() if count > 1)
        msg = f"{name[:_MAX_NAME]!r} occurs twice"
        raise ValueError(msg)
    return found


def _weight(path: Path, name: str, entry: object, data_offset: int, size: int) -> Weight:
    if len(name) > _MAX_NAME:
        raise _damaged(path, _("a weight has a name of {count} characters", count=len(name)))
    match entry:
        case {"dtype": str(dtype), "shape": list(), "data_offsets": [int(begin), int(end)]}:
            shape = cast("list[object]", cast("Json", entry)["shape"])
        case _:
            raise _damaged(path, _("the entry of {name} has the wrong form", name=name))
    if dtype not in ITEM_BYTES and dtype not in _OTHER_BYTES:
        raise _damaged(path, _("{name} has the unknown type {dtype}", name=name, dtype=dtype[:40]))
    if len(shape) > _MAX_DIMENSIONS or not all(isinstance(part, int) and 0 <= part < 2**40 for part in shape):
        raise _damaged(path, _("{name} has an impossible shape", name=name))
    weight = Weight(name, dtype, tuple(cast("list[int]", shape)), path, data_offset + begin)
    if not 0 <= begin <= end <= size - data_offset or end - begin != weight.size_bytes:
        raise _damaged(path, _("the bytes of {name} do not fit its shape or the file", name=name))
    return weight


def _refuse_overlap(path: Path, weights: list[Weight]) -> None:
    end = 0
    for weight in sorted(weights, key=lambda weight: (weight.offset, weight.size_bytes)):
        if weight.offset < end:
            raise _damaged(path, _("{name} overlaps another tensor", name=weight.name))
        end = weight.offset + weight.size_bytes


def _damaged(path: Path, reason: Message) -> RequestError:
    return RequestError(
        _("{path} is not a usable safetensors file", path=str(path)),
        reason,
        _("The file may be cut off or damaged: export or download the model again."),
    )
