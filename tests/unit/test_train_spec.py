"""A training's spec: what is checked before, what is added, what a dry run shows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.lf import find as finding
from backend.lf.find import LlamaFactory
from backend.lf.schema import schema_for, snapshot
from backend.train import preflight
from backend.train.spec import dry_run, export_spec, normal_export, normal_train, train_spec
from data.errors import RequestError
from data.jobs.spec import GpuRequest, JobSpec
from data.paths import Paths
from tests.support import PROGRAMS
from tests.unit.adapter_run import CHECKPOINT, RUN, write_adapter_run

Args = dict[str, object]


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
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}')
    (folder / "data" / "rows.json").write_text("[]")
    return folder


def good(**values: object) -> Args:
    return {
        "model_name_or_path": "model",
        "stage": "sft",
        "do_train": True,
        "dataset": "rows",
        "template": "chatml",
        "output_dir": "out",
        **values,
    }


def ids(args: Args, workspace: Path, lf: LlamaFactory | None, **options: object) -> dict[str, str]:
    values = normal_train(args, workspace=workspace, lf=lf, schema=snapshot())
    checks = preflight.train_checks(
        values,
        workspace=workspace,
        lf=lf,
        schema=snapshot(),
        environ={},
        **options,  # type: ignore[arg-type]
    )
    return {check.id: check.level for check in checks}


def test_a_good_configuration_has_no_findings(workspace: Path, lf: LlamaFactory) -> None:
    assert ids(good(), workspace, lf) == {}


def test_the_spec_holds_absolute_folders_and_a_stop_that_saves(workspace: Path, lf: LlamaFactory) -> None:
    spec = train_spec(good(), workspace=workspace, lf=lf)
    args = spec.params["args"]
    assert isinstance(args, dict)
    assert args["output_dir"] == spec.params["output_dir"] == str(workspace / "out")
    assert args["dataset_dir"] == str(workspace / "data")
    assert args["model_name_or_path"] == str(workspace / "model")
    assert args["enable_jit_checkpoint"] is True
    assert args["report_to"] == "none"
    assert "trust_remote_code" not in args
    assert JobSpec.from_json(json.loads(json.dumps(spec.as_json()))).params == spec.params


def test_what_was_asked_is_not_overruled(workspace: Path, lf: LlamaFactory) -> None:
    asked = good(enable_jit_checkpoint=False, report_to="tensorboard", dataset_dir="REMOTE:a/b", trust_remote_code=True)
    values = normal_train(asked, workspace=workspace, lf=lf, schema=snapshot())
    assert {name: values[name] for name in ("enable_jit_checkpoint", "report_to", "dataset_dir")} == {
        "enable_jit_checkpoint": False,
        "report_to": "tensorboard",
        "dataset_dir": "REMOTE:a/b",
    }
    assert ids(asked, workspace, lf) == {"trust_remote_code": "warning", "stop.checkpoint": "info"}


def test_ppo_is_stopped_the_old_way(workspace: Path, lf: LlamaFactory) -> None:
    values = normal_train(good(stage="ppo"), workspace=workspace, lf=lf, schema=snapshot())
    assert "enable_jit_checkpoint" not in values


def test_without_an_output_dir_llama_boards_place_is_taken(workspace: Path, lf: LlamaFactory) -> None:
    args = good(model_name_or_path="org/name")
    del args["output_dir"]
    spec = train_spec(args, workspace=workspace, lf=lf, check=False)
    assert str(spec.params["output_dir"]).startswith(str(workspace / "saves" / "name" / "lora" / "train_"))


def test_an_older_transformers_gets_no_argument_that_it_does_not_know(
    workspace: Path, lf: LlamaFactory, tmp_path: Path
) -> None:
    source = lf.file("transformers", "training_args.py")
    assert source is not None
    source.write_text("class TrainingArguments:\n    output_dir: str\n")
    older = LlamaFactory(lf.python, "0.9.4", lf.origin, {**lf.packages, "transformers": "4.57.1"}, lf.folders)
    schema = schema_for(older, Paths.under(tmp_path / "home"))
    assert not schema.exact
    values = normal_train(good(), workspace=workspace, lf=older, schema=schema)
    assert "enable_jit_checkpoint" not in values


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"dataset": "rowz"}, "dataset.undefined"),
        ({"dataset": "rows,other"}, "dataset.undefined"),
        ({"dataset_dir": "elsewhere"}, "dataset.register"),
        ({"model_name_or_path": "/nowhere"}, "model.folder"),
        ({"model_name_or_path": None}, "model.missing"),
        ({"adapter_name_or_path": "./nowhere"}, "adapter.folder"),
        ({"template": "chatmml"}, "template.unknown"),
        ({"lora_rnk": 3}, "argument.unknown"),
        ({"hf_hub_token": "x"}, "argument.secret"),
        ({"cutoff_len": "x"}, "argument.type"),
        ({"do_train": False}, "rule.nothing"),
        ({"deepspeed": "ds_z3.json"}, "deepspeed.file"),
    ],
)
def test_what_would_fail_is_refused_before_anything_is_written(
    workspace: Path, lf: LlamaFactory, change: Args, check: str
) -> None:
    args = good(**change)
    assert ids(args, workspace, lf).get(check) == "error"
    with pytest.raises(RequestError) as caught:
        train_spec(args, workspace=workspace, lf=lf)
    assert caught.value.exit_status == 2
    assert caught.value.hint
    assert not (workspace / "out").exists()


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("{", "dataset.register"),
        ("[]", "dataset.register"),
        ('{"rows": 3}', "dataset.entry"),
        ('{"rows": {}}', "dataset.source"),
        ('{"rows": {"file_name": "gone.json"}}', "dataset.file"),
    ],
)
def test_a_broken_dataset_info_is_named(workspace: Path, lf: LlamaFactory, text: str, check: str) -> None:
    (workspace / "data" / "dataset_info.json").write_text(text)
    assert ids(good(), workspace, lf).get(check) == "error"


def test_no_llamafactory_is_one_clear_error(workspace: Path) -> None:
    assert ids(good(), workspace, None).get("llamafactory.missing") == "error"


def test_clashing_versions_of_torch_are_seen(workspace: Path, lf: LlamaFactory) -> None:
    clashing = LlamaFactory(lf.python, lf.version, "", {**lf.packages, "torch": "2.15.0+cpu"}, lf.folders)
    assert ids(good(), workspace, clashing).get("torch.mismatch") == "error"


def checkpoint(folder: Path, step: int, *, complete: bool = True) -> None:
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    if complete:
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")


def weights(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_text("")


@pytest.mark.parametrize(
    ("make", "overwrite", "expected"),
    [
        (weights, False, {"output_dir.used": "error"}),
        (weights, True, {"output_dir.overwritten": "warning"}),
        (lambda out: checkpoint(out, 5), False, {"output_dir.resumed": "info"}),
        (lambda out: checkpoint(out, 5, complete=False), False, {"output_dir.incomplete": "error"}),
        (lambda out: out.write_text(""), False, {"output_dir.file": "error"}),
    ],
)
def test_what_an_output_dir_already_holds_is_said(
    workspace: Path, lf: LlamaFactory, make: Callable[[Path], object], overwrite: bool, expected: dict[str, str]
) -> None:
    make(workspace / "out")
    args = good(overwrite_output_dir=True) if overwrite else good()
    assert ids(args, workspace, lf) == expected


def test_what_an_earlier_job_will_make_need_not_be_there_yet(workspace: Path, lf: LlamaFactory) -> None:
    later = good(model_name_or_path=str(workspace / "later"), adapter_name_or_path=str(workspace / "adapter"))
    assert "model.folder" in ids(later, workspace, lf)
    assert ids(later, workspace, lf, after=("20261123-231512-base-k3fq",)) == {}


def test_several_gpus_and_a_space_in_the_path(workspace: Path, lf: LlamaFactory) -> None:
    spaced = LlamaFactory(Path("/opt/my env/bin/python"), lf.version, "", lf.packages, lf.folders)
    assert ids(good(), workspace, spaced, gpus=GpuRequest(ids=(0,))) == {}
    assert ids(good(), workspace, spaced, gpus=GpuRequest(ids=(0, 1))) == {"torchrun.space": "error"}


def test_a_dry_run_shows_everything_that_would_be_run(workspace: Path, lf: LlamaFactory, tmp_path: Path) -> None:
    spec = train_spec(good(learning_rate=1e-5), workspace=workspace, lf=lf, gpus=GpuRequest(ids=(1, 3)))
    shown = dry_run(spec, [], tmp_path / "jobs", {"PATH": "/usr/bin"})
    assert shown["ok"] is True
    assert shown["argv"] == [
        str(lf.bin / "llamafactory-cli"),
        "train",
        str(tmp_path / "jobs" / spec.id / "train.yaml"),
    ]
    env = shown["env"]
    assert isinstance(env, dict)
    assert env["PATH"] == f"{lf.bin}:/usr/bin"
    assert env["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert env["LLAMABOARD_WORKDIR"] == str(workspace / "out")
    assert "learning_rate: 1.0e-05\n" in str(shown["yaml"])
    assert not (tmp_path / "jobs").exists()


def test_an_export_is_checked_too(workspace: Path, lf: LlamaFactory) -> None:
    spec = export_spec({"model_name_or_path": "model", "export_dir": "merged"}, workspace=workspace, lf=lf)
    assert spec.params["export_dir"] == str(workspace / "merged")
    assert spec.name == "merged"
    (workspace / "merged").mkdir()
    (workspace / "merged" / "x").write_text("")
    with pytest.raises(RequestError, match="not empty"):
        export_spec({"model_name_or_path": "model", "export_dir": "merged"}, workspace=workspace, lf=lf)
    with pytest.raises(RequestError, match="No folder"):
        export_spec({"model_name_or_path": "model"}, workspace=workspace, lf=lf)


def test_a_push_to_a_hub_is_named_and_refused_where_it_has_to_fail(workspace: Path, lf: LlamaFactory) -> None:
    def found(repository: str, **environ: str) -> dict[str, str]:
        args = {"model_name_or_path": "model", "export_dir": "merged", "export_hub_model_id": repository}
        values = normal_export(args, workspace=workspace)
        checks = preflight.export_checks(values, workspace=workspace, lf=lf, schema=snapshot(), environ=environ)
        return {check.id: check.level for check in checks if check.id.startswith("hub.")}

    assert found("me/my-model", HF_TOKEN="secret") == {"hub.push": "warning"}
    assert found("my-model", HF_TOKEN="secret") == {"hub.push": "warning"}
    assert found("me/my-model") == {"hub.token": "error", "hub.push": "warning"}
    for wrong in ("not a name!!", "a/b/c", "me/.hidden", "me/a--b", "me/a..b", "me/x.git", "我/模型"):
        assert found(wrong, HF_TOKEN="secret") == {"hub.name": "error"}, wrong
    assert found("") == {}


def test_pushing_to_a_hub_needs_the_token_by_name_only(workspace: Path, lf: LlamaFactory) -> None:
    assert train_spec(good(push_to_hub=True), workspace=workspace, lf=lf).needs_env == ("HF_TOKEN",)


def test_a_merge_that_departs_from_its_training_is_told_before_the_start(workspace: Path, lf: LlamaFactory) -> None:
    write_adapter_run(workspace)
    args = {"adapter_name_or_path": str(CHECKPOINT), "finetuning_type": "lora", "export_dir": "merged"}

    def found(**more: object) -> dict[str, str]:
        values = normal_export({**args, **more}, workspace=workspace)
        checks = preflight.export_checks(values, workspace=workspace, lf=lf, schema=snapshot())
        return {check.id: f"{check.message.english()} {check.remedy.english()}" for check in checks}

    assert found(model_name_or_path="base", template="qwen") == {}
    assert found(model_name_or_path="base") == {}, "what is left out contradicts nothing"
    said = found(model_name_or_path="model", template="llama3", enable_thinking=False)
    assert set(said) == {"adapter.base", "prompt.recorded"}
    assert f"was trained on {workspace / 'base'}, and is merged into {workspace / 'model'}" in said["adapter.base"]
    assert said["prompt.recorded"] == (
        "Not as it was trained: template. The model will answer worse. "
        f"{workspace / RUN / 'paddock.json'} says: template=qwen."
    )
