"""Every real vocabulary at hand: turned into a Hugging Face tokenizer and converted back, it is the one that it was.

Three judges: llama.cpp's script (the tokenizer's keys), llama-tokenize (ids of llama.cpp's own test texts with the
converted file) and the ids that llama.cpp keeps beside the texts. Unigrams are in
test_unigrams.py. Not here: WordPiece and Gemma 4's vocabulary, whose architectures the converter does not know.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from backend.convert.converter import convert
from backend.lf.find import LlamaFactory
from backend.ollama.discover import engine_folder, managed_binaries
from data.gguf import Array, Header, read_header
from data.paths import Paths
from tests import oracle, vocabularies
from tests.unit.model_folder import CONFIG, shapes, write_weights

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass(frozen=True)
class Case:
    """How a vocabulary becomes a tokenizer, and whose test texts it gets."""

    texts: str
    pre: str | None = None
    """llama.cpp's name, for a vocabulary whose rule its script does not recognise"""
    begins: bool = False
    """BOS stands before every text"""
    pieces: bool = False
    """As tokenizer.model"""
    described: bool = False
    """A SentencePiece one as tokenizer.json"""


CASES = {
    "aquila": Case("gpt-2", pre="gpt-2"),
    "baichuan": Case("llama-spm", pieces=True),
    "command-r": Case("command-r", begins=True),
    "deepseek-coder": Case("deepseek-coder", begins=True),
    "deepseek-llm": Case("deepseek-llm", begins=True),
    "falcon": Case("falcon"),
    "gpt-2": Case("gpt-2"),
    "gpt-neox": Case("gpt-2", pre="gpt-2"),
    "llama-bpe": Case("llama-bpe", begins=True),
    "llama-spm": Case("llama-spm", pieces=True),
    "llama-spm as tokenizer.json": Case("llama-spm", described=True),
    "mpt": Case("gpt-2", pre="gpt-2"),
    "phi-3": Case("phi-3", pieces=True),
    "qwen2": Case("qwen2"),
    "qwen35": Case("qwen35"),
    "refact": Case("refact"),
    "starcoder": Case("starcoder"),
}


def real(case: str) -> str:
    return case.split(maxsplit=1)[0]


@pytest.fixture(scope="session")
def llama_tokenize() -> Path:
    for binary in managed_binaries(Paths.default()):
        program = engine_folder(binary) / "llama-tokenize"
        if program.is_file():
            return program
    pytest.fail("no llama-tokenize: run `paddock setup ollama`")


@pytest.fixture(scope="session")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each vocabulary with a tiny Llama over it, our GGUF and llama.cpp's beside it."""
    root = tmp_path_factory.mktemp("vocabularies")
    for name, case in CASES.items():
        folder = root / name
        if case.pieces:
            vocabularies.write_pieces(real(name), folder)
        elif case.described:
            vocabularies.write_sentencepiece(real(name), folder)
        else:
            vocabularies.write_bpe(real(name), folder, template=case.begins)
        config = {**CONFIG, "vocab_size": vocabularies.size(real(name)), "num_hidden_layers": 1}
        config |= vocabularies.role_ids(real(name))
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        weights = {key: np.zeros(shape, np.float16) for key, shape in shapes(config).items()}
        write_weights(folder, weights, dtype="F16")
        convert(folder, root / f"{name}.ours.gguf", name="Vocabulary")
    wanted = [
        oracle.Conversion(root / name, root / f"{name}.theirs.gguf", "auto", "Vocabulary", case.pre)
        for name, case in CASES.items()
        if not case.described
    ]
    oracle.convert_all(lf.python, wanted)
    return root


def tokenizer_keys(header: Header) -> dict[str, object]:
    return {
        name: list(value.values()) if isinstance(value, Array) else value
        for name, value in header.keys.items()
        if name.startswith("tokenizer.")
    }


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.described])
def test_the_tokenizer_keys_are_those_of_llama_cpp(made: Path, name: str) -> None:
    ours, theirs = (tokenizer_keys(read_header(made / f"{name}.{whose}.gguf")) for whose in ("ours", "theirs"))
    assert list(ours) == list(theirs)
    # Qwen 3.5's rule over these tokens cuts the text by whose ids llama.cpp tells rules apart as Qwen 2's does.
    expected = ["tokenizer.ggml.pre"] if name == "qwen35" else []
    assert [key for key in ours if ours[key] != theirs[key]] == expected


def test_a_tokenizer_json_gives_what_the_tokenizer_model_gives_that_it_was_made_of(made: Path) -> None:
    described, pieces = (
        tokenizer_keys(read_header(made / f"{name}.ours.gguf")) for name in ("llama-spm as tokenizer.json", "llama-spm")
    )
    # Scores only rank the merges, and the ids below show that they do; only tokenizer.json tells the unknown's role.
    differing = {key for key in described if described[key] != pieces.get(key)}
    assert differing == {"tokenizer.ggml.scores", "tokenizer.ggml.unknown_token_id"}
    assert pieces.keys() < described.keys()


