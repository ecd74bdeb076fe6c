"""Folders whose weights are quantised already: who can make a GGUF of them nevertheless.

Sources: llama.cpp `conversion/base.py` ``ModelBase.dequant_model``, `conversion/gpt_oss.py` ``GptOssModel``; Ollama
0.24.0 and 0.32.7 `convert/reader_safetensors.go` ``safetensorsFP8BlockSize``, `convert/convert_gptoss.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from backend.convert.refusal import REMEDY, UnknownHereError
from data.errors import RequestError
from data.i18n import _

Json = Mapping[str, object]

_GPT_OSS: Final = "GptOssForCausalLM"
_BY_SCRIPT: Final = ("bitnet", "fp8", "modelopt")
"""What llama.cpp's script takes back to numbers, whatever the architecture"""
_FORMATS: Final = ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "nvfp4-pack-quantized")
"""What it knows of compressed-tensors"""
_BITS_WITHOUT_CODE: Final = 3
"""Of GPTQ"""
_BLOCK_DIMENSIONS: Final = 2


class QuantisedError(UnknownHereError):
    """Weights that our converter refuses because they are quantised, and llama.cpp's script does not."""


def method_of(config: Json) -> str:
    """Return how config.json says that the weights are quantised; empty where it does not."""
    settings = config.get("quantization_config")
    if not isinstance(settings, dict) or not settings:
        return ""
    return str(cast("Json", settings).get("quant_method") or "unknown")


def is_importable(config: Json) -> bool:
    """Say whether Ollama's import takes the weights as they are, if it knows the architecture."""
    match method_of(config):
        case "":
            return True
        case "mxfp4":
            return _architecture(config) == _GPT_OSS
        case "fp8":
            blocks = cast("Json", config["quantization_config"]).get("weight_block_size")
            return isinstance(blocks, list) and len(cast("list[object]", blocks)) == _BLOCK_DIMENSIONS
        case _:
            return False


def refusal(path: Path, config: Json) -> RequestError:
    """Return why our converter refuses quantised weights; QuantisedError where llama.cpp's script takes them."""
    method = method_of(config)
    title = _("The weights of {path} are quantised already ({method})", path=str(path), method=method)
    if _goes_by_script(config):
        return QuantisedError(
            title,
            _("This converter takes F32, F16 and BF16 only."),
            REMEDY
            if is_importable(config)
            else _(
                "Convert the unquantised model, or name the folder of a recent llama.cpp in the setting llama_cpp_dir: "
                "its convert_hf_to_gguf.py turns such weights back into numbers."
            ),
        )
    return RequestError(
        title,
        _("A GGUF is made from weights in F32, F16 or BF16; quantised ones have lost what the conversion needs."),
        _("Convert the unquantised model (merge an adapter into that one); quantise the GGUF afterwards."),
    )


def _goes_by_script(config: Json) -> bool:
    settings = cast("Json", config["quantization_config"])
    match method_of(config):
        case "mxfp4":
            return _architecture(config) == _GPT_OSS
        case "gptq":
            return settings.get("bits") != _BITS_WITHOUT_CODE
        case "compressed-tensors":
            return settings.get("format") in _FORMATS
        case method:
            return method in _BY_SCRIPT


def _architecture(config: Json) -> object:
    names = config.get("architectures")
    return cast("list[object]", names)[0] if isinstance(names, list) and names else None
