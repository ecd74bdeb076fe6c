"""What the training made of the conversations: asked of LLaMA-Factory's own Python, and kept by version."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import backend.lf
from backend.lf.find import LlamaFactory
from backend.lf.kept import ask_and_keep, recall
from backend.parity.cases import Case
from backend.parity.seam import whole
from backend.parity.tokenizer import Runner
from backend.parity.training import Training
from data.errors import AppError, RequestError
from data.i18n import _
from data.paths import Paths

_SCRIPT: Final = "encode.py"
_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one conversation; ``error`` where the template refuses it."""

    ids: tuple[int, ...]
    text: str
    """With the blanks that a tokenizer puts before its parts (see ``seam``)"""
    error: str = ""
    plain: str = ""
    """The parts without these blanks"""

    @classmethod
    def of(cls, ids: Sequence[int], pieces: Sequence[str], special: frozenset[str] | None) -> Prompt:
        """Return the prompt of these parts; ``special`` as in ``Tokens.special``."""
        plain = "".join(pieces)
        return cls(tuple(ids), plain if special is None else whole(pieces, special), plain=plain)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a training expects of the server."""

    llamafactory: str
    prompts: Mapping[str, Prompt]
    """By the name of the case"""
    default_system: str
    enable_thinking: bool | None
    stops: tuple[str, ...]
    """Tokens at which an answer ends: EOS and the template's stop words"""
    added: tuple[str, ...]
    """Tokens that the template needs and the vocabulary lacks: a training gives them new numbers"""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Those of ``added`` that stand in a prompt: no model of this vocabulary was trained on them."""
        return tuple(token for token in self.added if any(token in prompt.text for prompt in self.prompts.values()))


def expect(lf: LlamaFactory, paths: Paths, trained: Training, cases: Sequence[Case], runner: Runner) -> Expected:
    """Return what LLaMA-Factory makes of ``cases`` (10 to 30 s, unless it was asked before); raises AppError.

    Prompts with the date in them, as Llama 3's tools are described, are asked for anew each day.
    """
    place, special = paths.cache / "parity", runner.vocabulary.seams
    tokenizer = json.dumps([runner.vocabulary.tokens, runner.vocabulary.merges, runner.vocabulary.types]).encode()
    folder = place / f"tokenizer-{hashlib.sha256(tokenizer).hexdigest()[:16]}"
    if not (folder / "tokenizer_config.json").is_file():
        runner.write_folder(folder)
    question = {
        "tokenizer": str(folder),
        "template": trained.template,
        "arguments": trained.arguments(),
        "cases": [case.training() for case in cases],
    }
    script = (Path(backend.lf.__path__[0]) / "bridge" / _SCRIPT).read_bytes()
    key = json.dumps([question, str(lf.python), lf.version, dict(lf.packages)], sort_keys=True).encode() + script
    file = place / f"prompts-{hashlib.sha256(key).hexdigest()[:20]}.json"
    title = _("LLaMA-Factory could not be asked for its prompts")

    def read(raw: object) -> Expected:
        return _read(raw, cases, special)

    def read_kept(raw: object) -> Expected:
        if cast("Mapping[str, object]", raw)["day"] not in (None, dt.datetime.now().astimezone().strftime("%d %b %Y")):
            message = "its prompts hold the date of another day"
            raise ValueError(message)
        return read(raw)

    known = recall(file, read_kept)
    if known is not None:
        return known
    try:
        expected = ask_and_keep(lf, _SCRIPT, title, file, read, question)
    except AppError as error:
        if "does not exist" in str(error.detail) and "Template" in str(error.detail):
            raise RequestError(
                _("LLaMA-Factory {version} has no template {name}", version=lf.version, name=repr(trained.template)),
                "",
                _("--template names the one that the model was trained with."),
            ) from error
        raise
    _forget(place)
    return expected


def _forget(place: Path) -> None:
    """Keep the newest answers only."""
    files = sorted(place.glob("prompts-*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_KEPT:]:
        file.unlink(missing_ok=True)


def _read(raw: object, cases: Sequence[Case], special: frozenset[str] | None) -> Expected:
    value = cast("Mapping[str, object]", raw)
    answers = cast("list[Mapping[str, object]]", value["cases"])
    thinking = value["enable_thinking"]
    prompts: dict[str, Prompt] = {}
    for case, one in zip(cases, answers, strict=True):
        if "error" in one:
            prompts[case.name] = Prompt((), "", str(one["error"]))
        else:
            pieces = [str(piece) for piece in cast("list[object]", one["pieces"])]
            prompts[case.name] = Prompt.of(cast("list[int]", one["ids"]), pieces, special)
    return Expected(
        llamafactory=str(value["llamafactory"]),
        prompts=prompts,
        default_system=str(value["default_system"] or ""),
        enable_thinking=thinking if isinstance(thinking, bool) else None,
        stops=tuple(str(stop) for stop in cast("list[object]", value["stops"]) if stop is not None),
        added=tuple(map(str, cast("list[object]", value["added"]))),
    )