def test_what_transformers_saves_of_a_tokenizer_model_gives_the_same_tokens(made: Path, lf: LlamaFactory) -> None:
    """A merge has the tokenizer so: without tokenizer.model, and without a word of which token is the unknown one."""
    folder, saved = made / "llama-spm", made / "llama-spm saved"
    shutil.copytree(folder, saved, ignore=shutil.ignore_patterns("tokenizer*"))
    code = "import sys, transformers as t; t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
    subprocess.run([lf.python, "-c", code, folder, saved], check=True, capture_output=True)
    assert not (saved / "tokenizer.model").exists()
    convert(saved, made / "saved.gguf", name="Vocabulary")
    ours, theirs = (tokenizer_keys(read_header(made / name)) for name in ("saved.gguf", "llama-spm.ours.gguf"))
    differing = {key for key in theirs if ours.get(key) != theirs[key]}
    assert differing <= {"tokenizer.ggml.scores", "tokenizer.ggml.unknown_token_id"}


@pytest.mark.parametrize("name", CASES)
def test_llama_tokenize_gives_the_ids_of_the_tokenizer(made: Path, llama_tokenize: Path, name: str) -> None:
    texts, kept = vocabularies.texts_of(CASES[name].texts), vocabularies.ids_of(CASES[name].texts)
    ours = made / f"{name}.ours.gguf"
    found = token_ids(llama_tokenize, ours, texts)
    if real(name) == CASES[name].texts:
        assert differing(texts, found, kept) == []
    if (made / name / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(made / name / "tokenizer.json"))
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        assert differing(texts, found, expected) == []


def differing(texts: list[str], found: list[list[int]], expected: list[list[int]]) -> list[object]:
    return [case for case in zip(texts, found, expected, strict=True) if case[1] != case[2]]


def token_ids(program: Path, model: Path, texts: list[str]) -> list[list[int]]:
    """Return the ids of each text; all in one run, with a control token between them that none of them holds."""
    header = read_header(model)
    tokens, types = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type")
    assert tokens is not None
    assert types is not None
    separator, number = next(
        (token, number)
        for number, (token, kind) in enumerate(zip(tokens.texts(), types.values(), strict=True))
        if kind == 3 and len(token) > 2 and not any(token in text for text in texts)
    )
    file = model.with_suffix(".txt")
    file.write_text(separator + separator.join(texts), encoding="utf-8", newline="")
    done = subprocess.run(
        [str(program), "-m", str(model), "--ids", "--no-bos", "--no-escape", "--log-disable", "-f", str(file)],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    ids = ast.literal_eval(done.stdout.decode().strip().splitlines()[-1])
    answers: list[list[int]] = []
    for one in ids:
        if one == number:
            answers.append([])
        else:
            answers[-1].append(one)
    return answers


CONTROL = ("<|begin|>", "<|end|>")
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
LATE = {
    "800": {"content": "<late>", "special": False, **FLAGS},
    "700": {"content": "<early>", "special": True, **FLAGS},
}
ONLY_CONFIGURED: dict[str, dict[str, object]] = {
    "a role": {"pad_token": "[PAD]"},
    "a decoder": {"added_tokens_decoder": LATE},
    "additional ones": {"additional_special_tokens": ["<two>", "<one>", "é"]},
    "extra ones by name": {"extra_special_tokens": {"image_token": "<image>"}, "audio_token": "<audio>"},
    "all of them": {
        "extra_special_tokens": ["<two>", "<one>"],
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "added_tokens_decoder": LATE,
    },
    "a class of its own": {"tokenizer_class": "GPT2Tokenizer", "mask_token": "[MASK]", "added_tokens_decoder": LATE},
}


def test_tokens_that_only_tokenizer_config_has_are_those_of_llama_cpp(lf: LlamaFactory, tmp_path: Path) -> None:
    config = {**CONFIG, "vocab_size": 620, "num_hidden_layers": 1, "bos_token_id": 0, "eos_token_id": 1}
    for name, settings in ONLY_CONFIGURED.items():
        vocabularies.write_small(tmp_path / name, "gpt-2", CONTROL, settings)
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
        weights = {key: np.zeros(shape, np.float16) for key, shape in shapes(config).items()}
        write_weights(tmp_path / name, weights, dtype="F16")
        convert(tmp_path / name, tmp_path / f"{name}.ours.gguf", name="Vocabulary")
    theirs = [
        oracle.Conversion(tmp_path / name, tmp_path / f"{name}.theirs.gguf", "auto", "Vocabulary", "gpt-2")
        for name in ONLY_CONFIGURED
    ]
    oracle.convert_all(lf.python, theirs)
    for name in ONLY_CONFIGURED:
        ours, expected = (tmp_path / f"{name}.{whose}.gguf" for whose in ("ours", "theirs"))
        assert tokenizer_keys(read_header(ours)) == tokenizer_keys(read_header(expected)), name
