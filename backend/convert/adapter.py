"""A LoRA adapter as GGUF: two thin matrices beside each matrix of the model that it changes.

Each pair takes the road of the matrix that it changes: what a family does with that one's rows (cut, interleave, stack)
is done with the rows of the second. Source of the form: llama.cpp `convert_lora_to_gguf.py`, the judge in the tests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, cast

from backend.convert.family import Family, family_of
from backend.convert.fitting import misplaced_of
from backend.convert.folder import Json, ModelFolder, read_json
from backend.convert.hparams import HParams
from backend.convert.keys import LARGEST_REAL, Keys
from backend.convert.metadata import add_metadata
from backend.convert.plan import QUANTIZATION_VERSION, Part, Tensor, guess_outtype
from backend.convert.planning import Plan, check_outtype, check_vocabulary, count_eyes, refuse_types
from backend.convert.refusal import UnknownHereError
from backend.convert.weights import Weight, read_file
from backend.lf.peft import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from data.errors import RequestError
from data.i18n import Message, _, lines_of

_PAIR: Final = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.(?:default\.)?weight")
_MERGE: Final = _("Merge it first: paddock export, then convert the merged folder.")
# Ways to begin a LoRA that leave the base changed, so that the adapter fits another model than the one it names.
_CHANGED_BASE: Final = ("pissa", "olora", "corda", "loftq")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A PEFT folder with a LoRA adapter that can be written as GGUF."""

    path: Path
    base: ModelFolder
    own_base: str
    """What adapter_config.json names as its base; empty for nothing"""
    alpha: float
    invocation: tuple[int, ...]
    """The tokens from which on an aLoRA acts; none for a plain LoRA, which acts on every token"""
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class _Change(Weight):
    """The matrix that a pair changes, in name and shape only; its rows are the rows of ``high``."""

    low: Weight
    """Rank by columns"""
    high: Weight
    """Rows by rank"""

    def rows(self, first: int, count: int) -> Self:
        """Return the change of some rows alone."""
        return replace(self, shape=(count, self.shape[1]), high=self.high.rows(first, count))


