"""The files of an adapter's folder, as LLaMA-Factory saves it with PEFT (peft 0.18 ``utils/constants.py``)."""

from __future__ import annotations

from typing import Final

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
PICKLED_ADAPTER: Final = "adapter_model.bin"
