"""Vocabularies of unigrams under a Llama: llama.cpp and our own count cut texts as the tokenizer does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from backend.convert.converter import convert
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_header
from data.gguf import check, read_header
from tests import vocabularies
from tests.real.test_vocabularies import differing, llama_tokenize, token_ids
from tests.unit.model_folder import CONFIG, shapes, write_weights

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAME = "nomic-bert-moe"
"""XLM-RoBERTa's vocabulary, in 100 languages"""

__all__ = ["llama_tokenize"]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return vocabularies.texts_of("llama-spm")


@pytest.fixture(scope="session", params=["tokenizer.json", "tokenizer.model"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF of a tiny Llama with the vocabulary, and the folder that it was made of beside it."""
    folder = tmp_path_factory.mktemp("unigrams") / "model"
    vocabularies.write_unigrams(NAME, folder, as_model=request.param == "tokenizer.model")
    config = {**CONFIG, "vocab_size": vocabularies.size(NAME), "num_hidden_layers": 1}
    config |= vocabularies.role_ids(NAME)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = {key: np.zeros(shape, np.float16) for key, shape in shapes(config).items()}
    write_weights(folder, weights, dtype="F16")
    target = folder.with_name("ours.gguf")
    convert(folder, target, name="Vocabulary")
    return target


def test_the_keys_are_those_of_llama_cpp(made: Path) -> None:
    """But for the ends of a text, which a Llama has otherwise than the encoder that the vocabulary comes from."""
    ours, theirs = read_header(made), read_header(vocabularies.gguf(NAME))
    assert check(ours) == ()
    for name in ("model", "pre", "add_space_prefix", "remove_extra_whitespaces"):
        assert ours.keys[f"tokenizer.ggml.{name}"] == theirs.keys[f"tokenizer.ggml.{name}"]
    for name in ("tokens", "precompiled_charsmap"):
        mine, other = ours.array(f"tokenizer.ggml.{name}"), theirs.array(f"tokenizer.ggml.{name}")
        assert mine is not None
        assert other is not None
        assert (mine.type_name, list(mine.values())) == (other.type_name, list(other.values()))
    assert ours.keys["tokenizer.ggml.add_eos_token"] is False


def test_llama_tokenize_and_our_own_count_give_the_ids_of_the_tokenizer(
    made: Path, llama_tokenize: Path, texts: list[str]
) -> None:
    found = token_ids(llama_tokenize, made, texts)
    own = Runner(from_header(read_header(made)))
    assert differing(texts, found, [list(own.plain(text)) for text in texts]) == []
    if (made.with_name("model") / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(made.with_name("model") / "tokenizer.json"))
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        assert differing(texts, found, expected) == []
