"""The work of a convert job, as a process of its own: what it keeps, and what it writes down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.convert.sidecar import sidecar_of
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.paths import HOME_VARIABLE
from tests.unit.model_folder import write_model

ROOT = Path(__file__).parents[2]


def work(home: Path, source: Path, target: Path, **params: object) -> subprocess.CompletedProcess[str]:
    """Convert ``source`` to ``target`` as a job with ``params`` does."""
    values = {"source": str(source), "target": str(target), "outtype": "f16", **params}
    spec = JobSpec.new("convert", source.name, workspace=str(source), params=values)
    folder, lock = JobFolder.create(home / "state" / "jobs", spec)
    os.close(lock)
    return subprocess.run(
        [sys.executable, "-m", "backend.convert.work", str(folder.publish().path)],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("name", "replace", "said"),
    [("config", True, "own file config.json"), ("own.gguf", False, "beside the GGUF exists already")],
)
def test_the_model_and_a_file_of_others_beside_the_gguf_are_kept(
    model: Path, tmp_path: Path, name: str, replace: bool, said: str
) -> None:
    sidecar_of(model / "own.gguf").write_text("mine")
    before = {file: file.read_bytes() for file in model.iterdir()}
    done = work(tmp_path / "home", model, model / name, replace=replace)
    assert done.returncode == 1
    assert said in done.stderr
    assert {file: file.read_bytes() for file in model.iterdir()} == before
    assert work(tmp_path / "home", model, model / "own.gguf").returncode == 0  # which may replace what is there
