"""A quantised export: its place in the chain, and what is said before it starts of all that it needs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from backend.export.caution import warnings
from backend.export.plan import ExportPlan, chain, draft, gptq_args
from backend.export.settle import settle
from backend.export.source import read_source
from backend.lf.find import LlamaFactory
from backend.train.gptq import dataset_checks
from data.errors import RequestError
from screens.export.changes import apply, problems
from screens.export.fields import fields
from tests.unit.adapter_run import CHECKPOINT, write_adapter_run
from tui.wording import work_word

LF = LlamaFactory(Path("/usr/bin/python3"), "0.9.5", "settings", {"llamafactory": "0.9.5", "torch": "2.11.0"})
LONG = {"text": "a text of some length " * 100}


@pytest.fixture
def plan(tmp_path: Path) -> ExportPlan:
    write_adapter_run(tmp_path)
    return draft(read_source(tmp_path / CHECKPOINT), tmp_path)


def shown(plan: ExportPlan, key: str) -> str:
    drawn = fields(plan, unlocked=(), problems=problems(plan), home="/home/mei")
    return next(str(field.value) for field in drawn if field.key == key)


def test_gptq_is_a_second_export_of_the_merged_model(plan: ExportPlan, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(json.dumps(LONG))
    wanted = apply(apply(plan, "gptq_bits", "4", home=""), "gptq_dataset", "texts.jsonl", home="")
    assert wanted.steps == ("export", "check", "gptq", "convert", "deploy")
    args = gptq_args(apply(wanted, "gptq_maxlen", "512", home=""))
    assert args["model_name_or_path"] == str(wanted.model_folder)
    assert args["export_quantization_bit"] == 4
    assert args["export_quantization_dataset"] == str(tmp_path / "texts.jsonl")
    assert args["export_quantization_maxlen"] == 512
    assert shown(wanted, "gptq_dataset") == "texts.jsonl"
    assert "adapter_name_or_path" not in args
    specs = chain(wanted, lf=LF)
    assert specs[3].after == (specs[1].id,)  # the GGUF does not fail with the GPTQ model
    assert [work_word(spec) for spec in specs] == ["merge", "merge check", "quantisation", "GGUF", "deployment"]


def test_a_second_gptq_export_goes_into_a_folder_of_its_own_unless_one_is_named(plan: ExportPlan) -> None:
    wanted = settle(apply(plan, "gptq_bits", "4", home=""))
    assert wanted.gptq is not None
    first = wanted.gptq.export_dir
    assert shown(wanted, "gptq_dir") == f"models/{wanted.model_folder.name}-gptq"
    first.mkdir(parents=True)
    (first / "model.safetensors").touch()
    again = settle(wanted)
    assert again.gptq is not None
    assert again.gptq.export_dir == first.with_name(f"{first.name}-2")
    assert gptq_args(apply(again, "gptq_dataset", "owner/texts", home=""))["export_dir"] == f"{first}-2"
    named = settle(apply(again, "gptq_dir", f"models/{first.name}", home=""))
    assert named.gptq is not None
    assert named.gptq.export_dir == first


def test_gptq_without_texts_is_refused_before_the_start(plan: ExportPlan) -> None:
    wanted = apply(plan, "gptq_bits", "4", home="")
    assert "gptq_dataset" in problems(wanted)
    with pytest.raises(RequestError, match="needs texts"):
        chain(wanted, lf=LF)
    with pytest.raises(RequestError, match="There is no file"):
        chain(apply(wanted, "gptq_dataset", "absent.jsonl", home=""), lf=LF)
    assert chain(apply(wanted, "gptq_dataset", "owner/texts", home=""), lf=LF)


@pytest.mark.parametrize(
    ("name", "text", "maxlen", "found"),
    [
        ("list.json", json.dumps([LONG, LONG]), 1024, None),
        ("lines.jsonl", f"{json.dumps(LONG)}\n\n{json.dumps(LONG)}\n", 1024, None),
        ("alpaca.json", json.dumps([LONG, {"instruction": "Hi"}]), 1024, "Not every row of .* has a field text"),
        ("number.jsonl", json.dumps({"text": 1}), 1024, "Not every row of .* has a field text"),
        ("short.jsonl", json.dumps({"text": "too short"}), 16, "Every text of .* is shorter than 16 tokens"),
        ("just.jsonl", json.dumps({"text": "too short"}), 8, None),
        ("usual.jsonl", json.dumps({"text": "too short"}), None, "Every text of .* is shorter than 1024 tokens"),
        ("broken.json", "[{", 1024, None),  # LLaMA-Factory says what is wrong with it
        ("plain.txt", "a line", 1024, None),  # each line is a text, and the rule is that of another reader
    ],
)
def test_texts_that_cannot_calibrate_are_named(
    tmp_path: Path, name: str, text: str, maxlen: int | None, found: str | None
) -> None:
    path = tmp_path / name
    path.write_text(text)
    args: dict[str, object] = {"export_quantization_bit": 4, "export_quantization_dataset": str(path)}
    if maxlen is not None:
        args["export_quantization_maxlen"] = maxlen
    messages = [check.message.english() for check in dataset_checks(args)]
    if found is None:
        assert not messages
    else:
        (message,) = messages
        assert re.search(found, message)
    assert not list(dataset_checks({**args, "export_quantization_bit": None}))


def test_what_gptq_lacks_here_is_said_with_a_command_that_keeps_the_environment(plan: ExportPlan) -> None:
    wanted = apply(plan, "gptq_bits", "4", home="")
    gpu, packages = (str(note) for note in warnings(wanted, LF, has_gpu=False))
    assert "none is seen here" in gpu
    before, _, command = packages.partition(" Install: ")
    assert before.endswith("lacks gptqmodel, optimum.")
    builder, words = (shlex.split(part) for part in command.split(" && "))
    install = ["/usr/bin/python3", "-m", "pip", "install"]
    assert builder == [*install, "setuptools>=77.0.1,<82"]
    assert words[:5] == [*install, "--no-build-isolation"]
    assert {"llamafactory==0.9.5", "torch==2.11.0"} < set(words)
    assert [str(note) for note in warnings(wanted, LF, has_gpu=True)] == [packages]
