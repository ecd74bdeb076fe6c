"""Which converter makes the GGUF of a folder: ours; for what ours does not know llama.cpp's script, else Ollama."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.convert.converter import Overrides, override
from backend.convert.folder import ModelFolder
from backend.convert.imported import Importer, find_importer, is_known, require_importable, require_type
from backend.convert.keys import Keys
from backend.convert.llama_cpp import SCRIPT, Script, find_script
from backend.convert.names import FOREIGN, OLLAMA, OURS
from backend.convert.planning import count_eyes, make_plan
from backend.convert.quantised import QuantisedError
from backend.convert.refusal import UnknownHereError
from backend.convert.weights import read_weights
from backend.parity.training import GgufFacts
from data.errors import RequestError
from data.i18n import Message, _
from data.paths import Paths
from data.settings import Settings


@dataclass(frozen=True, slots=True)
class Others:
    """What looks for the converters that stand in for ours; not every conversion needs them."""

    script: Callable[[], Script | None]
    importer: Callable[[], Importer | None]


def others(
    paths: Paths, settings: Settings, workspace: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Others:
    """Return what looks for the other converters of this machine."""
    return Others(
        lambda: find_script(paths, settings, workspace, environ), lambda: find_importer(paths, settings, environ)
    )


@dataclass(frozen=True, slots=True)
class Road:
    """Who will make a GGUF, and what it will lack."""

    maker: Script | Importer | None = None
    """None is our own converter"""
    reason: Message | None = None
    """Why our own does not, where nobody has asked for another"""
    left_out: int = 0
    """How many weights belong to pictures: the GGUF will hold the text"""

    def notes(self) -> tuple[Message, ...]:
        """Return what a person should know before the start."""
        found: list[Message] = []
        match self.maker:
            case Script() if self.reason is not None:
                found.append(_("{reason}: llama.cpp's script makes the GGUF.", reason=self.reason))
            case Script():
                found.append(_("llama.cpp's script makes the GGUF, not Paddock's converter."))
            case Importer() if self.reason is not None:
                found.append(_("{reason}: Ollama's import makes the GGUF.", reason=self.reason))
            case Importer():
                found.append(_("Ollama's import makes the GGUF, not Paddock's converter."))
            case None:
                pass
        if self.left_out:
            found.append(
                _(
                    "The GGUF will hold the model's text only: {count} weights of its eyes are left out.",
                    count=self.left_out,
                )
            )
        return tuple(found)


def road_of(
    folder: Path,
    converter: str,
    find: Others,
    *,
    outtype: str = "auto",
    is_base: bool = False,
    facts: GgufFacts | None = None,
) -> Road:
    """Say who would make a GGUF of the model in ``folder``; reads headers and the tokenizer only.

    Of ``is_base``, a model to be merged into, only the kind counts: its files are not those that will be converted.
    Raises RequestError where nobody can make ``outtype`` of it, and where our converter would miss a token of the
    training's ``facts``, with the remedy.
    """
    if converter in FOREIGN:
        maker = asked_for(converter, folder, find, outtype)
        if isinstance(maker, Importer) and not is_base:
            require_importable(folder)
        return Road(maker, left_out=_left_out(folder))
    try:
        plan = make_plan(folder)
        if not is_base:
            vocabulary = plan.family.vocabulary(plan.folder, plan.hparams)
            override(Keys(), Overrides(eos=facts and facts.eos, eot=facts and facts.eot), vocabulary.id_of)
    except UnknownHereError as error:
        if is_base and isinstance(error, QuantisedError):
            return Road()
        maker = instead(error, folder, converter, find, outtype)
        if isinstance(maker, Importer) and not is_base:
            require_importable(folder)
        return Road(maker, error.title, _left_out(folder))
    except RequestError:
        if is_base:
            return Road()
        raise
    return Road(left_out=plan.left_out)


def asked_for(converter: str, folder: Path | None, find: Others, outtype: str) -> Script | Importer:
    """Return the converter, not ours, that somebody asked for; RequestError where there is none for ``outtype``.

    ``folder`` is None for a model that is not here yet.
    """
    return _importer(folder, find, outtype) if converter == OLLAMA else _script(find)


def _script(find: Others) -> Script:
    script = find.script()
    if script is None:
        raise RequestError(
            _("There is no {script} on this machine", script=SCRIPT),
            _("The setting llama_cpp_dir names no folder that holds it."),
            _("Name the folder of a recent llama.cpp in it (or in PADDOCK_LLAMA_CPP_DIR)."),
        )
    return script


def _importer(folder: Path | None, find: Others, outtype: str) -> Importer:
    if folder is not None:
        require_type(outtype, folder)
    importer = find.importer()
    if importer is None:
        raise RequestError(
            _("There is no Ollama on this machine"),
            _("Its import of safetensors was to make the GGUF."),
            _("Run: paddock setup ollama"),
        )
    return importer


def instead(error: UnknownHereError, folder: Path, converter: str, find: Others, outtype: str) -> Script | Importer:
    """Return who does what our converter refused with ``error``; raises that where there is nobody.

    A folder with code of its own is not given to the script unasked, which would run that code.
    """
    if converter == OURS:
        raise error
    script = find.script()
    if script is None and is_known(ModelFolder(folder, weights=False)):
        return _importer(folder, find, outtype)
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
