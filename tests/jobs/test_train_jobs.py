"""Trainings and exports as jobs: followed, stopped with a checkpoint, resumed from it, and explained when they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.jobs.launch import request_stop, resume
from backend.lf import find as finding
from backend.lf.find import LlamaFactory
from backend.train.spec import export_spec, train_spec
from backend.train.stopping import resume_consequence
from data.jobs.library import Job
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from tests.support import PROGRAMS, Yard, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def lf(tmp_path: Path) -> LlamaFactory:
    folder = tmp_path / "env"
    subprocess.run([sys.executable, str(PROGRAMS / "fake_trainer.py"), "install", str(folder)], check=True)
    found = finding.look(folder / "bin" / "python", "settings")
    assert found is not None
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}')
    (folder / "data" / "rows.json").write_text("[]")
    return folder


def behave(workspace: Path, **how: object) -> None:
    (workspace / "fake_trainer.json").write_text(json.dumps(how))


def train(workspace: Path, lf: LlamaFactory, **args: object) -> JobSpec:
    values = {
        "model_name_or_path": "org/model",
        "stage": "sft",
        "do_train": True,
        "dataset": "rows",
        "template": "chatml",
        "output_dir": "out",
        "logging_steps": 1,
        **args,
    }
    return train_spec(values, workspace=workspace, lf=lf)


def again(yard: Yard, job_id: str) -> None:
    wait_until(lambda: not yard.alive(job_id), what="the supervisor's own end")
    resume(yard.library, job_id, environ=yard.environ)


def steps(job: Job) -> list[object]:
    return [event["step"] for event in job.folder.events().events if event["kind"] == "metric"]


def test_a_training_is_followed_to_its_end(yard: Yard, workspace: Path, lf: LlamaFactory) -> None:
    behave(workspace, noise=100)
    job_id = yard.launch(train(workspace, lf, max_steps=50, save_steps=20))[0]
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert steps(job) == list(range(1, 51))
    assert job.state.metrics["grad_norm"] > 0
    assert job.state.result["steps"] == 50
    assert {artifact.what for artifact in job.state.artifacts.values()} == {"checkpoint", "adapter"}
    assert (workspace / "out" / "training_args.yaml").exists()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_stop_saves_a_checkpoint_and_a_resume_goes_on_from_it(
    yard: Yard, workspace: Path, lf: LlamaFactory, ranks: int
) -> None:
    behave(workspace, delay_s=0.05, ranks=ranks, save_s=0.5)
    spec = train(workspace, lf, max_steps=400)
    job_id = yard.launch(spec)[0]
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 3)
    request_stop(yard.job(job_id), "graceful")
    job = yard.until(job_id)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 0
    saved = [a for a in job.state.artifacts.values() if a.what == "checkpoint"]
    assert len(saved) == 1
    step = int(Path(saved[0].path).name.rpartition("-")[2])
    assert "nothing is lost" in resume_consequence(spec).english()
    behave(workspace, ranks=ranks)
    again(yard, job_id)
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert steps(job) == list(range(1, 401))
    assert step in steps(job)


def test_without_such_checkpoints_a_stop_leaves_weights_and_a_resume_begins_anew(
    yard: Yard, workspace: Path, lf: LlamaFactory
) -> None:
    behave(workspace, delay_s=0.05)
    spec = train(workspace, lf, max_steps=400, enable_jit_checkpoint=False)
    job_id = yard.launch(spec)[0]
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 3)
    request_stop(yard.job(job_id), "graceful")
    job = yard.until(job_id)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 0
    assert "replaces" in resume_consequence(spec).english()
    behave(workspace)
    again(yard, job_id)
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert steps(job)[-400:] == list(range(1, 401))


def test_a_training_that_ignores_every_wish_is_ended(yard: Yard, workspace: Path, lf: LlamaFactory) -> None:
    behave(workspace, deaf=True, delay_s=0.02, ranks=2)
    job_id = yard.launch(train(workspace, lf, max_steps=100_000))[0]
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 3)
    request_stop(yard.job(job_id), "now")
    assert yard.until(job_id).status is Status.STOPPED
    wait_until(lambda: not yard.alive(job_id), what="the end of every rank")


@pytest.mark.parametrize(
    ("fail", "title", "code"),
    [
        ("oom", "GPU's memory", 1),
        ("disk_full", "disk is full", 1),
        ("value", "ended with an error", 1),
        ("kill", "killed", 137),
    ],
)
def test_a_failure_is_explained(
    yard: Yard, workspace: Path, lf: LlamaFactory, fail: str, title: str, code: int
) -> None:
    behave(workspace, fail=fail)
    job = yard.until(yard.launch(train(workspace, lf))[0])
    assert job.status is Status.FAILED
    assert job.state.exit_code == code
    assert title in job.state.title.english()
    assert job.state.hint


def test_a_line_torn_by_a_kill_costs_no_step_of_the_resume(yard: Yard, workspace: Path, lf: LlamaFactory) -> None:
    behave(workspace, fail="torn", at=6)
    job_id = yard.launch(train(workspace, lf, save_steps=5))[0]
    assert yard.until(job_id).status is Status.FAILED
    behave(workspace)
    again(yard, job_id)
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert steps(job) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_an_export_appears_whole_or_not_at_all(yard: Yard, workspace: Path, lf: LlamaFactory) -> None:
    args: dict[str, object] = {"model_name_or_path": "org/model", "template": "chatml", "export_dir": "merged"}
    behave(workspace, fail="disk_full")
    job_id = yard.launch(export_spec(args, workspace=workspace, lf=lf))[0]
    job = yard.until(job_id)
    assert job.status is Status.FAILED
    assert "disk is full" in job.state.title.english()
    assert not [name for name in workspace.iterdir() if "merged" in name.name]
    behave(workspace)
    again(yard, job_id)
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED
    assert (workspace / "merged" / "model.safetensors").stat().st_size == 1_000_000
    assert job.state.result["export_dir"] == str(workspace / "merged")
