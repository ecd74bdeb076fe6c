"""Look through a model folder before anything is written: what would be made of it, or why it cannot be converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.convert.decoder import EYES
from backend.convert.family import Family, family_of
from backend.convert.fitting import misplaced_of
from backend.convert.folder import ModelFolder, read_generation
from backend.convert.hparams import HParams
from backend.convert.plan import FILE_TYPES, Tensor, guess_outtype
from backend.convert.weights import ITEM_BYTES, Weight, read_file, read_weights
from backend.lf.peft import ADAPTER_WEIGHTS
from data.errors import RequestError
from data.i18n import _

OUTTYPES: Final = ("auto", *FILE_TYPES)


@dataclass(frozen=True, slots=True)
class Plan:
    """A conversion that has been looked through and can begin."""

    folder: ModelFolder
    family: Family
    hparams: HParams
    outtype: str
    tensors: tuple[Tensor, ...]
    source_bytes: int
    """Weights to be read"""
    data_bytes: int
    """Weights to be written, without header and padding"""
    left_out: int = 0
    """How many weights belong to pictures: the GGUF holds the text"""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the weights come from, in the order of the GGUF."""
        return tuple(dict.fromkeys(part.weight.path for tensor in self.tensors for part in tensor.parts))


def own_type(source: Path) -> str:
    """Return what ``auto`` stands for with the model, or the LoRA adapter, in the folder ``source``.

    f16 where its weights cannot be read: what converts it then, if anything, takes that.
    """
    adapter = source / ADAPTER_WEIGHTS
    try:
        weights = read_file(adapter) if adapter.is_file() else read_weights(ModelFolder(source, weights=False))
        return guess_outtype(weights)
    except RequestError:
        return "f16"


def make_plan(source: Path, outtype: str = "auto") -> Plan:
    """Look through the folder and say what would be written; reads headers only, so it takes milliseconds.

    Raises RequestError for whatever makes the folder impossible to convert, with the remedy.
    """
    check_outtype(outtype)
    folder = ModelFolder(source)
    family = family_of(folder)
    weights = read_weights(folder)
    refuse_types(weights)
    read_generation(source)
    chosen = guess_outtype(weights) if outtype == "auto" else outtype
    hparams = family.hparams(folder)
    tensors = tuple(family.tensors(folder, weights, hparams))
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise RequestError(
            _("Two weights of the model would both become {name}", name=twice[0]),
            "",
            _("Export the model again into an empty folder."),
        )
    check_vocabulary(tensors, hparams)
    misplaced = misplaced_of(family, hparams, tensors)
    if misplaced is not None:
        raise RequestError(
            _("The weight {name} does not fit its config.json", name=misplaced.weight),
            _(
                "{tensor} gets the shape {shape} from it; by {entries} in config.json it would be {wanted}.",
                tensor=misplaced.tensor,
                shape=str(misplaced.shape),
                entries=", ".join(misplaced.entries),
                wanted=str(misplaced.wanted),
            ),
            _("Correct config.json, or export or download the model again."),
        )
    source_bytes = sum(part.weight.size_bytes for tensor in tensors for part in tensor.parts)
    return Plan(
        folder,
        family,
        hparams,
        chosen,
        tensors,
        source_bytes,
        sum(tensor.size_bytes(chosen) for tensor in tensors),
        count_eyes(weights),
    )


def count_eyes(weights: Sequence[Weight]) -> int:
    """Return how many weights belong to the pictures of a model of several media."""
    return sum(any(part in weight.name for part in EYES) for weight in weights)


def check_vocabulary(tensors: Iterable[Tensor], hparams: HParams) -> None:
    """Compare embedding and output with vocab_size, to which a vocabulary is padded; RequestError where they differ."""
    size = hparams.whole("vocab_size")
    for tensor in tensors:
        if tensor.name in ("token_embd.weight", "output.weight") and tensor.shape[0] != size:
            raise RequestError(
                _("The model has not as many embeddings as its config.json says"),
                _("The weights hold {rows} rows, config.json says vocab_size {size}.", rows=tensor.shape[0], size=size),
                _("Export or download the model again."),
            )


def check_outtype(outtype: str) -> None:
    """Raise RequestError for a type of weights that is not made here."""
    if outtype not in OUTTYPES:
        raise RequestError(
            _("Unknown type {name}", name=outtype),
            _("Known types: {names}", names=", ".join(OUTTYPES)),
            _("Others are made by llama-quantize (paddock convert --outtype q4_k_m), or while deploying: --quantize."),
        )


def refuse_types(weights: Sequence[Weight]) -> None:
    """Raise RequestError for a weight that is quantised, or no weight at all."""
    wrong = next((weight for weight in weights if weight.dtype not in ITEM_BYTES), None)
    if wrong:
        raise RequestError(
            _("The weight {name} has the type {dtype}", name=wrong.name, dtype=wrong.dtype),
            _("Only F32, F16 and BF16 can be converted; others are quantised or not weights at all."),
            _("Merge into the unquantised base model and convert that."),
        )
    empty = next((weight for weight in weights if not weight.count), None)
    if empty:
        raise RequestError(
            _("The weight {name} is empty", name=empty.name),
            _("Its shape is {shape}.", shape=str(empty.shape)),
            _("Export or download the model again."),
        )
