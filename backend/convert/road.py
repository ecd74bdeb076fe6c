"""Which converter makes the GGUF of a folder: ours, or llama.cpp's script for what ours does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.convert.folder import ModelFolder
from backend.convert.llama_cpp import LLAMA_CPP, OURS, SCRIPT, Script
from backend.convert.planning import count_eyes, make_plan
from backend.convert.refusal import UnknownHereError
from backend.convert.weights import read_weights
from data.errors import RequestError
from data.i18n import Message, _

FindScript = Callable[[], Script | None]
"""Looks for llama.cpp's script (``llama_cpp.find_script``), which not every conversion needs"""


@dataclass(frozen=True, slots=True)
class Road:
    """Who will make a GGUF, and what it will lack."""

    script: Script | None = None
    """None is our own converter"""
    reason: Message | None = None
    """Why our own does not, where nobody has asked for the script"""
    left_out: int = 0
    """How many weights belong to pictures: the GGUF will hold the text"""

    def notes(self) -> tuple[Message, ...]:
        """Return what a person should know before the start."""
        found: list[Message] = []
        if self.script is not None and self.reason is not None:
            found.append(_("{reason}: llama.cpp's script makes the GGUF.", reason=self.reason))
        elif self.script is not None:
            found.append(_("llama.cpp's script makes the GGUF, not Paddock's converter."))
        if self.left_out:
            found.append(
                _(
                    "The GGUF will hold the model's text only: {count} weights of its eyes are left out.",
                    count=self.left_out,
                )
            )
        return tuple(found)


def road_of(folder: Path, converter: str, find: FindScript, *, is_base: bool = False) -> Road:
    """Say who would make a GGUF of the model in ``folder``; reads headers and the tokenizer only.

    Of ``is_base``, a model to be merged into, only the kind counts: its files are not those that will be converted.
    Raises RequestError where nobody can, with the remedy.
    """
    if converter == LLAMA_CPP:
        return Road(asked_for(find), left_out=_left_out(folder))
    try:
        plan = make_plan(folder)
        if not is_base:
            plan.family.vocabulary(plan.folder, plan.hparams)
    except UnknownHereError as error:
        return Road(instead(error, folder, converter, find), error.title, _left_out(folder))
    except RequestError:
        if is_base:
            return Road()
        raise
    return Road(left_out=plan.left_out)


def asked_for(find: FindScript) -> Script:
    """Return the script that somebody asked for; RequestError where there is none."""
    script = find()
    if script is None:
        raise RequestError(
            _("There is no {script} on this machine", script=SCRIPT),
            _("The setting llama_cpp_dir names no folder that holds it."),
            _("Name the folder of a recent llama.cpp in it (or in PADDOCK_LLAMA_CPP_DIR)."),
        )
    return script


def instead(error: UnknownHereError, folder: Path, converter: str, find: FindScript) -> Script:
    """Return the script that does what our converter refused with ``error``; raises that where there is none.

    A folder with code of its own is not given to it unasked: the script would run that code.
    """
    script = find() if converter != OURS else None
    if script is None:
        raise error
    if brings_code(folder):
        raise RequestError(
            error.title,
            _("llama.cpp's script could convert it, but would run the Python code that the folder brings (auto_map)."),
            _("If you trust the folder: --converter llama.cpp, or the converter of that name in Export."),
        ) from error
    return script


def brings_code(folder: Path) -> bool:
    """Say whether the model's files name Python code that transformers is to run."""
    model = ModelFolder(folder, weights=False)
    return any((model.json(name) or {}).get("auto_map") for name in ("config.json", "tokenizer_config.json"))


def _left_out(folder: Path) -> int:
    try:
        return count_eyes(read_weights(ModelFolder(folder)))
    except RequestError:
        return 0
