"""The ``general.`` keys: name, size, licence and the like, from the model card and the folder's name.

Source: gguf-py `metadata.py` ``Metadata.load``, whose parts are called here one by one: what is wrong with a card must
not be what a conversion fails of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from gguf.constants import GGUFValueType
from gguf.gguf_writer import GGUFWriter
from gguf.metadata import Metadata
from gguf.utility import size_label

from backend.convert.folder import Json, read_generation, read_json
from backend.convert.keys import LARGEST_REAL, Item, Keys
from backend.convert.naming import name_of
from backend.convert.plan import Tensor, parameter_counts
from data.i18n import Message, _

_README: Final = "README.md"
_SAMPLING: Final[dict[str, tuple[type, tuple[str, ...]]]] = {
    "sequence": (str, ("sequence",)),
    "top_k": (int, ("top_k",)),
    "top_p": (float, ("top_p",)),
    "min_p": (float, ("min_p",)),
    "xtc_probability": (float, ("xtc_probability",)),
    "xtc_threshold": (float, ("xtc_threshold",)),
    "temp": (float, ("temperature",)),
    "penalty_last_n": (int, ("penalty_last_n",)),
    "penalty_repeat": (float, ("penalty_repeat", "repetition_penalty")),
    "mirostat": (int, ("mirostat",)),
    "mirostat_tau": (float, ("mirostat_tau",)),
    "mirostat_eta": (float, ("mirostat_eta",)),
}
"""What is taken from generation_config.json, with its type and its names there; transformers' own name comes last"""


def add_metadata(
    keys: Keys, folder: Path, arch: str, tensors: Sequence[Tensor], name: str | None
) -> tuple[Message, ...]:
    """Add what README.md, config.json, generation_config.json and the folder's name say; return what was left out.

    ``name`` is taken for ``general.name`` where it is given. The folder's name is that of the repository where it is a
    snapshot in the Hugging Face cache, which the script of llama.cpp would call by its hash: the one thing that differs
    on purpose. RequestError for a generation_config.json or config.json that is no object.
    """
    warnings: list[Message] = []
    try:
        described = _described(folder, Metadata.load_model_card(folder), arch, tensors, name, warnings)
        described.packed()
    except Exception as error:  # noqa: BLE001 - the library raises whatever a strange model card makes it raise
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings = [
            _(
                "{file} cannot be read as a model card, so the GGUF says nothing of what is in it ({reason}). Correct "
                "or remove the block between its --- lines.",
                file=str(folder / _README),
                reason=reason,
            )
        ]
        described = _described(folder, {}, arch, tensors, name, warnings)
    keys.update(described)
    return tuple(warnings)


def _described(
    folder: Path, card: Json, arch: str, tensors: Sequence[Tensor], name: str | None, warnings: list[Message]
) -> Keys:
    """Return the keys; ``warnings`` get what was left out of generation_config.json."""
    counts = parameter_counts(tensors)
    own_name = (read_json(folder / "config.json") or {}).get("_name_or_path")
    config = {"_name_or_path": own_name} if isinstance(own_name, str) else {}
    called = Path(name_of(folder))
    metadata = Metadata.apply_metadata_heuristic(  # pyright: ignore[reportUnknownMemberType] - gguf's bare dicts
        Metadata(), dict(card), config, called, counts.total
    )
    _add_sampling(metadata, folder, warnings)
    metadata.name = name or metadata.name or called.name
    if metadata.size_label is None and counts.total > 0:
        metadata.size_label = size_label(counts.total, counts.shared, counts.expert, counts.experts)
    writer = GGUFWriter(None, arch)
    metadata.set_gguf_meta_model(writer)
    keys = Keys()
    for key, entry in writer.kv_data[0].items():
        _copy(keys, key, entry.type, entry.value)
    return keys


def _add_sampling(metadata: Metadata, folder: Path, warnings: list[Message]) -> None:
    settings, odd = read_generation(folder)
    warnings.extend(odd)
    for name, (kind, names) in _SAMPLING.items():
        found = next((entry for entry in names if settings.get(entry) is not None), None)
        if found is None:
            continue
        value = settings[found]
        if _is_usable(kind, value):
            setattr(metadata, f"sampling_{name}", value)
        else:
            warnings.append(
                _("{entry} of generation_config.json is {value}: left out of the GGUF.", entry=found, value=repr(value))
            )


def _is_usable(kind: type, value: object) -> bool:
    if kind is str or isinstance(value, (bool, str)):
        return kind is str and isinstance(value, str)
    if kind is int:
        return isinstance(value, int) and -(2**31) <= value < 2**31
    return isinstance(value, (int, float)) and -LARGEST_REAL <= value <= LARGEST_REAL


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
        case GGUFValueType.INT32:
            keys.signed(name, int(cast("int", value)))
        case _:
            keys.whole(name, int(cast("int", value)))
