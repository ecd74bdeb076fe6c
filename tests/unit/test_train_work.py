"""What a training leaves before its start, how it stops, and what a resume does with what it finds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.lf import yamlform
from backend.train import checkpoint, stopping
from backend.train.record import read_record
from backend.train.work import ExportWork, TrainWork, partial_dir, prepare_export, prepare_train
from data.errors import AppError
from data.jobs.folder import JobFolder
from data.jobs.spec import GpuRequest, JobSpec
from tests.support import PROGRAMS


@pytest.fixture
def python(tmp_path: Path) -> Path:
    folder = tmp_path / "env"
    subprocess.run([sys.executable, str(PROGRAMS / "fake_trainer.py"), "install", str(folder)], check=True)
    return folder / "bin" / "python"


def train(tmp_path: Path, python: Path, *, gpus: GpuRequest | None = None, **args: object) -> JobSpec:
    values = {"model_name_or_path": "m", "template": "chatml", "output_dir": str(tmp_path / "out"), **args}
    params: dict[str, object] = {"args": values, "python": str(python), "output_dir": values["output_dir"]}
    return JobSpec.new("train", "t", workspace=str(tmp_path), params=params, gpus=gpus)


def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir(exist_ok=True)
    return folder


def yaml_of(folder: Path, name: str = "train.yaml") -> dict[str, object]:
    value = yamlform.load((folder / name).read_text())
    assert isinstance(value, dict)
    return value


def state(out: Path, step: int) -> None:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")


def logged(out: Path, *steps: int) -> None:
    out.mkdir(exist_ok=True)
    with (out / "trainer_log.jsonl").open("a") as stream:
        stream.writelines(json.dumps({"current_steps": step, "total_steps": 100}) + "\n" for step in steps)


def test_the_command_and_the_files_of_the_run(tmp_path: Path, python: Path) -> None:
    spec = train(tmp_path, python, learning_rate=1e-5, enable_thinking=False, pure_bf16=False)
    command = prepare_train(job(tmp_path), spec)
    assert command.argv == (str(python.parent / "llamafactory-cli"), "train", str(tmp_path / "job/train.yaml"))
    assert command.cwd == str(tmp_path)
    assert command.env["PATH"].split(":")[0] == str(python.parent)
    assert yaml_of(tmp_path / "job") == spec.params["args"]
    board = yaml_of(tmp_path / "out", "training_args.yaml")
    assert board["enable_thinking"] is False
    assert "pure_bf16" not in board
    assert list(board) == sorted(board)
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record.job, record.template, record.enable_thinking, record.cutoff_len) == (spec.id, "chatml", False, 2048)
    assert read_record(tmp_path / "out" / "checkpoint-5") == record


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99, "job": "x"}', "\x00"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "paddock.json").write_text(text)
    assert read_record(tmp_path) is None


def test_an_environment_without_scripts_is_run_as_a_module(tmp_path: Path, python: Path) -> None:
    (python.parent / "llamafactory-cli").unlink()
    command = prepare_train(job(tmp_path), train(tmp_path, python))
    assert command.argv[:4] == (str(python), "-m", "llamafactory.cli", "train")


def test_a_python_that_is_gone_is_explained(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="Python is gone"):
        prepare_train(job(tmp_path), train(tmp_path, tmp_path / "nowhere"))


def test_torchrun_and_a_space_in_the_job_folder(tmp_path: Path, python: Path) -> None:
    folder = tmp_path / "my jobs"
    folder.mkdir()
    prepare_train(folder, train(tmp_path, python, gpus=GpuRequest(ids=(0,))))
    with pytest.raises(AppError, match="space"):
        prepare_train(folder, train(tmp_path, python, gpus=GpuRequest(number=2)))


def test_a_resume_goes_on_from_its_checkpoint_and_overwrites_no_more(tmp_path: Path, python: Path) -> None:
    spec = train(tmp_path, python, overwrite_output_dir=True)
    logged(tmp_path / "out", 1, 2)
    prepare_train(job(tmp_path), spec)
    assert not (tmp_path / "out" / "trainer_log.jsonl").exists()
    assert yaml_of(tmp_path / "job")["overwrite_output_dir"] is True
    state(tmp_path / "out", 20)
    logged(tmp_path / "out", 21, 22)
    assert stopping.resume_consequence(spec).english() == "It goes on from checkpoint-20 and trains 2 steps again."
    prepare_train(job(tmp_path), spec)
    assert "overwrite_output_dir" not in yaml_of(tmp_path / "job")
    follower = TrainWork().follower(JobFolder(tmp_path / "job"), spec)
    logged(tmp_path / "out", 21)
    assert [event["done"] for event in follower.poll() if event["kind"] == "progress"] == [21]


def test_a_resume_without_a_checkpoint_replaces_the_weights(tmp_path: Path, python: Path) -> None:
    spec = train(tmp_path, python)
    prepare_train(job(tmp_path), spec)
    logged(tmp_path / "out", 7)
    (tmp_path / "out" / "adapter_model.safetensors").write_text("")
    assert "starts again from step 0 (7 steps) and replaces" in stopping.resume_consequence(spec).english()
    prepare_train(job(tmp_path), spec)
    assert yaml_of(tmp_path / "job")["overwrite_output_dir"] is True


def test_a_checkpoint_that_was_cut_off_is_set_aside_and_kept(tmp_path: Path, python: Path) -> None:
    spec = train(tmp_path, python)
    prepare_train(job(tmp_path), spec)
    out = tmp_path / "out"
    state(out, 20)
    state(out, 30)
    (out / "checkpoint-30" / checkpoint.SENTINEL).write_text("")
    (out / "checkpoint-40").mkdir()
    prepare_train(job(tmp_path), spec)
    assert sorted(folder.name for folder in out.iterdir() if folder.is_dir()) == [
        "checkpoint-20",
        "incomplete-checkpoint-30",
        "incomplete-checkpoint-40",
    ]
    assert checkpoint.inspect(out).last_checkpoint == 20


def test_anothers_checkpoints_are_not_touched(tmp_path: Path, python: Path) -> None:
    (tmp_path / "out" / "checkpoint-40").mkdir(parents=True)
    prepare_train(job(tmp_path), train(tmp_path, python))
    assert (tmp_path / "out" / "checkpoint-40").is_dir()


def test_the_ladder_saves_a_checkpoint_where_it_can(tmp_path: Path, python: Path) -> None:
    jit = stopping.train_ladder(train(tmp_path, python, enable_jit_checkpoint=True))
    assert [(step.signal, step.to) for step in jit] == [
        (signal.SIGTERM, "ranks"),
        (signal.SIGTERM, "tree"),
        (signal.SIGKILL, "tree"),
    ]
    assert jit[0].progress_extends
    plain = stopping.train_ladder(train(tmp_path, python))
    assert [step.signal for step in plain] == [signal.SIGABRT, signal.SIGTERM, signal.SIGKILL]


def test_what_a_stop_costs_is_said_before(tmp_path: Path, python: Path) -> None:
    jit = train(tmp_path, python, enable_jit_checkpoint=True)
    assert "one step again at most" in stopping.stop_consequence(jit).english()
    plain = train(tmp_path, python)
    logged(tmp_path / "out", 7)
    assert "step 0 (7 steps)" in stopping.stop_consequence(plain).english()
    state(tmp_path / "out", 5)
    assert stopping.stop_consequence(plain).english() == "A resume goes on from checkpoint-5 and trains 2 steps again."


@pytest.mark.parametrize(
    ("stage", "method", "can"), [("ppo", "full", False), ("rm", "lora", True), ("sft", "full", True)]
)
def test_stages_that_cannot_resume_say_so(tmp_path: Path, python: Path, stage: str, method: str, can: bool) -> None:
    spec = train(tmp_path, python, stage=stage, finetuning_type=method)
    state(tmp_path / "out", 5)
    logged(tmp_path / "out", 5)
    assert ("nothing is lost" in stopping.resume_consequence(spec).english()) is can


def export(tmp_path: Path, python: Path) -> JobSpec:
    params: dict[str, object] = {"args": {"export_dir": str(tmp_path / "merged")}, "python": str(python)}
    return JobSpec.new("export", "e", workspace=str(tmp_path), params=params)


def test_an_export_writes_under_a_temporary_name(tmp_path: Path, python: Path) -> None:
    spec = export(tmp_path, python)
    command = prepare_export(job(tmp_path), spec)
    assert command.argv[1] == "export"
    assert yaml_of(tmp_path / "job", "export.yaml")["export_dir"] == str(partial_dir(spec))
    (partial_dir(spec) / "left").write_text("")
    prepare_export(job(tmp_path), spec)
    assert list(partial_dir(spec).iterdir()) == []
    assert [step.signal for step in ExportWork().ladder(JobFolder(tmp_path / "job"), spec)] == [15, 9]


def test_an_export_never_writes_over_something(tmp_path: Path, python: Path) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "x").write_text("")
    with pytest.raises(AppError, match="not empty"):
        prepare_export(job(tmp_path), export(tmp_path, python))


def test_a_full_or_forbidden_disk_is_explained(tmp_path: Path, python: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(AppError, match="cannot be written"):
        prepare_train(job(tmp_path), train(tmp_path, python))


def test_the_supervisors_part_imports_nothing_heavy() -> None:
    code = (
        "import sys, backend.train.work\n"
        "heavy = {'numpy', 'pydantic', 'orjson', 'ruamel', 'httpx', 'textual', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROGRAMS.parent.parent)
