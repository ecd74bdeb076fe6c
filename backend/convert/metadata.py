"""The ``general.`` keys: name, size, licence and the like, from the model card and the folder's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from gguf.constants import GGUFValueType
from gguf.gguf_writer import GGUFWriter
from gguf.metadata import Metadata
from gguf.utility import size_label

from backend.convert.keys import Item, Keys
from backend.convert.plan import Tensor, parameter_counts
from data.errors import RequestError
from data.i18n import _


def add_metadata(keys: Keys, folder: Path, arch: str, tensors: Sequence[Tensor], name: str | None) -> None:
    """Add what gguf's own ``Metadata`` reads out of README.md, config.json, generation_config.json and the names.

    ``name`` is taken for ``general.name`` where it is given. RequestError where one of these files makes no sense.
    """
    counts = parameter_counts(tensors)
    try:
        metadata = Metadata.load(None, folder.absolute(), name, counts.total)
        # gguf 0.19 overlooks transformers' own name of this setting; later ones know it.
        generation = Metadata.load_generation_config(folder)
        if metadata.sampling_penalty_repeat is None and "repetition_penalty" in generation:
            metadata.sampling_penalty_repeat = generation["repetition_penalty"]
        metadata.name = metadata.name or folder.absolute().name
        if metadata.size_label is None and counts.total > 0:
            metadata.size_label = size_label(counts.total, counts.shared, counts.expert, counts.experts)
        writer = GGUFWriter(None, arch)
        metadata.set_gguf_meta_model(writer)
    except Exception as error:  # the library raises whatever a strange model card makes it raise
        raise RequestError(
            _("The model card of {path} cannot be read", path=str(folder)),
            f"{type(error).__name__}: {error}",
            _("Correct or remove the block between the --- lines of its README.md."),
        ) from error
    for key, entry in writer.kv_data[0].items():
        _copy(keys, key, entry.type, entry.value)


def _copy(keys: Keys, name: str, kind: GGUFValueType, value: object) -> None:
    match kind:
        case GGUFValueType.STRING:
            keys.text(name, str(value))
        case GGUFValueType.ARRAY:
            keys.array(name, cast("Sequence[Item]", value))
        case GGUFValueType.FLOAT32:
            keys.real(name, float(cast("float", value)))
        case GGUFValueType.BOOL:
            keys.flag(name, bool(value))
        case _:
            keys.whole(name, int(cast("int", value)))
