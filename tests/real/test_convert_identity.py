"""Our GGUFs against those of llama.cpp's own script, byte for byte: tiny random models under real vocabularies."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.convert.naming import counts_of, file_name
from backend.demo.base import gguf_path
from backend.lf.find import LlamaFactory
from data.gguf import Array, check, read_header
from tests import oracle
from tests.families import MODELS
from tests.real.demo import DemoRuns
from tests.unit.model_folder import write_model

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAME = "Paddock Test"
DEMO_TYPES = ("bf16", "f16", "f32", "q8_0")


@pytest.fixture(scope="session")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and llama.cpp's GGUF of each type beside them."""
    root = tmp_path_factory.mktemp("identity")
    program = oracle.PROGRAMS / "tiny_models.py"
    orders = json.dumps([model.order(root / name) for name, model in MODELS.items()]).encode()
    done = subprocess.run([str(lf.python), str(program)], input=orders, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    for name, model in MODELS.items():
        model.write_tokenizer(root / name)
    oracle.convert_all(
        lf.python,
        [
            oracle.Conversion(root / name, root / f"{name}-{kind}.gguf", kind, NAME, None if model.real else model.rule)
            for name, model in MODELS.items()
            for kind in model.types
        ],
    )
    return root


def difference(ours: Path, theirs: Path) -> str:
    """Say where two GGUFs part, key by key and tensor by tensor; empty where they are the same file."""
    if ours.read_bytes() == theirs.read_bytes():
        return ""
    a, b = read_header(ours), read_header(theirs)
    if list(a.keys) != list(b.keys):
        return f"keys: {list(a.keys)} != {list(b.keys)}"
    for name, one in a.keys.items():
        two = b.keys[name]
        same = (
            list(one.values()) == list(two.values())
            if isinstance(one, Array) and isinstance(two, Array)
            else one == two
        )
        if not same or a.types[name] != b.types[name]:
            return f"{name}: {one} ({a.types[name]}) != {two} ({b.types[name]})"
    for one, two in zip(a.tensors, b.tensors, strict=False):
        if one != two:
            return f"{one} != {two}"
        parts = [
            file.read_bytes()[header.data_offset + one.offset :][: one.size_bytes]
            for file, header in ((ours, a), (theirs, b))
        ]
        if parts[0] != parts[1]:
            at = next(number for number, pair in enumerate(zip(*parts, strict=True)) if pair[0] != pair[1])
            return f"{one.name} from byte {at}: {parts[0][at : at + 8].hex()} != {parts[1][at : at + 8].hex()}"
    return f"lengths: {len(a.tensors)} {ours.stat().st_size} != {len(b.tensors)} {theirs.stat().st_size}"


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, model in MODELS.items() for kind in model.types])
def test_the_file_is_the_one_that_llama_cpp_writes(made: Path, tmp_path: Path, name: str, kind: str) -> None:
    ours = tmp_path / "ours.gguf"
    convert(made / name, ours, outtype=kind, name=NAME)
    assert difference(ours, made / f"{name}-{kind}.gguf") == ""
    assert check(ours) == ()


def test_the_file_is_named_as_llama_cpp_names_it(lf: LlamaFactory, tmp_path: Path) -> None:
    titles = ("Robin-35K-Instruct-sft", "robin", "robin-7B-v0.2-sft", "my robin")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    wanted = [(title, kind) for title in titles for kind in ("bf16", "q8_0")]
    for title in titles:
        write_model(tmp_path / title)
    oracle.convert_all(
        lf.python, [oracle.Conversion(tmp_path / title, theirs, kind, title, "gpt-2") for title, kind in wanted]
    )
    ours = {file_name(title, kind, counts_of(tmp_path / title)) for title, kind in wanted}
    assert {path.name for path in theirs.iterdir()} == ours
    assert len(ours) == len(wanted)


QWEN = {  # Qwen2.5-0.5B-Instruct as published
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.1,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
    "transformers_version": "4.37.0",
}
SAMPLING = {
    "sequence": "temp;top_k",
    "top_k": 40,
    "top_p": 1,
    "min_p": 0.05,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.1,
    "temperature": 1,
    "penalty_last_n": -1,
    "penalty_repeat": 1.05,
    "repetition_penalty": 1.3,
    "mirostat": 2,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
}
CARD = """---
license: apache-2.0
license_link: https://example.org/LICENSE
language:
- en
- no
pipeline_tag: text-generation
base_model: Qwen/Qwen2.5-0.5B
datasets:
- owner/things
tags:
- chat
---

# A model
"""


