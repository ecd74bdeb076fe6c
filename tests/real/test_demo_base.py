"""The demo's base model made by its real job: from the package index to a folder that llama.cpp's tools agree with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from backend.demo.base import MARKER, gguf_path, is_complete
from backend.demo.wheel import GGUF_SHA256, sha256
from backend.lf.find import find
from backend.setup import ollama as managed_ollama
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from data.paths import HOME_VARIABLE, Paths
from data.settings import Settings

pytestmark = pytest.mark.real

SAMPLES = (
    "Who are you?",
    "In 2026 there were 1234567 of them, 3.14159 each; 007 + 42 = 49.",
    "你是谁？我叫 Paddy，今年 12 岁。",
    "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n",
    "  two blanks,\n\n\ttabs and newlines \n",
    "naïve café, Straße, Ελληνικά, русский, العربية, 🎉👩‍💻",
    "def f(x):\n    return x**2  # it's we'll they've",
    "",
)


class Made:
    """The base model and the times that its job took, first and cached."""

    def __init__(self, root: Path) -> None:
        self.target = root / "data" / "demo" / "base" / "SmolLM2"
        self.root = root
        self.first, _first_s = self.run()
        self.second, self.second_s = self.run()

    def run(self) -> tuple[dict[str, object], float]:
        spec = JobSpec.new("base", "base", workspace=str(self.root), params={"target": str(self.target)})
        folder = JobFolder(self.root / spec.id)
        folder.path.mkdir(parents=True)
        folder.spec_file.write_text(json.dumps(spec.as_json()), encoding="utf-8")
        environment = os.environ | {HOME_VARIABLE: str(self.root), "PADDOCK_REPORT": str(folder.report)}
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-P", "-m", "backend.demo.base", str(folder.path)], check=True, env=environment, cwd="/"
        )
        took_s = time.monotonic() - began
        lines = [json.loads(line) for line in folder.report.read_text(encoding="utf-8").splitlines()]
        assert any(line["kind"] == "artifact" and line["path"] == str(self.target) for line in lines)
        return next(line["values"] for line in lines if line["kind"] == "result"), took_s


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("home"))


def test_the_job_names_the_model_and_the_wheels_own_gguf(made: Made) -> None:
    gguf = gguf_path(made.target)
    assert made.first == {"model": str(made.target), "gguf": str(gguf), "cached": False}
    assert sha256(gguf) == GGUF_SHA256
    assert is_complete(made.target)


def test_a_second_run_takes_the_cached_folder_at_once(made: Made) -> None:
    assert made.second["cached"] is True
    assert made.second_s < 5, "a start of Python, not a download and a rebuild (generous: other tests share the cores)"


def test_only_the_model_and_its_gguf_are_left(made: Made) -> None:
    parent = made.target.parent
    assert {path.name for path in parent.iterdir()} == {
        made.target.name,
        f".{made.target.name}.lock",
        gguf_path(made.target).name,
    }
    assert list((made.root / "cache" / "wheels").iterdir()) == []
    assert {path.name for path in made.target.iterdir()} == {
        MARKER,
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def llama_tokenize() -> Path | None:
    program = managed_ollama.present(Paths.default(), Settings(), os.environ)
    beside = program.binary.resolve().parent.parent / "lib" / "ollama" / "llama-tokenize" if program else None
    found = shutil.which("llama-tokenize")
    return beside if beside and beside.is_file() else Path(found) if found else None


@pytest.mark.parametrize("text", SAMPLES)
def test_the_tokenizer_gives_the_ids_of_llama_cpp(made: Made, text: str, tmp_path: Path) -> None:
    program = llama_tokenize()
    if program is None:
        pytest.skip("no llama-tokenize: `paddock setup ollama` builds one where no release of Ollama can be had")
    sample = tmp_path / "sample.txt"
    sample.write_bytes(text.encode())
    answer = subprocess.run(
        [str(program), "-m", str(gguf_path(made.target)), "--ids", "--log-disable", "-f", str(sample)],
        check=True,
        capture_output=True,
        text=True,
    )
    tokenizer = Tokenizer.from_file(str(made.target / "tokenizer.json"))
    assert tokenizer.encode(text).ids == json.loads(answer.stdout)
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_llama_factorys_transformers_keep_the_splitting_of_digits_through_a_save(made: Made, tmp_path: Path) -> None:
    found = find(Settings(), Paths.default(), None)
    if found is None:
        pytest.skip("no LLaMA-Factory: `paddock setup llamafactory` installs one")
    script = (
        "import json, sys\n"
        "from transformers import AutoTokenizer\n"
        "AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])\n"
        "print(json.dumps([tokenizer.encode(text) for text in json.loads(sys.argv[3])]))\n"
    )
    answer = subprocess.run(
        [str(found.python), "-P", "-c", script, str(made.target), str(tmp_path), json.dumps(SAMPLES)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        cwd="/",
    )
    ours = Tokenizer.from_file(str(made.target / "tokenizer.json"))
    assert json.loads(answer.stdout.splitlines()[-1]) == [ours.encode(text).ids for text in SAMPLES]
    saved = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    steps = [step["type"] for step in saved["pre_tokenizer"]["pretokenizers"]]
    assert steps == ["Digits", "ByteLevel"]
