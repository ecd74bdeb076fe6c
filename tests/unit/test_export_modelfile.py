"""The draft of a Modelfile is what the deployment then writes; a mended one says what the training says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.deploy.request import Deployment
from backend.deploy.work import prompt_of
from backend.export.modelfile import draft, mended
from backend.export.plan import ExportPlan, training_params
from backend.export.plan import draft as draft_plan
from backend.export.source import read_source
from backend.ollama.modelfile import parse
from backend.parity.template import snapshot
from backend.parity.training import gguf_facts
from data.errors import RequestError
from data.paths import Paths
from data.settings import Settings
from tests import tiny_gguf
from tests.unit.llama_cpp_folder import write_unknown_model
from tests.unit.model_folder import write_model

TEMPLATES = ["llama3", "llama2", "chatml", "qwen", "qwen3", "gemma", "mistral", "deepseek3", "alpaca", "default"]


def plan_of(folder: Path, workspace: Path, template: str) -> ExportPlan:
    plan = draft_plan(read_source(folder), workspace, name="m")
    return dataclasses.replace(plan, template=template, cutoff_len=512, gguf=workspace / "m.gguf")


def planned(plan: ExportPlan, workspace: Path) -> ExportPlan:
    deployment = Deployment(gguf=str(workspace / "m.gguf"), name="m", parameters={"temperature": 0.5}, system="")
    return dataclasses.replace(plan, deployment=deployment)


@pytest.mark.parametrize("bos", [True, False], ids=["bos", "no bos"])
def test_the_draft_of_a_folder_is_what_its_gguf_gives(bos: bool, tmp_path: Path) -> None:
    """BOS of the tokenizer's own configuration, and only of config.json, where the converter finds it, too."""
    folder, paths = tmp_path / "base", Paths.under(tmp_path / "home")
    write_model(folder)
    if not bos:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": None}))
    for name in TEMPLATES:
        plan = planned(plan_of(folder, tmp_path, name), tmp_path)
        drafted = draft(plan, Settings(), paths)
        facts = gguf_facts(snapshot().get(name), folder)
        convert(folder, tmp_path / "m.gguf", chat_template=facts.chat_template, add_bos=facts.add_bos)
        assert plan.deployment is not None
        deployment = dataclasses.replace(plan.deployment, training=training_params(plan))
        written = deployment.values(prompt_of(deployment, paths))
        assert (drafted.template, drafted.system) == (written.template, written.system), name
        assert {**drafted.parameters, "stop": 0} == {**written.parameters, "stop": 0}


def test_the_draft_of_a_model_that_only_llama_cpps_script_knows_is_the_same(tmp_path: Path) -> None:
    write_model(tmp_path / "known")
    folders = (tmp_path / "known", write_unknown_model(tmp_path / "unknown"))
    for name in TEMPLATES:
        known, unknown = (
            draft(plan_of(folder, tmp_path, name), Settings(), Paths.under(tmp_path / "home")) for folder in folders
        )
        assert known.commands[1:] == unknown.commands[1:], name


def test_the_draft_of_a_gguf_reads_its_header(tmp_path: Path) -> None:
    tiny_gguf.write(tmp_path / "x.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=True)
    plan = draft_plan(read_source(tmp_path / "x.gguf"), tmp_path)
    made = draft(dataclasses.replace(plan, template="llama3"), Settings(), Paths.under(tmp_path / "home"))
    assert made.parameters["stop"] == ["<|eot_id|>", "<|eom_id|>"]
    assert parse(str(made)) == made
    assert draft(plan, Settings(), Paths.under(tmp_path / "home")).commands[1:] == ()


def test_a_draft_without_weights_or_deployment_says_so(tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    plan = plan_of(tmp_path / "base", tmp_path, "llama3")
    paths = Paths.under(tmp_path / "home")
    with pytest.raises(RequestError, match="Nothing is deployed"):
        draft(dataclasses.replace(plan, deployment=None), Settings(), paths)
    absent = dataclasses.replace(plan, adapters=(tmp_path / "adapter",), base="owner/absent")
    with pytest.raises(RequestError, match="not known yet"):
        draft(absent, Settings(), paths)


def test_a_mended_deployment_says_what_the_training_says_and_keeps_the_rest(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "x.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=True)
    edited = (
        'FROM x\nTEMPLATE """wrong"""\nSYSTEM Be rude.\nPARAMETER stop zzz\nPARAMETER num_ctx 100\n'
        "PARAMETER temperature 0.5\nLICENSE Free\nMESSAGE user Hi\n"
    )
    asked = Deployment(
        gguf=str(file), name="m", edited=edited, training={"template": "llama3", "cutoff_len": 512}, unproven=True
    )
    paths = Paths.under(tmp_path / "home")
    found = mended(asked, paths)
    values, right = found.values(), prompt_of(asked, paths)
    assert right is not None
    assert (values.template, values.system) == (right.template, right.system)
    assert values.parameters == {"stop": right.parameters["stop"], "num_ctx": 512, "temperature": 0.5}
    assert (values.licenses, values.messages, found.unproven) == (("Free",), (), False)
    assert found.training == asked.training
    roomy = dataclasses.replace(asked, edited="PARAMETER num_ctx 4096\n")
    assert mended(roomy, paths).values().parameters["num_ctx"] == 4096
    with pytest.raises(RequestError, match="not known what m was trained on"):
        mended(dataclasses.replace(asked, training={}), paths)
