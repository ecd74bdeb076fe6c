"""The files of an adapter's folder, as LLaMA-Factory saves it with PEFT (peft 0.18 ``utils/constants.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from data.jsontext import parse_json

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
PICKLED_ADAPTER: Final = "adapter_model.bin"


def base_of(adapter: Path) -> str:
    """Return the base model that the adapter names, as the training had it; empty where it names none."""
    try:
        value: object = parse_json((adapter / ADAPTER_CONFIG).read_bytes())
    except (OSError, ValueError):
        return ""
    name = cast("dict[str, object]", value).get("base_model_name_or_path") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""
