"""The check of a merge with the real LLaMA-Factory: a tiny model, an adapter trained on it, the merge, both asked."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from backend.export.check import KIND
from backend.export.checked import with_followers
from backend.export.plan import Gptq, draft, gptq_args, merge_args
from backend.export.push import model_files
from backend.export.source import Source
from backend.lf.find import LlamaFactory, find
from backend.train.record import RunFacts
from backend.train.spec import export_spec
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.paths import Paths
from data.settings import load_settings
from tests.hub import digests, serving
from tests.real.outside import run
from tests.support import PROGRAMS, Yard

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAKE_ADAPTER = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
model = get_peft_model(AutoModelForCausalLM.from_pretrained(sys.argv[1]), LoraConfig(target_modules="all-linear", r=4))
torch.manual_seed(1)
for name, weight in model.named_parameters():
    if "lora_B" in name and len(sys.argv) == 3:
        torch.nn.init.normal_(weight, std=0.5)
model.save_pretrained(sys.argv[2])
"""


@pytest.fixture(scope="module")
def lf() -> LlamaFactory:
    paths = Paths.default()
    found = find(load_settings(paths.settings).values, paths)
    if found is None:
        pytest.fail("no LLaMA-Factory: run `paddock setup llamafactory`, or set PADDOCK_LLAMAFACTORY_PYTHON")
    return found


def test_a_merge_is_compared_and_asked_and_a_wrong_one_is_named(lf: LlamaFactory, yard: Yard, tmp_path: Path) -> None:
    base, adapter, merged = tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"
    run(lf, PROGRAMS / "tiny_llama.py", base)
    run(lf, "-c", MAKE_ADAPTER, base, adapter)
    run(lf, "-c", MAKE_ADAPTER, base, tmp_path / "untrained", "untrained")
    args = {
        "model_name_or_path": str(base),
        "adapter_name_or_path": str(adapter),
        "template": "chatml",
        "finetuning_type": "lora",
        "export_dir": str(merged),
        "export_hub_model_id": "me/tiny",
    }
    wanted = export_spec(args, workspace=tmp_path, lf=lf, environ={"HF_TOKEN": "good"})
    export, behind, pushed = with_followers(wanted, check_merge=True)
    params: dict[str, object] = {
        "base": str(base),
        "merged": str(merged),
        "adapters": [str(adapter)],
        "python": str(lf.python),
        "template": "chatml",
        "dtype": "float32",
    }

    def check(name: str, **changes: object) -> JobSpec:
        values = {**params, **changes}
        return JobSpec.new(KIND, name, workspace=str(tmp_path), params=values, after=(export.id,))

    good = check("good")
    idle = check("idle", adapters=[str(tmp_path / "untrained")], merged=str(base))
    wrong = check("wrong", merged=str(base))
    with serving(tmp_path, is_xet=False) as hub:  # xet packs what repeats itself, as these weights do
        yard.launch(export, behind, pushed, good, idle, wrong, environ=hub.environ(yard))
        job = yard.until(good.id, timeout_s=300)
        assert yard.until(pushed.id).status is Status.SUCCEEDED
        names = sorted(path.name for path in model_files(merged))
        assert hub.seen()["files"] == {"me/tiny": digests(merged, names)}
        assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= {*names}
    assert job.status is Status.SUCCEEDED, job.state.detail.english()
    comparison = job.state.result["comparison"]
    assert isinstance(comparison, dict)
    assert comparison == {
        "ok": True,
        "changed": 14,  # seven matrices in each of two layers
        **{name: [] for name in ("unchanged", "strayed", "reshaped", "not_finite", "idle", "absent")},
    }
    assert job.state.result["answers_equal"] is True
    assert job.state.result["adapter_answer"] == job.state.result["merged_answer"]
    twin = yard.until(behind.id)
    assert (twin.status, twin.state.result["comparison"]) == (Status.SUCCEEDED, comparison)
    failed = yard.until(wrong.id)
    assert (failed.status, failed.state.title.english()) == (Status.FAILED, "The merge has not taken")
    assert yard.until(idle.id).state.title.english() == "The adapter was never trained"


ACCEPTED = """
import json, sys
from llamafactory.hparams import get_infer_args
for args in json.load(sys.stdin):
    model, data, finetuning, _generating = get_infer_args(dict(args))
    found = {**vars(model), **vars(data), **vars(finetuning)}
    print(json.dumps({name: found[name] for name in args if name in found}, default=str))
"""


def test_the_arguments_of_merge_and_gptq_are_read_as_they_are_meant(lf: LlamaFactory, tmp_path: Path) -> None:
    """By LLaMA-Factory's own parser: GPTQ itself needs a GPU, its arguments do not."""
    (tmp_path / "adapter").mkdir()
    facts = RunFacts("qwen", False, "Be kind.", 512, None, "paddock.json")
    plan = draft(Source("adapter", tmp_path / "adapter", facts, "owner/base"), tmp_path)
    assert plan.merge is not None
    merge = dataclasses.replace(plan.merge, export_size=2, infer_dtype="float16", export_device="auto")
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "The quick brown fox jumps over the lazy dog."}\n', "utf-8")
    plan = dataclasses.replace(plan, merge=merge, gptq=Gptq(tmp_path / "q", 4, str(texts), 64, 256))
    asked = [merge_args(plan), gptq_args(plan)]
    done = subprocess.run(
        [str(lf.python), "-c", ACCEPTED], input=json.dumps(asked).encode(), capture_output=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    read = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    for args, found in zip(asked, read, strict=True):
        assert set(args) == set(found)
        for name, value in args.items():
            wanted = [value] if name == "adapter_name_or_path" else value
            assert found[name] == wanted, name
