"""What there is of llama.cpp: llama-quantize makes the K- and I-quants of GGUFs, its script converts further models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from backend.convert.llama_cpp import SCRIPT, find_quantize, find_script
from backend.doctor.report import Check, Level, of_error
from data.errors import AppError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings


def check_llama_cpp(
    paths: Paths, settings: Settings, workspace: Path | None, environ: Mapping[str, str]
) -> Iterator[Check]:
    """Say which llama-quantize `paddock convert` would use and who brought it, and which script, where one is named."""
    yield _quantize(paths, settings, environ)
    try:
        script = find_script(paths, settings, workspace, environ)
    except AppError as error:
        yield of_error("llama-cpp-script", error)
        return
    if script is not None:
        message = _(
            "{script}: {path}, run by {python}", script=SCRIPT, path=str(script.path), python=str(script.python)
        )
        yield Check("llama-cpp-script", Level.OK, message)


def _quantize(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Check:
    try:
        found = find_quantize(paths, settings, environ)
    except AppError as error:
        return of_error("llama-cpp", error)
    if found is not None:
        message = _("llama-quantize: {path} ({origin})", path=str(found.path), origin=found.origin)
        return Check("llama-cpp", Level.OK, message)
    return Check(
        "llama-cpp",
        Level.INFO,
        _("There is no llama-quantize: GGUFs come in bf16, f16, f32 and q8_0, other types while deploying."),
        _("paddock setup ollama, or name your llama.cpp in the setting llama_cpp_dir"),
    )
