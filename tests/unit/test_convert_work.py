"""The work of a convert job, as a process of its own: what it keeps, and what it writes down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.convert.sidecar import read_sidecar, sidecar_of
from data.gguf import read_header
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.paths import HOME_VARIABLE
from screens.gguf.rows import rows
from tests.unit.model_folder import write_adapter, write_model
from tui.commands.root import run as run_command
from tui.inspecting import inspect

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


def test_a_template_against_the_record_is_written_down_and_shown(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"version": 1, "job": "20260101-000000-train-abcd", "model": "base", "template": "qwen"}
    (model / "paddock.json").write_text(json.dumps(record))
    target, training = tmp_path / "a.gguf", {"template": "chatml", "cutoff_len": 512}
    done = work(tmp_path / "home", model, target, training=training)
    assert done.returncode == 0, done.stderr
    made = read_sidecar(target)
    assert made is not None
    assert (made["run"], made["training"]) == (record, training)
    assert "template chatml, not qwen as trained" in read_header(target).text("general.description")
    assert run_command(["gguf", "show", str(target)]) == 0
    assert "chatml, not qwen as trained" in capsys.readouterr().out
    inspection = inspect(target)
    assert "chatml, not qwen as trained" in str(rows(inspection))


def test_an_adapter_of_a_recorded_run_says_that_run(model: Path, tmp_path: Path) -> None:
    lora, target = tmp_path / "run" / "checkpoint-5", tmp_path / "lora.gguf"
    shapes = {"model.layers.0.self_attn.v_proj": (16, 32)}
    write_adapter(lora, model, shapes, 4, np.random.default_rng(1))
    record = {"version": 1, "job": "20260101-000000-train-abcd", "model": "base", "template": "qwen"}
    (lora.parent / "paddock.json").write_text(json.dumps(record))
    done = work(tmp_path / "home", lora, target, adapter=True)
    assert done.returncode == 0, done.stderr
    made = read_sidecar(target)
    assert made is not None
    assert (made["run"], made["changed_keys"]) == (record, ["general.description"])
    assert "20260101-000000-train-abcd, base base, template qwen." in read_header(target).text("general.description")


def test_a_template_whose_tokens_the_model_lacks_is_refused_before_the_start(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    assert run_command(["convert", str(model), "--template", "llama3"]) == 2
    assert "The model has no token <|eot_id|>" in capsys.readouterr().err
    assert not (tmp_path / "home" / "state" / "jobs").exists()


def test_the_command_says_so_before_the_start(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    (model / "paddock.json").write_text(json.dumps({"version": 1, "job": "j", "template": "qwen"}))
    for template, is_said in (("chatml", True), ("qwen", False)):
        words = ["convert", str(model), "--template", template, "--converter", "ollama", "--outtype", "f32"]
        assert run_command(words) == 2  # of a type that Ollama does not make
        assert ("Not as it was trained: template (qwen → chatml)" in "".join(capsys.readouterr())) == is_said
