"""What can be exported: runs with their checkpoints, folders and files, and the facts that a run recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from gguf import GGUFWriter

from backend.export.caution import warnings
from backend.export.forecast import Need, forecast
from backend.export.origin import trained_of_gguf
from backend.export.plan import ExportPlan, draft, training_params
from backend.export.source import find_runs, read_run, read_source
from backend.lf.find import LlamaFactory
from backend.lf.hub import local_model
from backend.parity.training import Trained
from backend.train.record import RunFacts, copy_record, read_facts
from data.errors import RequestError
from data.jobs.library import Library

LF = LlamaFactory(Path("/usr/bin/python3"), "0.9.5", "settings", {})


def write_adapter(folder: Path, *, base: str = "owner/base") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(bytes(100))
    return folder


def write_run(folder: Path, *steps: int, end: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if end:
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
        (folder / "adapter_model.safetensors").write_bytes(bytes(50))
    for step in steps:
        write_adapter(folder / f"checkpoint-{step}")
        history = [{"step": s, "eval_loss": 1 / s} for s in steps if s <= step]
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    return folder


def write_record(folder: Path, **values: object) -> None:
    (folder / "paddock.json").write_text(json.dumps({"version": 1, "job": "x", "cutoff_len": 512, **values}))


def test_runs_are_found_newest_first_with_their_checkpoints(tmp_path: Path) -> None:
    old = write_run(tmp_path / "saves" / "m" / "lora" / "old", 5, 10)
    new = write_run(tmp_path / "saves" / "m" / "lora" / "new", 20, end=False)
    elsewhere = write_run(tmp_path / "out")
    (tmp_path / "saves" / "m" / "empty").mkdir()
    for age, run in enumerate((elsewhere, new, old)):
        for folder in (run, *run.glob("checkpoint-*")):
            os.utime(folder, (1000 - age, 1000 - age))
    runs = find_runs(tmp_path, [elsewhere, old])
    assert [run.path for run in runs] == [elsewhere, new, old]
    assert [(c.step, c.kind, c.size_bytes) for c in runs[2].checkpoints] == [
        (None, "adapter", 50),
        (10, "adapter", 100),
        (5, "adapter", 100),
    ]
    assert [c.eval_loss for c in runs[2].checkpoints] == [None, 0.1, 0.2]
    assert read_run(tmp_path / "saves") is None


def test_a_source_is_recognised_by_what_it_holds(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 5)
    write_record(run, template="qwen", enable_thinking=False, default_system="Be kind.")
    facts = RunFacts("qwen", False, "Be kind.", 512, None, str(run / "paddock.json"))
    assert read_source(run / "checkpoint-5").facts == facts
    assert read_source(run / "checkpoint-5").base == "owner/base"
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    copy_record(run / "checkpoint-5", model)
    assert read_source(model).kind == "model"
    assert read_source(model).facts.template == "qwen"
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF....")
    assert read_source(gguf).kind == "gguf"


def test_llama_boards_own_arguments_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "training_args.yaml").write_text("template: llama3\nenable_thinking: false\ncutoff_len: 1024\n")
    assert read_facts(tmp_path) == RunFacts("llama3", False, None, 1024, None, str(tmp_path / "training_args.yaml"))
    (tmp_path / "training_args.yaml").write_text("template: [broken\n")
    assert read_facts(tmp_path) == RunFacts()


def test_what_cannot_be_exported_says_what_to_name_instead(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 5, 7, end=False)
    with pytest.raises(RequestError) as caught:
        read_source(run)
    assert str(run / "checkpoint-7") in caught.value.hint.english()
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RequestError, match="pickled"):
        read_source(tmp_path / "pickled")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(RequestError, match="no GGUF"):
        read_source(tmp_path / "text.gguf")
    writer = GGUFWriter(tmp_path / "lora.gguf", "llama")
    writer.add_type("adapter")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RequestError, match="is an adapter, and no model"):
        read_source(tmp_path / "lora.gguf")
    with pytest.raises(RequestError, match="nothing at"):
        read_source(tmp_path / "absent")


def test_a_model_of_a_hub_is_found_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a folder that is really there is a model's place, too
    snapshots = tmp_path / "hf" / "hub" / "models--owner--base" / "snapshots"
    for commit in ("aaa", "bbb"):
        (snapshots / commit).mkdir(parents=True)
        (snapshots / commit / "config.json").write_text("{}")
    refs = snapshots.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("aaa")
    environ = {"HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
    assert local_model("owner/base", environ) == snapshots / "aaa"
    assert local_model("owner/other", environ) is None
    assert local_model("../../etc", environ) is None
    assert local_model(str(snapshots / "bbb"), environ) == snapshots / "bbb"


def test_the_forecast_counts_what_earlier_steps_keep(tmp_path: Path) -> None:
    needs = [
        Need("export", tmp_path / "merged", 100, 100),
        Need("convert", tmp_path / "merged", 60, 60),
        Need("deploy", tmp_path / "models", 90, 30),
    ]
    (system,) = forecast(needs)
    assert (system.needed_bytes, system.worst) == (250, "deploy")
    assert system.has_room
    (full,) = forecast([*needs, Need("copy", tmp_path, 9 * 10**14, 0)])
    assert not full.has_room
    assert "900 TB are needed while the step copy runs" in full.shortage.english()


def test_a_gguf_is_deployed_as_it_was_converted_and_against_its_record_that_is_said(tmp_path: Path) -> None:
    gguf, library = tmp_path / "x.gguf", Library(tmp_path / "jobs")
    gguf.write_bytes(b"GGUF....")
    recorded = {"version": 1, "job": "j", "template": "qwen", "enable_thinking": False, "cutoff_len": 512}
    as_recorded = {"template": "qwen", "enable_thinking": False, "cutoff_len": 512}
    told = {"template": "chatml", "enable_thinking": False, "default_system": "", "cutoff_len": 512}

    def planned(training: object, run: object) -> ExportPlan:
        sidecar = {"version": 1, "gguf": {"bytes": 8}, "run": run, "training": training}
        gguf.with_name("x.gguf.json").write_text(json.dumps(sidecar))
        return draft(read_source(gguf), tmp_path)

    plan = planned(told, recorded)
    assert training_params(plan) == told
    (note,) = [str(note) for note in warnings(plan, LF, has_gpu=False)]
    assert "Not as it was trained: template, default_system." in note
    assert trained_of_gguf(library, gguf) == Trained("qwen", None, False, cutoff_len=512, source="record")
    assert list(warnings(planned(as_recorded, recorded), LF, has_gpu=False)) == []
    plan = planned(told, None)
    assert training_params(plan) == told
    assert list(warnings(plan, LF, has_gpu=False)) == []
    assert trained_of_gguf(library, gguf) == Trained("chatml", "", False, cutoff_len=512, source="asked")
    assert planned({"template": 7}, recorded).template == "qwen"
    assert planned([], None).template == ""


def test_a_gguf_that_stands_alone_still_knows_its_training_by_its_sidecar(tmp_path: Path) -> None:
    """As it is when somebody has moved the file and its sidecar out of the merged model's folder."""
    gguf = tmp_path / "alone" / "x.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF....")
    run = {"version": 1, "job": "j", "template": "qwen", "enable_thinking": False, "cutoff_len": 512}
    sidecar = gguf.with_name("x.gguf.json")
    sidecar.write_text(json.dumps({"version": 1, "gguf": {"bytes": 8}, "run": run}))
    facts = read_source(gguf).facts
    assert (facts.template, facts.enable_thinking, facts.cutoff_len) == ("qwen", False, 512)
    assert facts.origin == str(sidecar)
    trained = trained_of_gguf(Library(tmp_path / "jobs"), gguf)
    assert trained is not None
    assert (trained.template, trained.source) == ("qwen", "record")
    write_record(gguf.parent, template="llama3")  # of whatever else lies there
    assert read_source(gguf).facts.template == "qwen"
    gguf.write_bytes(b"GGUF another")  # the sidecar is not about this file
    assert read_source(gguf).facts.template == "llama3"
