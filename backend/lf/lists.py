"""Lists as LLaMA-Factory takes them (0.9.5, hparams ``split_arg``): names between commas, or a list of YAML."""

from __future__ import annotations

from typing import cast


def names_in(value: object) -> list[str]:
    """Return the names in ``value``, "a,b" or ["a", "b"], without blanks around them; empty for anything else."""
    parts = (
        cast("list[object]", value) if isinstance(value, list) else value.split(",") if isinstance(value, str) else []
    )
    return [name for name in (str(part).strip() for part in parts) if name]
