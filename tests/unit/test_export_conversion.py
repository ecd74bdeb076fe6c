"""The conversion of an export: who makes which type of GGUF, and what it is called, known before anything starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from backend.convert.llama_cpp import Script
from backend.convert.road import Road
from backend.convert.target import SPARE_BYTES
from backend.export.conversion import foresee
from backend.export.needs import needs
from backend.export.plan import ExportPlan, chain, convert_params, draft
from backend.export.source import read_source
from backend.train.gptq import sees_gpu
from data.errors import RequestError
from screens.export.changes import apply, problems
from screens.export.fields import fields
from tests.unit.adapter_run import RUN
from tests.unit.llama_cpp_folder import NOBODY, only, write_unknown_model
from tests.unit.model_folder import write_model, write_weights
from tui.widgets.form import ON, Field


def by_key(plan: ExportPlan) -> dict[str, Field]:
    return {field.key: field for field in fields(plan, unlocked=(), problems=problems(plan), home="/home/mei")}


def file_of(plan: ExportPlan) -> str:
    assert plan.gguf is not None
    assert plan.deployment is None or plan.deployment.gguf == str(plan.gguf)
    assert by_key(plan)["file"].value.endswith(plan.gguf.name)
    return plan.gguf.name


def test_the_files_name_follows_the_type_and_what_decides_it(plan: ExportPlan) -> None:
    small = apply(plan, "outtype", "q4_k_m", home="")
    assert file_of(small) == "base-run-35K-checkpoint-5-Q4_K_M.gguf"
    assert by_key(small)["file"].value == by_key(small)["file"].default, "not marked as changed"
    assert apply(small, "outtype", "auto", home="") == plan
    assert file_of(apply(plan, "infer_dtype", "bfloat16", home="")) == "base-run-35K-checkpoint-5-BF16.gguf"
    assert file_of(apply(plan, "infer_dtype", "float32", home="")) == "base-run-35K-checkpoint-5-F16.gguf"
    again = apply(apply(small, "convert", "off", home=""), "deploy", ON, home="")
    assert file_of(again) == file_of(small)


def test_a_base_that_is_not_here_makes_no_promise_of_size_and_type(plan: ExportPlan) -> None:
    other = apply(plan, "base", "owner/other", home="")
    assert file_of(other) == "base-run-checkpoint-5.gguf"
    assert convert_params(other)["outtype"] == "auto"
    assert file_of(apply(other, "outtype", "q8_0", home="")) == "base-run-checkpoint-5-Q8_0.gguf"
    assert apply(other, "base", plan.base, home="") == plan


def test_a_name_of_ones_own_stays_and_the_usual_one_in_another_folder_follows(plan: ExportPlan) -> None:
    mine = apply(apply(plan, "file", "mine.gguf", home=""), "outtype", "q8_0", home="")
    assert file_of(mine) == "mine.gguf"
    assert "mine.gguf: your own name" in str(by_key(mine)["file"].help)
    assert f"{file_of(plan)}: it follows the type" in str(by_key(plan)["file"].help)
    beside = apply(plan, "file", f"ggufs/{file_of(plan)}", home="")
    assert apply(beside, "outtype", "q8_0", home="").gguf == plan.workspace / "ggufs" / (
        "base-run-35K-checkpoint-5-Q8_0.gguf"
    )


@pytest.mark.parametrize("outtype", ["auto", "bf16", "q8_0", "q4_k_m"])
def test_the_job_gets_the_type_that_the_name_says(plan: ExportPlan, outtype: str) -> None:
    wanted = apply(plan, "outtype", outtype, home="")
    assert file_of(wanted).endswith(f"-{str(convert_params(wanted)['outtype']).upper()}.gguf")


@pytest.mark.parametrize(
    ("config", "dtype", "own"),
    [
        ({"dtype": "bfloat16"}, "F32", "bf16"),
        ({"torch_dtype": "float16"}, "F32", "f16"),
        ({}, "F16", "f16"),
        ({}, "F32", "bf16" if sees_gpu() else "f16"),
        ({"dtype": "float32"}, "F16", "bf16" if sees_gpu() else "f16"),
    ],
)
def test_the_type_of_a_merge_is_known_before_it(
    workspace: Path, config: dict[str, object], dtype: str, own: str
) -> None:
    """As LLaMA-Factory takes it from the base; tests/real/test_export_road.py makes such merges."""
    write_model(workspace / "base", config=config, dtype=dtype)
    assert read_source(workspace / RUN).own_type == own


def test_a_type_with_few_bits_asks_for_its_matrix_at_its_field(plan: ExportPlan, workspace: Path) -> None:
    assert "imatrix" not in by_key(plan)
    wanted = apply(plan, "outtype", "iq2_xxs", home="")
    assert "needs an importance matrix" in str(by_key(wanted)["imatrix"].problem)
    given = apply(wanted, "imatrix", "~/imatrix.gguf", home="/home/mei")
    assert problems(given) == {}
    assert by_key(given)["imatrix"].value == "~/imatrix.gguf"
    assert convert_params(given)["imatrix"] == "/home/mei/imatrix.gguf"
    back = apply(given, "outtype", "bf16", home="")  # the path is kept, and the field says that it is of no use
    assert "no use" in str(by_key(back)["imatrix"].problem)
    assert "imatrix" not in by_key(apply(back, "imatrix", "", home=""))


def test_the_converter_that_was_chosen_is_in_the_job(plan: ExportPlan) -> None:
    assert by_key(plan)["converter"].value == ""
    assert "converter" not in convert_params(plan)
    chosen = apply(plan, "converter", "llama.cpp", home="")
    assert by_key(chosen)["converter"].value == "llama.cpp"
    assert convert_params(chosen)["converter"] == "llama.cpp"
    assert apply(chosen, "converter", "", home="") == plan


def test_who_converts_and_what_is_left_out_is_known_before_the_merge(plan: ExportPlan, workspace: Path) -> None:
    assert foresee(plan, NOBODY).notes() == ()
    write_unknown_model(workspace / "base")
    with pytest.raises(RequestError, match="not known to this converter"):
        foresee(plan, NOBODY)
    script = Script(workspace / "script.py", workspace / "python")
    assert foresee(plan, only(script)).maker == script
    assert foresee(apply(plan, "convert", "off", home=""), NOBODY) == Road()
    elsewhere = dataclasses.replace(plan, base="owner/absent")
    assert foresee(elsewhere, NOBODY) == Road()
    with pytest.raises(RequestError, match="There is no convert_hf"):
        foresee(dataclasses.replace(elsewhere, converter="llama.cpp"), NOBODY)


def test_a_model_with_eyes_is_said_to_lose_them_before_the_start(workspace: Path) -> None:
    weights = write_model(workspace / "eyes", config={"architectures": ["Qwen2VLForConditionalGeneration"]})
    patches = {f"visual.blocks.{number}.norm.weight": weights["model.norm.weight"] for number in range(3)}
    write_weights(workspace / "eyes", weights | patches)
    (note,) = foresee(draft(read_source(workspace / "eyes"), workspace), NOBODY).notes()
    assert note.english() == "The GGUF will hold the model's text only: 3 weights of its eyes are left out."


@pytest.mark.parametrize("outtype", ["q4_k_m", "q8_0"])
def test_a_model_is_not_quantised_twice(plan: ExportPlan, outtype: str) -> None:
    assert plan.deployment is not None
    twice = dataclasses.replace(plan.deployment, quantize="q4_K_M")
    with pytest.raises(RequestError, match="quantised twice"):
        chain(dataclasses.replace(plan, outtype=outtype, deployment=twice, merge=None), lf=None)


def test_a_type_of_llama_quantize_needs_room_for_the_file_in_16_bits_too(plan: ExportPlan, workspace: Path) -> None:
    (wide,) = [need for need in needs(plan, None) if need.step == "convert"]
    (made,) = [need for need in needs(dataclasses.replace(plan, outtype="q4_k_m"), None) if need.step == "convert"]
    assert made.kept_bytes < wide.kept_bytes
    assert made.peak_bytes == wide.kept_bytes + made.kept_bytes + SPARE_BYTES
