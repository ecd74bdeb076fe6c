"""GPTQ with the real LLaMA-Factory, gptqmodel and optimum: installed by the command that Paddock names, then run.

On a GPU where there is one; a model as small as this is quantised by a processor, too.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backend.convert.weights import Weight, read_file
from backend.export.plan import Gptq, chain, draft
from backend.export.source import read_source
from backend.lf.find import LlamaFactory
from backend.train.gptq import install_commands, lacks
from data.jobs.status import Status
from tests.real.outside import run
from tests.support import PROGRAMS, Yard

pytestmark = [pytest.mark.real, pytest.mark.slow]

HIDDEN = 128  # of the size of a group, which is quantised together
ADAPT = """
import sys
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
get_peft_model(AutoModelForCausalLM.from_pretrained(sys.argv[1]), LoraConfig(target_modules="all-linear"))
"""


@pytest.fixture(scope="module")
def quantiser(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> LlamaFactory:
    """LLaMA-Factory's environment if it can quantise; else one above it, with what Paddock's command adds."""
    if not list(lacks(lf, has_gpu=True)):
        return lf
    folder = tmp_path_factory.mktemp("gptq") / "env"
    above = LlamaFactory(folder / "bin" / "python", lf.version, "settings", lf.packages, lf.folders)
    # Its Python itself, so that both have the same version; the environment is not changed.
    subprocess.run([str(lf.python), "-m", "venv", str(folder)], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "lf.pth").write_text("\n".join(map(str, lf.folders)))
    for command in install_commands(above):
        done = subprocess.run(command, capture_output=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr.decode()[-2000:]
    checked = subprocess.run([str(above.python), "-m", "pip", "check"], capture_output=True, check=False, cwd="/")
    assert checked.returncode == 0, checked.stdout.decode()  # what LLaMA-Factory needs is still what it has
    found = dataclasses.replace(above, folders=(own, *lf.folders))
    assert not list(lacks(found, has_gpu=True))
    return found


def test_a_model_is_quantised_and_still_is_itself(quantiser: LlamaFactory, yard: Yard, tmp_path: Path) -> None:
    base, out, texts = tmp_path / "base", tmp_path / "base-gptq", tmp_path / "texts.jsonl"
    run(quantiser, PROGRAMS / "tiny_llama.py", base, HIDDEN)
    run(quantiser, "-c", ADAPT, base)  # the next training works, too: what GPTQ brings along breaks some
    texts.write_text(
        "".join(json.dumps({"text": f"{n}. Who are you? I am a tiny model. " * 9}) + "\n" for n in range(9))
    )
    plan = draft(read_source(base), tmp_path)
    gptq = Gptq(out, bits=4, dataset=str(texts), nsamples=16, maxlen=64)
    plan = dataclasses.replace(plan, template="chatml", merge=None, gguf=None, deployment=None, gptq=gptq)
    (spec,) = chain(plan, lf=quantiser)
    yard.launch(spec)
    job = yard.until(spec.id, timeout_s=600)
    assert job.status is Status.SUCCEEDED, job.state.detail.english()
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert (config["bits"], config["quant_method"]) == (4, "gptq")
    was, made = tensors(base), tensors(out)
    names = [name.removesuffix("qweight") for name in made if name.endswith(".qweight")]
    assert len(names) == 14  # seven matrices in each of two layers
    for name in names:
        assert np.corrcoef(unpacked(made, name).ravel(), was[name + "weight"].T.ravel())[0, 1] > 0.98


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return the tensors of ``folder`` as 32-bit numbers."""
    return {weight.name: numbers(weight) for weight in read_file(folder / "model.safetensors")}


def numbers(weight: Weight) -> np.ndarray:
    stored = {"BF16": "<u2", "F16": "<f2", "I32": "<u4"}[weight.dtype]
    found = np.fromfile(weight.path, stored, weight.count, offset=weight.offset).reshape(weight.shape)
    if weight.dtype == "BF16":
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32) if weight.dtype == "F16" else found


def unpacked(made: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the matrix that GPTQ stands for, [in, out]: eight codes in a number, scale and zero by group of inputs."""
    shifts = np.arange(8, dtype=np.uint32) * 4
    codes = (made[name + "qweight"][:, None, :] >> shifts[None, :, None]) & 15
    zeros = (made[name + "qzeros"][:, :, None] >> shifts) & 15
    scales, group = made[name + "scales"], made[name + "g_idx"]
    codes, zeros = codes.reshape(-1, codes.shape[-1]), zeros.reshape(len(zeros), -1)
    return (codes.astype(np.float32) - zeros.astype(np.float32)[group]) * scales[group]
