"""What a person has made of an export: what is switched off comes back as it was, what is trained anew is read anew."""

from __future__ import annotations

import json
from pathlib import Path

from backend.export.plan import ExportPlan, draft
from backend.export.source import read_source
from screens.export.drafts import Draft, Drafts
from tests.unit.adapter_run import CHECKPOINT
from tests.unit.model_folder import write_model
from tui.widgets.form import OFF, ON


def adapter(workspace: Path) -> ExportPlan:
    return draft(read_source(workspace / CHECKPOINT), workspace)


def put(made: Draft, **values: str) -> ExportPlan:
    """Set fields one after the other, as a form does."""
    for key, value in values.items():
        made.plan = made.changed(key, value, "")
    return made.plan


def test_a_deployment_that_is_switched_off_and_on_is_as_it_was(workspace: Path) -> None:
    made = Draft(adapter(workspace))
    put(made, name="mine", quantize="q8_0", host="http://gpu:11434", unproven=ON)
    made.edit("SYSTEM short")
    before = made.plan
    put(made, deploy=OFF, outtype="f16")
    assert made.plan.deployment is None
    put(made, outtype="auto")
    assert put(made, deploy=ON) == before


def test_a_gguf_that_is_switched_off_takes_the_deployment_along_there_and_back(workspace: Path) -> None:
    made = Draft(adapter(workspace))
    before = put(made, name="mine", file="elsewhere/own.gguf")
    assert put(made, convert=OFF).steps == ("export", "check")
    assert put(made, convert=ON) == before
    put(made, convert=OFF)
    assert put(made, deploy=ON) == before
    put(made, deploy=OFF, convert=OFF)
    assert put(made, convert=ON).deployment is None


def test_a_usual_name_of_the_gguf_follows_the_type_meanwhile(workspace: Path) -> None:
    made = Draft(adapter(workspace))
    put(made, convert=OFF, infer_dtype="float16")
    plan = put(made, convert=ON)
    assert plan.gguf is not None
    assert plan.gguf.name.endswith("-F16.gguf")
    assert plan.deployment is not None
    assert plan.deployment.gguf == str(plan.gguf)


def test_the_calibration_comes_back_with_the_bits(workspace: Path) -> None:
    made = Draft(adapter(workspace))
    put(made, gptq_bits="4", gptq_dataset="texts.json", gptq_nsamples="7", gptq_dir="there")
    put(made, gptq_bits="")
    gptq = put(made, gptq_bits="8").gptq
    assert gptq is not None
    assert (gptq.bits, gptq.nsamples, gptq.export_dir) == (8, 7, workspace / "there")
    assert gptq.dataset == str(workspace / "texts.json")


def test_a_model_that_is_saved_again_is_saved_as_before(tmp_path: Path) -> None:
    write_model(tmp_path / "whole")
    made = Draft(draft(read_source(tmp_path / "whole"), tmp_path))
    before = put(made, again=ON, infer_dtype="float16", export_dir="there", export_size="2")
    put(made, again=OFF)
    assert put(made, again=ON) == before


def test_weights_that_were_trained_anew_bring_their_facts_and_leave_what_was_changed(workspace: Path) -> None:
    drafts = Drafts()
    made = drafts.choose(adapter(workspace))
    put(made, name="mine", system="Be short.")
    record = next(workspace.glob("saves/**/paddock.json"))
    value = json.loads(record.read_bytes())
    record.write_text(json.dumps({**value, "template": "llama3"}))
    fresh = adapter(workspace)
    again = drafts.choose(fresh)
    assert again is made
    assert again.plan.source == fresh.source
    assert (again.plan.template, again.plan.system) == ("llama3", "Be short.")
    assert again.plan.deployment is not None
    assert again.plan.deployment.name == "mine"
    drafts.drop(fresh.source.path)
    assert drafts.chosen is None
    assert drafts.choose(fresh).plan == fresh
