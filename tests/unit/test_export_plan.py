"""The plan of an export: what is drafted, what a field changes, and the chain that comes of it."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path
from typing import cast

import pytest

from backend.convert.road import Road
from backend.export import modelfile
from backend.export.caution import warnings
from backend.export.conversion import foresee
from backend.export.needs import needs
from backend.export.plan import (
    ExportPlan,
    chain,
    draft,
    merge_args,
)
from backend.export.settle import note, settle
from backend.export.source import read_source
from backend.lf.find import LlamaFactory
from backend.ollama.name import model_name, parse_name
from backend.train.record import copy_record, merge_of
from backend.train.spec import normal_export
from data.errors import RequestError
from data.paths import Paths
from data.settings import Settings
from screens.export.changes import apply, problems
from screens.export.fields import fields
from tests.unit.adapter_run import CHECKPOINT, RUN
from tests.unit.llama_cpp_folder import NOBODY
from tests.unit.model_folder import write_model
from tui.exporting import look_ahead
from tui.widgets.form import OFF, ON, Field

LF = LlamaFactory(Path("/usr/bin/python3"), "0.9.5", "settings", {"torch": "2.11.0", "torchaudio": "2.11.0"})


def by_key(plan: ExportPlan, unlocked: tuple[str, ...] = ()) -> dict[str, Field]:
    return {field.key: field for field in fields(plan, unlocked=unlocked, problems=problems(plan), home="/home/mei")}


def test_a_draft_is_the_whole_road_with_the_runs_own_prompt(plan: ExportPlan, workspace: Path) -> None:
    assert plan.steps == ("export", "check", "convert", "deploy")
    assert (plan.template, plan.thinking, plan.cutoff_len) == ("qwen", False, 512)
    assert plan.merge is not None
    assert plan.merge.export_dir == workspace / "models" / "base-run-checkpoint-5"
    assert plan.gguf == plan.merge.export_dir / "base-run-35K-checkpoint-5-F16.gguf"
    assert plan.deployment is not None
    assert plan.deployment.name == "base-run-checkpoint-5"
    specs = chain(plan, lf=LF)
    assert [spec.kind for spec in specs] == ["export", "check", "convert", "deploy"]
    assert [spec.after for spec in specs] == [(), (specs[0].id,), (specs[1].id,), (specs[2].id,)]
    assert {spec.chain.title for spec in specs if spec.chain} == {"export base-run-checkpoint-5"}


def test_what_the_training_decided_is_locked_until_it_is_unlocked(plan: ExportPlan) -> None:
    shown = by_key(plan)
    assert all(shown[key].locked is not None for key in ("template", "thinking", "system", "cutoff_len"))
    assert by_key(plan, ("template",))["template"].locked is None
    changed = apply(plan, "template", "chatml", home="")
    assert [str(note) for note in warnings(changed, LF, has_gpu=True)] == [
        "Not as it was trained: template. The model will answer worse."
    ]
    assert list(warnings(plan, LF, has_gpu=False)) == []


def test_fields_change_just_what_they_name(plan: ExportPlan, workspace: Path) -> None:
    moved = apply(plan, "export_dir", "elsewhere", home="")
    assert moved.merge is not None
    assert moved.merge.export_dir == workspace / "elsewhere"
    assert moved.gguf == workspace / "elsewhere" / "base-run-35K-checkpoint-5-F16.gguf"  # the file goes with its folder
    assert moved.deployment is not None
    assert moved.deployment.gguf == str(moved.gguf)
    assert by_key(moved)["export_dir"].value == "elsewhere"
    assert apply(plan, "file", "~/x.gguf", home="/home/mei").gguf == Path("/home/mei/x.gguf")
    assert apply(plan, "quantize", "q4_K_M", home="").deployment == dataclasses.replace(
        plan.deployment or pytest.fail("no deployment"), quantize="q4_K_M"
    )
    without = apply(plan, "convert", "off", home="")
    assert without.steps == ("export", "check")
    assert apply(without, "deploy", ON, home="").steps == ("export", "check", "convert", "deploy")
    assert apply(plan, "deploy", "off", home="").steps == ("export", "check", "convert")


@pytest.mark.parametrize(
    ("key", "value"), [("export_size", "0"), ("export_size", "x"), ("cutoff_len", "-1"), ("export_dir", "")]
)
def test_values_that_cannot_be_meant_are_refused_in_words(plan: ExportPlan, key: str, value: str) -> None:
    with pytest.raises(RequestError) as caught:
        apply(plan, key, value, home="")
    assert caught.value.title


def test_problems_stand_at_their_fields(plan: ExportPlan) -> None:
    assert problems(plan) == {}
    bad = apply(apply(plan, "name", "a b", home=""), "base", "", home="")
    assert set(problems(bad)) == {"name", "base"}
    assert by_key(bad)["name"].problem is not None


def test_a_model_is_published_unproven_only_when_that_is_asked_for(plan: ExportPlan) -> None:
    assert by_key(plan)["unproven"].value == OFF
    assert "unproven" not in chain(plan, lf=LF)[-1].params
    insisted = apply(plan, "unproven", ON, home="")
    assert chain(insisted, lf=LF)[-1].params["unproven"] is True
    assert apply(insisted, "unproven", OFF, home="") == plan


def test_weights_of_one_run_meet_neither_in_a_folder_nor_under_a_name(workspace: Path) -> None:
    run = workspace / RUN
    end, step = (draft(read_source(path), workspace) for path in (run, run / "checkpoint-5"))
    assert end.merge is not None
    assert step.merge is not None
    assert end.deployment is not None
    assert step.deployment is not None
    assert end.merge.export_dir != step.merge.export_dir
    assert end.gguf != step.gguf
    assert end.deployment.name != step.deployment.name


def merged(plan: ExportPlan) -> Path:
    """Leave in the folder of ``plan`` what its merge does; return the folder."""
    assert plan.merge is not None
    folder = plan.merge.export_dir
    write_model(folder)
    copy_record(plan.adapters[-1], folder, merge_of(normal_export(merge_args(plan), workspace=plan.workspace)))
    return folder


def test_an_export_that_is_repeated_uses_its_merge_again(plan: ExportPlan, workspace: Path) -> None:
    assert settle(plan) == plan
    folder = merged(plan)
    again = settle(plan)
    assert again.steps == ("check", "convert", "deploy")
    assert again.model_folder == folder
    assert chain(again, lf=LF)[0].after == ()
    assert "again" in str(by_key(again)["export_dir"].help)
    assert [str(one) for one in note(again)] == [f"This very merge is in {folder.name} already: it is used again."]
    anew = settle(apply(again, "export_dir", "models/other", home=""))
    assert anew.steps[0] == "export"


def test_a_merge_whose_base_is_gone_is_counted_and_used_and_not_checked(plan: ExportPlan, workspace: Path) -> None:
    folder = merged(plan)
    (workspace / "base").rename(workspace / "moved")
    again = settle(draft(read_source(workspace / CHECKPOINT), workspace))
    assert again.steps == ("convert", "deploy")
    assert str(list(note(again))[1]) == (
        f"It is not checked: its base, {workspace / 'base'}, is not on this machine any more."
    )
    assert [need.step for need in needs(again, None)] == ["convert"]
    assert modelfile.draft(again, Settings(), Paths.under(workspace / "home")).parameters["num_ctx"] == 512
    assert foresee(again, NOBODY) == Road()
    (folder / "config.json").write_text("{}")
    with pytest.raises(RequestError):
        foresee(again, NOBODY)
    (workspace / "moved").rename(workspace / "base")
    assert settle(again).steps == ("check", "convert", "deploy")


def test_a_base_folder_that_is_gone_is_said_to_be(plan: ExportPlan, workspace: Path) -> None:
    (workspace / "base").rename(workspace / "moved")
    with pytest.raises(RequestError, match=f"There is no folder {workspace / 'base'}") as caught:
        chain(plan, lf=LF)
    assert "the base model" in str(caught.value.hint)


def test_a_push_comes_after_the_check_and_what_follows_does_not_wait_for_it(plan: ExportPlan) -> None:
    pushed = apply(plan, "export_hub_model_id", "me/model", home="")
    assert pushed.steps == ("export", "check", "push", "convert", "deploy")
    export, check, push, convert, _deploy = chain(pushed, lf=LF, environ={"HF_TOKEN": "secret"})
    assert "export_hub_model_id" not in cast("dict[str, object]", export.params["args"])
    assert [(spec.after, spec.needs_env) for spec in (export, check, push, convert)] == [
        ((), ()), ((export.id,), ()), ((check.id,), ("HF_TOKEN",)), ((check.id,), ()),
    ]  # fmt: skip
    assert push.params == {"folder": str(pushed.model_folder), "repository": "me/model"}
    merged(plan)
    assert settle(pushed).steps == ("check", "push", "convert", "deploy")


@pytest.mark.parametrize("change", ["dtype", "adapter", "base", "adapters", "template"])
def test_another_merge_goes_into_the_next_free_folder(plan: ExportPlan, workspace: Path, change: str) -> None:
    folder = merged(plan)
    match change:
        case "dtype":
            other = apply(plan, "infer_dtype", "float16", home="")
        case "template":  # the merge's tokenizer has what the other template needs
            other = apply(plan, "template", "chatml", home="")
        case "base":
            other = apply(plan, "base", "owner/other", home="")
        case "adapters":
            other = dataclasses.replace(plan, adapters=(workspace / "a", *plan.adapters))
        case _:  # the training went on into the same folder
            (plan.source.path / "adapter_model.safetensors").write_bytes(bytes(65))
            other = plan
    moved = settle(other)
    assert moved.merge is not None
    assert moved.merge.export_dir == folder.with_name(f"{folder.name}-2")
    assert moved.gguf is not None
    assert moved.gguf.parent == moved.merge.export_dir
    assert moved.deployment is not None
    assert moved.deployment.gguf == str(moved.gguf)
    assert moved.steps[0] == "export"
    shown = by_key(moved)
    assert shown["export_dir"].value == shown["export_dir"].default
    assert shown["file"].value == shown["file"].default
    assert "holds something else" in str(next(note(moved)))
    assert settle(moved) == moved


def test_a_folder_that_a_person_named_is_refused_where_it_is_used(plan: ExportPlan, workspace: Path) -> None:
    (workspace / "mine").mkdir()
    (workspace / "mine" / "letter").write_text("Dear")
    named = settle(apply(plan, "export_dir", "mine", home=""))
    assert named.merge is not None
    assert named.merge.export_dir == workspace / "mine"
    with pytest.raises(RequestError, match="not empty"):
        chain(named, lf=LF)


def test_several_adapters_are_merged_one_after_the_other(plan: ExportPlan, workspace: Path) -> None:
    both = dataclasses.replace(plan, adapters=(workspace / "a", plan.source.path))
    assert merge_args(both)["adapter_name_or_path"] == f"{workspace / 'a'},{plan.source.path}"


def test_a_whole_model_is_not_merged_and_a_gguf_not_converted(workspace: Path) -> None:
    whole = draft(read_source(workspace / "base"), workspace)
    assert whole.steps == ("convert", "deploy")
    assert whole.gguf == workspace / "base" / "base-35K-F16.gguf"
    (workspace / "x.gguf").write_bytes(b"GGUF")
    ready = draft(read_source(workspace / "x.gguf"), workspace)
    assert ready.steps == ("deploy",)
    assert ready.deployment is not None
    assert ready.deployment.gguf == str(workspace / "x.gguf")


def test_a_whole_model_can_be_saved_again_and_what_follows_is_made_of_that(workspace: Path) -> None:
    whole = draft(read_source(workspace / "base"), workspace)
    shown = by_key(whole)
    assert (shown["again"].value, shown["again"].default) == (OFF, OFF)
    assert not {"export_dir", "infer_dtype", "export_hub_model_id", "base", "prompt"} & shown.keys()
    again = settle(apply(whole, "again", ON, home=""))
    assert again.steps == ("export", "convert", "deploy")
    shown = by_key(again)
    assert {"export_dir", "export_size", "infer_dtype", "export_device", "export_hub_model_id"} <= shown.keys()
    assert not {"base", "prompt"} & shown.keys()
    assert again.merge is not None
    assert again.merge.export_dir == workspace / "models" / "base"
    assert shown["export_dir"].value == shown["export_dir"].default
    args = merge_args(apply(again, "export_size", "2", home=""))
    assert (args["model_name_or_path"], args["export_size"]) == (str(workspace / "base"), 2)
    assert "adapter_name_or_path" not in args
    assert again.gguf is not None
    assert again.gguf.parent == again.merge.export_dir
    assert again.deployment is not None
    assert again.deployment.gguf == str(again.gguf)
    specs = chain(again, lf=LF)
    assert [(spec.kind, spec.after) for spec in specs] == [
        ("export", ()), ("convert", (specs[0].id,)), ("deploy", (specs[1].id,)),
    ]  # fmt: skip
    assert specs[1].params["source"] == str(again.merge.export_dir)
    assert [need.step for need in needs(again, workspace / "ollama")] == ["export", "convert", "deploy"]
    assert apply(again, "again", OFF, home="") == whole


def test_a_model_that_lies_where_it_would_be_saved_again_goes_into_the_next_folder(workspace: Path) -> None:
    write_model(workspace / "models" / "robin", config={"dtype": "float16"})
    whole = draft(read_source(workspace / "models" / "robin"), workspace)
    again = settle(apply(whole, "again", ON, home=""))
    assert again.merge is not None
    assert again.merge.export_dir == workspace / "models" / "robin-2"
    assert again.gguf == workspace / "models" / "robin-2" / "robin-35K.gguf", "its type is LLaMA-Factory's to decide"
    assert [str(one) for one in note(again)] == ["robin holds something else: the model is saved in robin-2."]
    half = apply(again, "infer_dtype", "float16", home="")
    assert half.gguf == workspace / "models" / "robin-2" / "robin-35K-F16.gguf"


def test_the_room_is_counted_from_the_bases_shapes(plan: ExportPlan, workspace: Path) -> None:
    found = {need.step: need for need in needs(plan, workspace / "ollama")}
    weights = (workspace / "base" / "model.safetensors").stat().st_size
    assert weights <= found["export"].peak_bytes < weights + 40_000_000
    assert 0 < found["convert"].kept_bytes <= weights
    assert found["deploy"].peak_bytes == 2 * found["convert"].kept_bytes
    assert needs(dataclasses.replace(plan, base="owner/absent"), None) == []


def test_a_template_that_does_not_exist_is_refused_before_anything_starts(workspace: Path) -> None:
    (workspace / "model.gguf").write_bytes(b"GGUF")
    wanted = dataclasses.replace(draft(read_source(workspace / "model.gguf"), workspace), template="llama-3")
    with pytest.raises(RequestError) as raised:
        look_ahead(Paths.under(workspace / "home"), Settings(), {"PATH": "/nowhere"}, wanted, None, replaces=False)
    assert "llama3" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("title", "name"),
    [("Qwen2.5-7B run 1", "qwen2.5-7b-run-1"), ("-x.", "x"), ("A_b", "a_b"), ("modèle", "modele"), ("ｑ２：x", "q2-x")],
)
def test_any_title_becomes_a_name_that_ollama_takes(title: str, name: str) -> None:
    assert model_name(title) == name


def test_titles_that_ollamas_letters_cannot_tell_apart_get_names_that_differ() -> None:
    titles = ("模型", "我的 模型", "客服v2", "法律v2", "v2", "모델", "…")
    names = [model_name(title) for title in titles]
    assert len({*names}) == len(titles)
    assert [str(parse_name(name)) for name in names] == [f"{name}:latest" for name in names]
    assert names == [model_name(title) for title in titles]
    assert names[2].startswith("v2-")
    assert names[0].startswith("model-")
    assert model_name("모델") == model_name(unicodedata.normalize("NFD", "모델"))
