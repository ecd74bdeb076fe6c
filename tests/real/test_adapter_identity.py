"""Our GGUF adapters against those of llama.cpp's own script, byte for byte: random LoRA adapters of tiny models."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backend.convert.converter import convert_adapter
from backend.convert.folder import ModelFolder
from backend.convert.weights import read_weights
from backend.lf.find import LlamaFactory
from data.gguf import check
from tests import oracle
from tests.families import MODELS
from tests.real.test_convert_identity import difference
from tests.unit.model_folder import write_adapter

pytestmark = [pytest.mark.real, pytest.mark.slow]
TYPES = ("f32", "f16", "bf16", "q8_0")
RANK = 8
# The base models, and the matrices of each that the adapter changes.
ADAPTED = {
    "qwen2": r"(q|k|v|o|gate|up|down)_proj",
    "llama-f32-yarn": r"(q|k|v|o|gate|up|down)_proj|lm_head",
    "gemma-2-f16": r"(q|k|v|o|gate|up|down)_proj",
    "phi-3": r"(qkv|o|gate_up|down)_proj",
    "mixtral": r"(q|k|v|o)_proj|w[123]",
    "deepseek-v3": r"(q_a|q_b|o|gate|up|down)_proj|kv_a_proj_with_mqa",
    "internlm2": r"wqkv|wo|w[123]",
    "granite": r"(q|k)_proj",
}
CHANGES = {"granite": {"alora_invocation_tokens": [1, 2, 3]}}
"""Of adapter_config.json"""


@pytest.fixture(scope="session")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base models, an adapter of each, and llama.cpp's GGUF of each type beside them."""
    root = tmp_path_factory.mktemp("adapters")
    program = oracle.PROGRAMS / "tiny_models.py"
    orders = json.dumps([MODELS[name].order(root / name) for name in ADAPTED]).encode()
    done = subprocess.run([str(lf.python), str(program)], input=orders, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    random = np.random.default_rng(5)
    for name, pattern in ADAPTED.items():
        adapted = re.compile(rf"(.+\.)?({pattern})\.weight")
        shapes = {
            weight.name.removesuffix(".weight"): weight.shape
            for weight in read_weights(ModelFolder(root / name))
            if adapted.fullmatch(weight.name)
        }
        write_adapter(root / f"{name}-lora", root / name, shapes, RANK, random, CHANGES.get(name))
    oracle.convert_adapters(
        lf.python,
        [
            (root / f"{name}-lora", root / name, root / f"{name}-{kind}.gguf", kind)
            for name in ADAPTED
            for kind in TYPES
        ],
    )
    return root


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ADAPTED)
def test_the_file_is_the_one_that_llama_cpp_writes(made: Path, tmp_path: Path, name: str, kind: str) -> None:
    ours = tmp_path / "ours.gguf"
    convert_adapter(made / f"{name}-lora", ours, base=made / name, outtype=kind)
    assert difference(ours, made / f"{name}-{kind}.gguf") == ""
    assert check(ours) == ()
