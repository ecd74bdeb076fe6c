"""What several modules of tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.export.plan import ExportPlan, draft
from backend.export.source import read_source
from tests.unit.adapter_run import CHECKPOINT, write_adapter_run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a base model and a finished LoRA run of it, whose template is qwen."""
    write_adapter_run(tmp_path)
    return tmp_path


@pytest.fixture
def plan(workspace: Path) -> ExportPlan:
    """The export of that run's checkpoint as it is drafted."""
    return draft(read_source(workspace / CHECKPOINT), workspace)
