"""Which llama-quantize there is: it makes the K- and I-quants of GGUFs."""

from __future__ import annotations

from collections.abc import Mapping

from backend.convert.llama_cpp import find_quantize
from backend.doctor.report import Check, Level, of_error
from data.errors import AppError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings


def check_llama_cpp(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Check:
    """Say which llama-quantize `paddock convert` would use, and who brought it."""
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