def read_adapter(folder: Path, base: Path | None) -> Adapter:
    """Return the adapter in ``folder``; its base is ``base``, or the folder that adapter_config.json names.

    Raises RequestError for what a GGUF adapter cannot say (DoRA, whole weights, ...) and for a base that is not here.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    if config is None:
        raise RequestError(
            _("There is no adapter in {path}", path=str(folder)),
            _("It has no {file}.", file=ADAPTER_CONFIG),
            _("Give the folder that a LoRA training wrote."),
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise RequestError(
            _("{path} holds no weights", path=str(folder)),
            _("There is no {file} in it.", file=ADAPTER_WEIGHTS),
            _("Save the adapter again with peft's save_pretrained, which writes safetensors."),
        )
    _refuse_unsayable(config)
    weights = tuple(sorted(read_file(folder / ADAPTER_WEIGHTS), key=lambda weight: weight.offset))
    refuse_types(weights)
    own_base = str(config.get("base_model_name_or_path") or "")
    return Adapter(
        folder, ModelFolder(_base(config, base), weights=False), own_base, _alpha(config), _invocation(config), weights
    )


def plan_adapter(adapter: Adapter, outtype: str) -> Plan:
    """Say what would be written; RequestError for a weight that does not fit the base model."""
    check_outtype(outtype)
    chosen = guess_outtype(adapter.weights) if outtype == "auto" else outtype
    try:
        family = family_of(adapter.base)
    except UnknownHereError as error:
        hint = _("Merge it into its base (paddock export), and convert the whole model.")
        raise RequestError(error.title, error.detail, hint) from error
    hparams = family.hparams(adapter.base)
    changes = tuple(_changes(adapter.weights))
    dropped = next((change for change in changes if family.is_dropped(change.name, hparams)), None)
    if dropped is not None:
        raise _unsayable(_("It changes {name}, which the base model takes from its embedding.", name=dropped.name))
    eyes = count_eyes(adapter.weights)
    tensors = tuple(half for tensor in _placed(adapter, family, hparams, changes) for half in _halves(tensor))
    if eyes and not tensors:
        raise _unsayable(_("All that it changes belongs to the model's eyes; a GGUF holds the text."))
    source_bytes = sum(weight.size_bytes for weight in adapter.weights)
    return Plan(
        adapter.base,
        family,
        hparams,
        chosen,
        tensors,
        source_bytes,
        sum(tensor.size_bytes(chosen) for tensor in tensors),
        eyes,
    )


def _placed(adapter: Adapter, family: Family, hparams: HParams, changes: Sequence[_Change]) -> tuple[Tensor, ...]:
    """Return what the matrices that are changed become in the base model; RequestError where they do not fit it."""
    try:
        tensors = tuple(family.placed(adapter.base, changes, hparams))
        check_vocabulary(tensors, hparams)
    except RequestError as error:
        raise _misfit(adapter, lines_of([error.title, error.detail])) from error
    misplaced = misplaced_of(family, hparams, tensors)
    if misplaced is not None:
        raise _misfit(
            adapter,
            _(
                "It changes {name} as if that had the shape {shape}; by {entries} in the base's config.json it is "
                "{wanted}.",
                name=misplaced.weight,
                shape=str(misplaced.shape),
                entries=", ".join(misplaced.entries),
                wanted=str(misplaced.wanted),
            ),
        )
    return tensors


def _misfit(adapter: Adapter, reason: Message) -> RequestError:
    return RequestError(
        _("The adapter does not fit the base model {path}", path=str(adapter.base.path)),
        reason,
        _(
            "Name the model that it was trained on with --base DIR. Its adapter_config.json says: {name}",
            name=adapter.own_base or "?",
        ),
    )


def adapter_keys(
    adapter: Adapter, plan: Plan, name: str | None, description: str | None
) -> tuple[Keys, tuple[Message, ...]]:
    """Return all keys of the GGUF, in llama.cpp's order, then ``description`` where given; and what was left out."""
    keys = Keys()
    keys.text("general.architecture", plan.family.arch)
    keys.text("general.type", "adapter")
    keys.text("adapter.type", "lora")
    warnings = add_metadata(keys, adapter.path, plan.family.arch, plan.tensors, name)
    keys.real("adapter.lora.alpha", adapter.alpha)
    keys.wholes("adapter.alora.invocation_tokens", adapter.invocation)
    keys.whole("general.quantization_version", QUANTIZATION_VERSION)
    keys.text("general.description", description or "")
    return keys, warnings


def _base(config: Json, given: Path | None) -> Path:
    if given is not None:
        return given
    named = config.get("base_model_name_or_path")
    place = Path(named) if isinstance(named, str) and named else None
    if place is None or not place.is_dir():
        raise RequestError(
            _("The base model of the adapter is not here"),
            _("adapter_config.json names {name}, which is no folder on this machine.", name=str(named)),
            _("Name the base model's folder: --base DIR. Its config.json is enough."),
        )
    return place


def _alpha(config: Json) -> float:
    """Return llama.cpp's alpha, which it divides by the rank; rsLoRA divides by the rank's root."""
    alpha, rank = config.get("lora_alpha"), config.get("r")
    if type(alpha) in (int, float) and type(rank) is int and 0 < rank < 2**32:  # True is an int, too
        scale = math.sqrt(rank) if config.get("use_rslora") is True else 1
        if abs(cast("float", alpha)) <= LARGEST_REAL / scale:  # NaN is not
            return float(cast("float", alpha)) * scale
    raise RequestError(
        _("adapter_config.json of the adapter has no usable {name}", name="lora_alpha, r"),
        f"{alpha!r}, {rank!r}",
        _("Save the adapter again with peft's save_pretrained."),
    )


