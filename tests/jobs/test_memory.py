"""A supervisor stays as small as it was, however long the job and however much it says."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from backend.lf import find as finding
from backend.train.spec import train_spec
from data.jobs.status import Status
from tests.bench.terminal import peak_mb
from tests.support import Yard, program

MOST_MB = 28.0


def peak_of_training(yard: Yard, root: Path, steps: int) -> float:
    """Train so many steps, as fast as the program can; return the most memory that the supervisor had, in MB."""
    (root / "data").mkdir(parents=True)
    (root / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}', encoding="utf-8")
    (root / "data" / "rows.json").write_text("[]", encoding="utf-8")
    subprocess.run(program("fake_trainer.py", "install", root / "env"), check=True)
    lf = finding.look(root / "env" / "bin" / "python", "settings")
    assert lf is not None
    arguments: dict[str, object] = {
        "model_name_or_path": "org/model",
        "stage": "sft",
        "do_train": True,
        "dataset": "rows",
        "template": "chatml",
        "output_dir": "out",
        "logging_steps": 1,
        "save_steps": steps,
        "max_steps": steps,
    }
    job_id = yard.launch(train_spec(arguments, workspace=root, lf=lf, check=False))[0]
    supervisor = yard.supervisor(job_id)
    most_mb = 0.0
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            most_mb = max(most_mb, peak_mb(supervisor))
        except (OSError, RuntimeError):  # it has ended
            break
        time.sleep(0.01)
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert job.state.metrics["step"] == steps
    return most_mb


@pytest.mark.slow
def test_a_supervisor_does_not_grow_with_the_steps_of_its_training(yard: Yard, tmp_path: Path) -> None:
    few_mb = peak_of_training(yard, tmp_path / "few", 2_000)
    many_mb = peak_of_training(yard, tmp_path / "many", 30_000)
    assert many_mb <= MOST_MB
    assert many_mb - few_mb <= 3.0, "a megabyte or two of reading buffers, nothing that grows"
