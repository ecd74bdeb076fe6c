"""A workspace with a base model and a finished LoRA run of it, as small as an export accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.unit.model_folder import write_model

RUN: Final = Path("saves", "base", "lora", "run")
CHECKPOINT: Final = RUN / "checkpoint-5"


def write_adapter_run(workspace: Path) -> None:
    """Write ``workspace``/base and the run with its one checkpoint below ``RUN``."""
    write_model(workspace / "base", config={"dtype": "float16"})
    run = workspace / RUN
    for folder in (run, workspace / CHECKPOINT):
        folder.mkdir(parents=True)
        base = str(workspace / "base")
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        (folder / "adapter_model.safetensors").write_bytes(bytes(64))
    record = {"version": 1, "job": "j", "template": "qwen", "enable_thinking": False, "cutoff_len": 512}
    (run / "paddock.json").write_text(json.dumps(record))