def test_what_stands_beside_the_weights_says_the_same(lf: LlamaFactory, tmp_path: Path) -> None:
    """The settings of generation_config.json with their types, and what the model card says."""
    beside = {
        "qwen": {"generation_config.json": json.dumps(QWEN)},
        "all": {"generation_config.json": json.dumps(SAMPLING), "README.md": CARD},
        "odd": {"generation_config.json": "{", "README.md": "no card"},
    }
    for name, files in beside.items():
        write_model(tmp_path / name)
        for file, text in files.items():
            (tmp_path / name / file).write_text(text, encoding="utf-8")
    theirs = {name: tmp_path / f"{name}.gguf" for name in beside}
    oracle.convert_all(
        lf.python, [oracle.Conversion(tmp_path / name, file, "f16", NAME, "gpt-2") for name, file in theirs.items()]
    )
    for name, file in theirs.items():
        convert(tmp_path / name, tmp_path / "ours.gguf", outtype="f16", name=NAME)
        assert general_keys(tmp_path / "ours.gguf") == general_keys(file), name


def general_keys(file: Path) -> list[tuple[str, str, object]]:
    types = read_header(file).types
    return [(key, types[key], value) for key, value in plain_keys(file).items() if key.startswith("general.")]


@pytest.fixture(scope="session")
def demos_own(lf: LlamaFactory, demo: DemoRuns, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's base model and what its second run has merged, with llama.cpp's GGUFs of each in ``theirs``."""
    theirs = tmp_path_factory.mktemp("demos-own")
    folders = {"base": demo.base, "merged": demo.merged(demo.second)}
    wanted = [oracle.Conversion(folders["merged"], theirs / f"merged-{kind}.gguf", kind, NAME) for kind in DEMO_TYPES]
    base = oracle.Conversion(folders["base"], theirs / "base-bf16.gguf", "bf16", NAME)
    oracle.convert_all(lf.python, [*wanted, base])
    return {**folders, "theirs": theirs}


@pytest.mark.parametrize(("name", "kind"), [*(("merged", kind) for kind in DEMO_TYPES), ("base", "bf16")])
def test_the_demos_real_models_come_out_as_from_llama_cpp(
    demos_own: dict[str, Path], tmp_path: Path, name: str, kind: str
) -> None:
    ours = tmp_path / "ours.gguf"
    convert(demos_own[name], ours, outtype=kind, name=NAME)
    assert difference(ours, demos_own["theirs"] / f"{name}-{kind}.gguf") == ""
    assert check(ours) == ()


def test_the_gguf_that_the_demo_deployed_differs_in_its_description_and_the_runs_template_only(
    demos_own: dict[str, Path], demo: DemoRuns
) -> None:
    deployed, theirs = demo.converted(demo.second), demos_own["theirs"] / "merged-bf16.gguf"
    a, b = read_header(deployed), read_header(theirs)
    tensors = [(tensor.name, tensor.shape, tensor.type) for tensor in a.tensors]
    assert tensors == [(tensor.name, tensor.shape, tensor.type) for tensor in b.tensors]
    assert deployed.read_bytes()[a.data_offset :] == theirs.read_bytes()[b.data_offset :]
    one, two = plain_keys(deployed), plain_keys(theirs)
    different = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
    assert {key for key in different if not key.startswith("general.")} == {"tokenizer.chat_template"}


def test_the_bases_tokenizer_is_that_of_the_wheels_own_gguf(demos_own: dict[str, Path], tmp_path: Path) -> None:
    """What was rebuilt from a GGUF and converted again has its tokenizer keys, every one, and no other."""
    convert(demos_own["base"], tmp_path / "base.gguf", name=NAME)
    ours, wheels = (
        {key: value for key, value in plain_keys(file).items() if key.startswith("tokenizer.")}
        for file in (tmp_path / "base.gguf", gguf_path(demos_own["base"]))
    )
    assert list(ours) != []
    assert ours == wheels


def plain_keys(file: Path) -> dict[str, object]:
    """Return the keys of a GGUF with arrays as lists."""
    keys = read_header(file).keys
    return {name: list(value.values()) if isinstance(value, Array) else value for name, value in keys.items()}


def test_a_run_changes_only_template_bos_and_ends(made: Path, tmp_path: Path) -> None:
    source = made / "llama-3.2-tied"
    plain, changed = tmp_path / "plain.gguf", tmp_path / "changed.gguf"
    convert(source, plain, name=NAME)
    convert(source, changed, name=NAME, chat_template="{{ x }}", add_bos=False, eos="<|eot_id|>", eot="<|end_of_text|>")
    before, after = read_header(plain), read_header(changed)
    values = [
        {name: list(value.values()) if isinstance(value, Array) else value for name, value in header.keys.items()}
        for header in (before, after)
    ]
    different = {name for name in values[0] | values[1] if values[0].get(name) != values[1].get(name)}
    assert different == {
        "tokenizer.chat_template",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
    }
    assert [tensor.name for tensor in before.tensors] == [tensor.name for tensor in after.tensors]


def test_llama_3_without_its_post_processor_has_the_name_that_llama_cpp_has_for_it(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made / "llama-3.2-tied", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    report = convert(folder, tmp_path / "a.gguf", name=NAME)
    assert (report.pre_tokenizer, report.pre_tokenizer_found_by) == ("smaug-bpe", "ids")
