"""What lies in an output_dir: complete and incomplete checkpoints, weights at its root, the last step logged."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.lf.peft import ADAPTER_WEIGHTS, PICKLED_ADAPTER
from data.files import tail_bytes
from data.jsontext import parse_json

TRAINER_LOG: Final = "trainer_log.jsonl"
# llamafactory/extras/constants.py, CHECKPOINT_NAMES: with one of these and no checkpoint, a start is refused.
WEIGHT_FILES: Final = (
    ADAPTER_WEIGHTS,
    PICKLED_ADAPTER,
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
# transformers/trainer_jit_checkpoint.py leaves this while it writes; transformers itself does not look at it again.
SENTINEL: Final = "checkpoint-is-incomplete.txt"
_NAME: Final = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class OutputDir:
    """The state of a training's output_dir."""

    path: Path
    checkpoints: tuple[int, ...]
    """Steps of complete checkpoints, ascending"""
    incomplete: tuple[Path, ...]
    """Checkpoints whose writing was cut off"""
    has_weights: bool
    """An adapter or a model lies at the root"""
    last_step: int
    """The last step that trainer_log.jsonl names; 0 without one"""

    @property
    def last_checkpoint(self) -> int | None:
        """The step that a resume would go on from."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def holds_anything(self) -> bool:
        """Whether a training has left weights or checkpoints here, whole or not."""
        return self.has_weights or bool(self.checkpoints) or bool(self.incomplete)

    @property
    def refused(self) -> bool:
        """Whether LLaMA-Factory would refuse to train into it without ``overwrite_output_dir``."""
        return self.has_weights and not self.checkpoints and not self.incomplete


def inspect(path: Path) -> OutputDir:
    """Look into ``path``, which need not exist."""
    complete: list[int] = []
    incomplete: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None or not entry.is_dir():
                continue
            folder = Path(entry.path)
            if (folder / "trainer_state.json").is_file() and not (folder / SENTINEL).exists():
                complete.append(int(match[1]))
            else:
                incomplete.append(folder)
    return OutputDir(
        path=path,
        checkpoints=tuple(sorted(complete)),
        incomplete=tuple(sorted(incomplete)),
        has_weights=any((path / name).is_file() for name in WEIGHT_FILES),
        last_step=_last_step(path / TRAINER_LOG),
    )


def set_aside(folder: Path) -> Path:
    """Rename an incomplete checkpoint so that no resume takes it; return its new path. Nothing is deleted."""
    for number in range(1000):
        target = folder.with_name(f"incomplete-{folder.name}" + (f".{number}" if number else ""))
        if not target.exists():
            folder.rename(target)
            return target
    return folder


def _last_step(log: Path) -> int:
    try:
        lines = tail_bytes(log, 16 << 10).splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            value: object = parse_json(line)
            if isinstance(value, dict):
                step = cast("dict[str, object]", value).get("current_steps")
                if isinstance(step, int):
                    return step
    return 0
