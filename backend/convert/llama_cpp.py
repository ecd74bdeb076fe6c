"""A llama.cpp on this machine: where its llama-quantize is, which makes the types that we do not make ourselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backend.convert.quants import BITS, NEED_IMATRIX
from backend.ollama.discover import engine_folder, managed_binaries
from data.errors import RequestError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings

QUANTIZE: Final = "llama-quantize"
SCRIPT: Final = "convert_hf_to_gguf.py"
_BELOW: Final = (".", "bin", "build/bin")
"""Where a folder of llama.cpp may have its programs: a release, an installation, a build"""


@dataclass(frozen=True, slots=True)
class Found:
    """A program of llama.cpp, and who brought it."""

    path: Path
    origin: Literal["settings", "PATH", "Ollama"]


def find_quantize(paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ) -> Found | None:
    """Return llama-quantize: of the setting llama_cpp_dir, on PATH, else that of an Ollama on this machine.

    Raises RequestError where the setting names a folder that holds nothing of llama.cpp.
    """
    return next(_quantizers(paths, settings, environ), None)


def _quantizers(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Iterator[Found]:
    if settings.llama_cpp_dir:
        folder = Path(settings.llama_cpp_dir).expanduser()
        programs = [path for below in _BELOW if _runs(path := folder / below / QUANTIZE)]
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
        if _runs(program):
            yield Found(program, "Ollama")


def quantizer_for(
    outtype: str, imatrix: Path | None, paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Path | None:
    """Return the program that makes ``outtype``; None for a type that needs none.

    Raises RequestError where there is none, or where the type and the importance matrix do not go together.
    """
    if outtype not in BITS:
        if imatrix is not None:
            raise RequestError(
                _("An importance matrix has no use for the type {type}", type=outtype),
                _("It tells llama-quantize which weights matter most; this type keeps them all alike."),
                _("Leave --imatrix out, or choose a type such as q4_k_m or iq4_xs."),
            )
        return None
    if imatrix is None and outtype in NEED_IMATRIX:
        raise RequestError(
            _("The type {type} needs an importance matrix", type=outtype),
            _("With so few bits a weight, llama-quantize has to know which weights matter."),
            _("Give one with --imatrix FILE (llama.cpp's llama-imatrix makes it), or choose iq4_xs or q4_k_m."),
        )
    if imatrix is not None and not imatrix.is_file():
        raise RequestError(
            _("There is no importance matrix {path}", path=str(imatrix)),
            "",
            _("Give the file that llama.cpp's llama-imatrix wrote."),
        )
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


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
