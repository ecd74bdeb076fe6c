"""What speaks against an export, said before its start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from backend.export.caution import warnings
from backend.export.plan import ExportPlan, chain
from backend.lf.find import LlamaFactory
from data.errors import RequestError
from screens.export.changes import apply, problems
from screens.export.drafts import Draft
from tests.unit.model_folder import write_model
from tui.widgets.form import ON

LF = LlamaFactory(Path("/usr/bin/python3"), "0.9.5", "settings", {"torch": "2.11.0", "torchaudio": "2.11.0"})


def test_an_adapter_in_another_base_than_its_own_is_said_before_the_start(plan: ExportPlan, workspace: Path) -> None:
    def said(wanted: ExportPlan) -> list[str]:
        return [str(note) for note in warnings(wanted, LF, has_gpu=True)]

    own = workspace / "base"
    (workspace / "link").symlink_to(own)
    for same in ("base", f"{own}/", str(workspace / "link")):
        assert said(apply(plan, "base", same, home="")) == [], same
    write_model(workspace / "instruct", config={"dtype": "float16"})
    (note,) = said(apply(plan, "base", str(workspace / "instruct"), home=""))
    assert f"run/checkpoint-5 was trained on {own}, and is merged into {workspace / 'instruct'}" in note
    (note,) = said(apply(plan, "base", "owner/other", home=""))
    assert f"was trained on {own}, and is merged into owner/other" in note
    other = workspace / "saves" / "other"
    other.mkdir()
    (other / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/other"}')
    (note,) = said(dataclasses.replace(plan, adapters=(*plan.adapters, other)))
    assert f"saves/other was trained on owner/other, and is merged into {own}" in note


def test_what_leaves_the_machine_or_goes_unproven_is_said_before_the_start(plan: ExportPlan) -> None:
    for key, value, word in (
        ("export_hub_model_id", "me/my-model", "pushed to me/my-model"),
        ("unproven", ON, "Unproven: base-run-checkpoint-5"),
    ):
        (note,) = warnings(apply(plan, key, value, home=""), LF, has_gpu=True)
        assert word in str(note)
    assert [str(note) for note in warnings(plan, None, has_gpu=True)] == [
        "There is no LLaMA-Factory here to say what was trained. The model gets its name without a proof."
    ]
    assert plan.deployment is not None
    edited = dataclasses.replace(plan, deployment=dataclasses.replace(plan.deployment, edited="SYSTEM short"))
    assert [str(note) for note in warnings(edited, LF, has_gpu=True)] == [
        "The Modelfile is edited: it goes to Ollama as you wrote it."
    ]


def test_what_a_later_line_of_an_edited_modelfile_replaces_is_said_before_the_start(plan: ExportPlan) -> None:
    def said(text: str) -> list[str]:
        assert plan.deployment is not None
        edited = dataclasses.replace(plan, deployment=dataclasses.replace(plan.deployment, edited=text))
        return [str(note) for note in warnings(edited, LF, has_gpu=True)][1:]

    assert said("SYSTEM one\nPARAMETER top_k 1\nSYSTEM two") == [
        "SYSTEM on line 1 does not count: line 3 says it again."
    ]
    assert said("PARAMETER top_k 1\nPARAMETER top_p 0.5\nPARAMETER top_k 2\nPARAMETER top_k 3") == [
        "PARAMETER top_k on line 1 does not count: line 4 says it again."
    ]
    assert not said("PARAMETER stop a\nPARAMETER stop b\nMESSAGE user a\nMESSAGE user b\nLICENSE a\nLICENSE b")
    assert not said("SYSTEM one\nSYSTEM two\nNONSENSE")


def test_a_modelfile_that_was_edited_for_another_template_is_said_before_the_start(plan: ExportPlan) -> None:
    made = Draft(plan)
    made.edit("SYSTEM short")
    made.edit("SYSTEM shorter")
    assert "before" not in str([str(note) for note in warnings(made.plan, LF, has_gpu=True)])
    made.plan = made.changed("template", "llama3", "")
    made.edit("SYSTEM shortest")
    said = [str(note) for note in warnings(made.plan, LF, has_gpu=True)]
    assert any("edited before these were changed: template (qwen → llama3)." in note for note in said)
    made.edit("")
    made.edit("SYSTEM anew")
    assert "before" not in str([str(note) for note in warnings(made.plan, LF, has_gpu=True)])


def test_a_push_that_has_to_fail_is_refused_before_the_merge(plan: ExportPlan) -> None:
    pushed = apply(plan, "export_hub_model_id", "me/my-model", home="")
    with pytest.raises(RequestError, match="needs HF_TOKEN"):
        chain(pushed, lf=LF, environ={})
    assert "push" in [spec.kind for spec in chain(pushed, lf=LF, environ={"HF_TOKEN": "secret"})]
    wrong = apply(plan, "export_hub_model_id", "not a name!!", home="")
    assert "no repository" in str(problems(wrong)["export_hub_model_id"])
    assert "export_hub_model_id" not in problems(pushed)
    with pytest.raises(RequestError, match="no repository"):
        chain(wrong, lf=LF, environ={"HF_TOKEN": "secret"})


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("8192", "Prompts may have 8192 tokens, and nothing longer than 512 was ever trained on (cutoff_len)."),
        ("256", "Prompts are cut at 256 tokens, and the training saw up to 512 (cutoff_len)."),
        ("", "The longest prompt is left open; the training saw 512 tokens (cutoff_len)."),
        ("512", None),
    ],
)
def test_a_longest_prompt_that_is_not_the_trainings_is_said(plan: ExportPlan, tokens: str, said: str | None) -> None:
    changed = apply(plan, "cutoff_len", tokens, home="")
    assert [str(note) for note in warnings(changed, LF, has_gpu=True)] == ([said] if said else [])
    assert (changed.cutoff_len == 512) == (said is None)