def _invocation(config: Json) -> tuple[int, ...]:
    """Return the tokens of an aLoRA; llama.cpp's script can also make them of the text that older ones name."""
    tokens = config.get("alora_invocation_tokens")
    if not tokens:
        if config.get("invocation_string"):
            raise _unsayable(
                _("It begins to act at a text (invocation_string), and does not name the tokens of that text."),
                _("Write their ids into its adapter_config.json, as peft does: alora_invocation_tokens."),
            )
        return ()
    known = cast("list[object]", tokens) if isinstance(tokens, list) else []
    ids = tuple(token for token in known if type(token) is int and 0 <= token < 2**32)
    if not ids or len(ids) != len(known):
        raise RequestError(
            _("adapter_config.json of the adapter has no usable {name}", name="alora_invocation_tokens"),
            repr(config["alora_invocation_tokens"]),
            _("Save the adapter again with peft's save_pretrained."),
        )
    return ids


def _refuse_unsayable(config: Json) -> None:
    kind = config.get("peft_type")
    if kind is None:
        raise _unsayable(_("Its adapter_config.json does not say what kind of adapter it is (peft_type)."))
    if kind != "LORA":
        raise _unsayable(_("It is of the kind {kind}.", kind=str(kind)))
    if config.get("use_dora") is True:
        raise _unsayable(_("It was trained with DoRA, which scales the base's columns too."))
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_CHANGED_BASE):
        raise _unsayable(
            _("It begins from a changed base ({start}), so it does not fit the original one.", start=start)
        )
    if config.get("layer_replication"):
        raise _unsayable(
            _("It acts in a model that has some layers several times over (layer_replication)."),
            _("It cannot be merged either: train without layer_replication."),
        )
    if config.get("modules_to_save"):
        raise _unsayable(_("It has whole weights of its own: {names}", names=_listed(config["modules_to_save"])))
    if config.get("alpha_pattern") or (config.get("use_rslora") is True and config.get("rank_pattern")):
        raise _unsayable(_("Its alpha differs from matrix to matrix."))


def _listed(value: object) -> str:
    return ", ".join(str(item) for item in cast("Sequence[object]", value)) if isinstance(value, list) else str(value)


def _unsayable(reason: Message, remedy: Message = _MERGE) -> RequestError:
    return RequestError(_("This adapter cannot be written as a GGUF adapter"), reason, remedy)


def _changes(weights: Sequence[Weight]) -> Iterator[_Change]:
    """Yield the matrices that are changed, by name, as llama.cpp's script meets them."""
    halves: dict[str, dict[str, Weight]] = {}
    for weight in weights:
        found = _PAIR.fullmatch(weight.name)
        if found is None or len(weight.shape) != 2:
            raise _unsayable(_("Its weight {name} is none of a LoRA's two matrices.", name=weight.name))
        halves.setdefault(f"{found[1]}.weight", {})[found[2]] = weight
    for name, pair in halves.items():
        low, high = _both(name, pair)
        yield _Change(name, low.dtype, (high.shape[0], low.shape[1]), low.path, low.offset, low, high)


def _both(name: str, pair: Mapping[str, Weight]) -> tuple[Weight, Weight]:
    low, high = pair.get("A"), pair.get("B")
    if low is None or high is None or low.shape[0] != high.shape[1]:
        raise RequestError(
            _("The adapter is not complete"),
            _("It lacks one of the two matrices of {name}, or their ranks differ.", name=name),
            _("Train again, or take an earlier checkpoint."),
        )
    return low, high


def _halves(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two tensors of a change that was placed in the model."""
    changes = [cast("_Change", part.weight) for part in tensor.parts]
    lows = tuple(dict.fromkeys(change.low for change in changes))
    highs = tuple(replace(part, weight=cast("_Change", part.weight).high) for part in tensor.parts)
    stacked = len(tensor.shape) > 2
    if stacked != (len(lows) > 1) and (stacked or len(lows) != 1):
        raise _unsayable(_("It changes {name}, which llama.cpp keeps in another form.", name=changes[0].name))
    rank = lows[0].shape[0]
    front = tensor.shape[:-2]
    return (
        Tensor(f"{tensor.name}.lora_a", (*front, rank, tensor.shape[-1]), tuple(Part(low) for low in lows)),
        Tensor(f"{tensor.name}.lora_b", (*tensor.shape[:-1], rank), highs),
    )
