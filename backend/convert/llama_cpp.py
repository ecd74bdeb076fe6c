"""A llama.cpp on this machine: its llama-quantize for the types that we do not make, its script for other models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backend.convert.imatrix import check_file, misfit
from backend.convert.quants import BITS
from backend.lf.find import find
from backend.ollama.discover import engine_folder, managed_binaries
from data.errors import RequestError
from data.files import is_program
from data.i18n import _
from data.paths import Paths
from data.settings import Settings

QUANTIZE: Final = "llama-quantize"
SCRIPT: Final = "convert_hf_to_gguf.py"
_LIBRARY: Final = "gguf-py"
_BELOW: Final = (".", "bin", "build/bin")
"""Where a folder of llama.cpp may have its programs: a release, an installation, a build"""


@dataclass(frozen=True, slots=True)
class Found:
    """A program of llama.cpp, and who brought it."""

    path: Path
    origin: Literal["settings", "PATH", "Ollama"]


@dataclass(frozen=True, slots=True)
class Script:
    """convert_hf_to_gguf.py of a whole llama.cpp, and the Python that has the torch and transformers it needs."""

    path: Path
    python: Path

    @property
    def library(self) -> Path:
        """The folder of the ``gguf`` package that belongs to it."""
        return self.path.with_name(_LIBRARY)


def find_script(
    paths: Paths, settings: Settings, workspace: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Script | None:
    """Return the script of the setting llama_cpp_dir; None where it names none.

    Raises RequestError where the script is there and cannot be run: its own gguf is missing, or a Python for it.
    """
    path = Path(settings.llama_cpp_dir).expanduser().absolute() / SCRIPT
    if not settings.llama_cpp_dir or not path.is_file():
        return None
    script = Script(path, Path())
    if not (script.library / "gguf" / "__init__.py").is_file():
        raise RequestError(
            _("{script} lacks the gguf package that belongs to it", script=SCRIPT),
            _("There is no {path}.", path=str(script.library / "gguf")),
            _("Name a whole checkout of llama.cpp in the setting llama_cpp_dir."),
        )
    lf = find(settings, paths, workspace, environ)
    if lf is None:
        raise RequestError(
            _("There is no Python that could run {script}", script=SCRIPT),
            _("It needs torch and transformers; LLaMA-Factory's Python has them, and there is no LLaMA-Factory."),
            _("Run: paddock setup llamafactory"),
        )
    return Script(path, lf.python)


def find_quantize(paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ) -> Found | None:
    """Return llama-quantize: of the setting llama_cpp_dir, on PATH, else that of an Ollama on this machine.

    Raises RequestError where the setting names a folder that holds nothing of llama.cpp.
    """
    return next(_quantizers(paths, settings, environ), None)


def _quantizers(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Iterator[Found]:
    if settings.llama_cpp_dir:
        folder = Path(settings.llama_cpp_dir).expanduser()
        programs = [path for below in _BELOW if is_program(path := folder / below / QUANTIZE)]
        if not programs and not (folder / SCRIPT).is_file():
            raise RequestError(
                _("The folder of the setting llama_cpp_dir holds no llama.cpp"),
                _("{path} has neither {program} nor {script}.", path=str(folder), program=QUANTIZE, script=SCRIPT),
                _("Correct llama_cpp_dir (or PADDOCK_LLAMA_CPP_DIR), or leave it empty."),
            )
        yield from (Found(path.resolve(), "settings") for path in programs)
    search = environ.get("PATH", os.defpath)
    on_path = shutil.which(QUANTIZE, path=search)
    if on_path is not None:
        yield Found(Path(on_path), "PATH")
    ollama = shutil.which("ollama", path=search)
    for binary in (*([Path(ollama)] if ollama else []), *managed_binaries(paths)):
        program = engine_folder(binary) / QUANTIZE
        if is_program(program):
            yield Found(program, "Ollama")


def quantizer_for(
    outtype: str, imatrix: Path | None, paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Path | None:
    """Return the program that makes ``outtype``; None for a type that needs none.

    Raises RequestError where there is none, where type and importance matrix do not go together, or it is none.
    """
    wrong = misfit(outtype, imatrix)
    if wrong is not None:
        raise wrong
    if outtype not in BITS:
        return None
    if imatrix is not None:
        check_file(imatrix)
    found = find_quantize(paths, settings, environ)
    if found is None:
        raise RequestError(
            _("There is no llama-quantize on this machine, which makes the type {type}", type=outtype),
            _("Looked for in: the setting llama_cpp_dir, PATH, and what comes with Ollama."),
            _(
                "`paddock setup ollama` brings one; so does a llama.cpp of your own. Or convert to bf16 and let Ollama "
                "quantise: paddock deploy --quantize q4_K_M."
            ),
        )
    return found.path
