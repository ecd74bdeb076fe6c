"""Conversions as jobs: what they leave, what the sidecar says, and what removing them takes away."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from backend.convert.sidecar import read_sidecar, sidecar_of
from backend.jobs.launch import remove, request_stop, resume
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from tests.support import Yard, wait_until
from tests.unit.llama_cpp_folder import write_settings, write_unknown_model
from tests.unit.model_folder import write_adapter, write_model
from tui.commands.root import run as run_command

pytestmark = pytest.mark.slow

RUN = {
    "version": 1,
    "job": "20260101-000000-train-abcd",
    "model": "base",
    "template": "qwen",
    "exported_from": "/runs/a",
}


@pytest.fixture
def yard(tmp_path: Path) -> Generator[Yard]:
    yard = Yard(tmp_path / "home")
    yield yard
    yard.close()


def converted(yard: Yard, folder: Path, target: Path, **params: object) -> str:
    values = {"source": str(folder), "target": str(target), "outtype": "q8_0", **params}
    (job_id,) = yard.launch(JobSpec.new("convert", "model", workspace=str(folder), params=values))
    yard.until(job_id, Status.SUCCEEDED, Status.FAILED)
    return job_id


def digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


def test_the_sidecar_traces_a_gguf_to_its_weights_and_its_training(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "out" / "a.gguf"
    write_model(folder, shards=2)
    (folder / "paddock.json").write_text(json.dumps(RUN))
    job = yard.job(converted(yard, folder, target, name="Robin"))
    assert job.status is Status.SUCCEEDED
    made = read_sidecar(target)
    assert made is not None
    assert made["run"] == RUN
    assert made["changed_keys"] == ["general.name"]
    match made:
        case {
            "gguf": {"blake3": str(found), "file": "a.gguf"},
            "source": {"folder": str(source), "files": list(files)},
        }:
            assert found == digest(target) == job.state.result["blake3"]
            assert source == str(folder)
            assert {file["file"]: file["blake3"] for file in files} == {
                path.name: digest(path) for path in folder.glob("*.safetensors")
            }
        case _:
            pytest.fail(str(made))
    assert [artifact["what"] for artifact in job.as_json()["artifacts"]] == ["gguf", "sidecar"]  # type: ignore[union-attr]
    assert job.state.result["sidecar"] == str(sidecar_of(target))


def scripted(yard: Yard, tmp_path: Path, does: str) -> tuple[str, Path]:
    """Start the conversion of a model that only llama.cpp's script knows."""
    folder, target = write_unknown_model(tmp_path / "model", does), tmp_path / "out" / "a.gguf"
    settings = write_settings(tmp_path)
    environ = {
        **yard.environ,
        "PADDOCK_LLAMA_CPP_DIR": settings.llama_cpp_dir,
        "PADDOCK_LLAMAFACTORY_PYTHON": settings.llamafactory_python,
    }
    params = {"source": str(folder), "target": str(target), "outtype": "bf16"}
    (job_id,) = yard.launch(JobSpec.new("convert", "model", workspace=str(folder), params=params), environ=environ)
    return job_id, target


def test_what_our_converter_does_not_know_goes_to_llama_cpps_script(yard: Yard, tmp_path: Path) -> None:
    job_id, target = scripted(yard, tmp_path, "")
    job = yard.until(job_id)
    assert job.status is Status.SUCCEEDED, f"{job.state.title.english()} {job.state.detail.english()}"
    assert job.state.result["converter"] == "llama.cpp"
    made = read_sidecar(target)
    assert made is not None
    assert made["script"] is not None
    assert target.read_bytes() == (tmp_path / "model" / "ready.gguf").read_bytes()


def test_a_script_that_is_stopped_leaves_nothing(yard: Yard, tmp_path: Path) -> None:
    job_id, target = scripted(yard, tmp_path, "hangs")
    wait_until(lambda: (found := yard.job(job_id).state.progress) and found.done == found.total, what="the script")
    request_stop(yard.job(job_id), "graceful")
    assert yard.until(job_id).status is Status.STOPPED
    assert list(target.parent.iterdir()) == []
    wait_until(lambda: not yard.alive(job_id), what="the end of the script")


def test_removing_what_a_job_made_removes_the_sidecar(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "out" / "a.gguf"
    write_model(folder)
    job = yard.job(converted(yard, folder, target))
    assert sorted(path.name for path in target.parent.iterdir()) == ["a.gguf", "a.gguf.json"]
    remove([job], with_artifacts=True)
    assert list(target.parent.iterdir()) == []


def test_a_job_without_leave_to_replace_leaves_a_file_of_others(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "a.gguf"
    write_model(folder)
    target.write_bytes(b"of somebody else")
    job = yard.job(converted(yard, folder, target, replace=False))
    assert job.status is Status.FAILED
    assert "exists already" in job.state.title.english()
    assert target.read_bytes() == b"of somebody else"
    resume(yard.library, job.id, environ=yard.environ)
    assert yard.until(job.id).status is Status.FAILED
    assert target.read_bytes() == b"of somebody else"


def test_a_resumed_job_replaces_what_it_made_itself(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "a.gguf"
    write_model(folder)
    sidecar_of(target).mkdir()  # so that the job fails when its file has its name
    job_id = converted(yard, folder, target, replace=False)
    assert yard.job(job_id).status is Status.FAILED
    assert target.is_file()
    sidecar_of(target).rmdir()
    resume(yard.library, job_id, environ=yard.environ)
    assert yard.until(job_id).status is Status.SUCCEEDED


def test_a_link_as_the_target_stays_one(yard: Yard, tmp_path: Path) -> None:
    folder, link, real = tmp_path / "model", tmp_path / "link.gguf", tmp_path / "store" / "real.gguf"
    write_model(folder)
    link.symlink_to(real)
    real.parent.mkdir()
    for params in ({"replace": False}, {}):
        job = yard.job(converted(yard, folder, link, **params))
        assert job.status is Status.SUCCEEDED
        assert job.state.result["gguf"] == str(real)
        assert link.readlink() == real
        assert read_sidecar(link) == read_sidecar(real) != None  # noqa: E711 - all three
        assert sorted(path.name for path in real.parent.iterdir()) == ["real.gguf", "real.gguf.json"]


def test_a_sidecar_of_another_file_says_nothing(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "a.gguf"
    write_model(folder)
    converted(yard, folder, target)
    assert read_sidecar(target) is not None
    target.write_bytes(target.read_bytes() + b"x")
    assert read_sidecar(target) is None
    for text in ("", "[]", "{", "[" * 100_000, '{"version": 1}'):
        sidecar_of(target).write_text(text)
        assert read_sidecar(target) is None


def test_a_damaged_record_of_a_run_stops_no_conversion(yard: Yard, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "a.gguf"
    write_model(folder)
    (folder / "paddock.json").write_text("{")
    assert yard.job(converted(yard, folder, target)).status is Status.SUCCEEDED
    made = read_sidecar(target)
    assert made is not None
    assert made["run"] is None


def test_behind_an_adapter_stands_how_ollama_loads_it(
    yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_HOME", str(tmp_path / "home"))
    write_model(tmp_path / "base")
    shapes = {"model.layers.0.self_attn.v_proj": (16, 32)}
    write_adapter(tmp_path / "lora", tmp_path / "base", shapes, 4, np.random.default_rng(1))
    target = tmp_path / "lora.gguf"
    assert run_command(["convert", str(tmp_path / "lora"), "--adapter", "-o", str(target), "--plain"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert target.is_file()
    assert f"ADAPTER {target}" in said
    assert "paddock deploy" not in said
