"""Added tokens get the ids that they had in training: those of the tokenizers library, whatever the file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from backend.convert.added import added_tokens, trained_tokens
from backend.convert.converter import convert
from backend.convert.folder import ModelFolder
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_header
from data.errors import RequestError
from data.gguf import read_header
from tests.unit.model_folder import byte_letters, write_model

FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
TOKENS = {token: number for number, token in enumerate([*byte_letters(), "ab"])}


def described(vocab: dict[str, int] | list[list[Any]], added: list[tuple[int, str]]) -> dict[str, Any]:
    model = (
        {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]] if "ab" in vocab else []}
        if isinstance(vocab, dict)
        else {"type": "Unigram", "unk_id": 0, "vocab": vocab}
    )
    return {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": text, **FLAGS} for number, text in added],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": model,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", config={"vocab_size": 270, "bos_token_id": None, "eos_token_id": None})
    return tmp_path / "model"


TEXTS = st.sampled_from(["a", "b", "c", "<1>", "<2>", "<3>", "<4>"])


@given(
    tokens=st.lists(
        st.tuples(TEXTS, st.integers(0, 9)), max_size=4, unique_by=(lambda one: one[0], lambda one: one[1])
    ),
    added=st.lists(st.tuples(st.integers(0, 12), TEXTS), max_size=5),
    unigrams=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ids_are_those_of_the_library(
    folder: Path, tokens: list[tuple[str, int]], added: list[tuple[int, str]], unigrams: bool
) -> None:
    pieces = [["?", 0.0], *([text, -1.0] for text, _number in tokens)]
    description = described(pieces if unigrams else dict(tokens), added)
    library = Tokenizer.from_str(json.dumps(description))
    ours = {token.content: token.id for token in added_tokens(ModelFolder(folder), description)}
    assert ours == {text: library.token_to_id(text) for _number, text in added}


@pytest.mark.parametrize(
    ("tokenizer_class", "ids", "expected"),
    [
        ("PreTrainedTokenizerFast", [0, 1, 2, 5], [0, 1, 2, 3]),
        ("Qwen2Tokenizer", [0, 1, 2, 5], [0, 1, 2, 3]),
        ("Qwen2Tokenizer", [3, 4], [0, 1]),
        ("PreTrainedTokenizerFast", [7, 0, 1], [0, 1, 2]),
        ("Qwen2Tokenizer", [7, 0, 1], [2, 0, 1]),
        ("GPT2Tokenizer", [2, 0, 1], [2, 0, 1]),
        (None, [7, 0, 1], [0, 1, 2]),  # a Llama's, where no file names a class
    ],
)
def test_holes_are_closed_as_transformers_closes_them(
    folder: Path, tmp_path: Path, tokenizer_class: str | None, ids: list[int], expected: list[int]
) -> None:
    """The ids are those that AutoTokenizer of transformers 5.6 gave to the same files."""
    texts = [f"<|t{place}|>" for place in range(len(ids))]
    added = [(len(TOKENS) + number, text) for number, text in zip(ids, texts, strict=True)]
    (folder / "tokenizer.json").write_text(json.dumps(described(TOKENS, added)))
    roles = ("bos_token", "eos_token", "unk_token", "pad_token")
    config = {"tokenizer_class": tokenizer_class, **dict.fromkeys(roles, texts[-1])}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    convert(folder, tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    tokens = header.array("tokenizer.ggml.tokens")
    assert tokens is not None
    found = list(tokens.texts())
    assert [found.index(text) - len(TOKENS) for text in texts] == expected
    assert header.keys["tokenizer.ggml.eos_token_id"] == len(TOKENS) + expected[-1]
    assert found[len(TOKENS) + len(ids) :] == [f"[PAD{number}]" for number in range(len(TOKENS) + len(ids), 270)]
    counted = Runner(from_header(header)).plain("".join(texts))
    assert [number - len(TOKENS) for number in counted] == expected


def marked(text: str, *, special: bool) -> dict[str, object]:
    return {**FLAGS, "content": text, "special": special, "__type": "AddedToken"}


FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
QWEN = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<x>", "unk_token": None, "pad_token": "<x>"}
EXTRA = {"extra_special_tokens": ["<e>", marked("<f>", special=False)]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (FAST, {"<x>": (0, False)}),
        ({**FAST, "pad_token": "[PAD]"}, {"<x>": (0, False), "[PAD]": (1, True)}),
        ({**FAST, "pad_token": marked("[PAD]", special=False)}, {"<x>": (0, False), "[PAD]": (1, True)}),
        ({**FAST, "eos_token": "<x>"}, {"<x>": (0, True)}),
        ({**FAST, "eos_token": "ab"}, {"<x>": (0, False), "ab": (-1, True)}),
        ({**FAST, "additional_special_tokens": ["<b>", "<x>"]}, {"<x>": (0, False), "<b>": (1, True)}),
        ({**FAST, **EXTRA}, {"<x>": (0, False), "<e>": (1, True), "<f>": (2, False)}),
        (
            {**FAST, **EXTRA, "additional_special_tokens": ["<b>"]},
            {"<x>": (0, False), "<e>": (1, True), "<f>": (2, False)},
        ),
        ({**FAST, "extra_special_tokens": {"image_token": "<x>"}}, {"<x>": (0, True)}),
        (
            {**FAST, "extra_special_tokens": {"image_token": "<i>"}, "audio_token": "<a>", "mask_token": "<m>"},
            {"<x>": (0, False), "<m>": (1, True), "<a>": (2, True), "<i>": (3, True)},
        ),
        (
            {
                **FAST,
                "additional_special_tokens": ["<b>"],
                "pad_token": "[PAD]",
                "bos_token": "<s>",
                "added_tokens_decoder": {"300": marked("<q>", special=False), "290": marked("<p>", special=True)},
            },
            {
                "<x>": (0, False),
                "<p>": (1, True),
                "<q>": (2, False),
                "<s>": (3, True),
                "[PAD]": (4, True),
                "<b>": (5, True),
            },
        ),
        (
            {**QWEN, **EXTRA, "added_tokens_decoder": {"257": marked("<p>", special=False)}},
            {"<p>": (0, False), "<x>": (1, True), "<e>": (2, True), "<f>": (3, True)},
        ),
        ({"tokenizer_class": "GPT2TokenizerFast"}, {"<x>": (0, False), "<|endoftext|>": (1, True)}),
    ],
)
def test_tokens_of_tokenizer_config_get_the_ids_that_transformers_gives_them(
    folder: Path, settings: dict[str, Any], expected: dict[str, tuple[int, bool]]
) -> None:
    """Ids, counted from the vocabulary's end, and marks are those of AutoTokenizer of transformers 5.6."""
    description = described(TOKENS, [])
    description["added_tokens"] = [{**FLAGS, "id": len(TOKENS), "content": "<x>", "special": False}]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = trained_tokens(ModelFolder(folder), description)
    assert {token.content: (token.id - len(TOKENS), token.special) for token in found} == expected


def test_without_a_class_the_one_of_the_model_type_counts(folder: Path) -> None:
    write_model(folder, config={"model_type": "qwen3"})
    (folder / "tokenizer_config.json").write_text("{}")
    (found,) = trained_tokens(ModelFolder(folder), described(TOKENS, []))
    assert (found.content, found.id, found.special) == ("<|endoftext|>", len(TOKENS), True)


def test_the_files_of_older_versions_add_tokens_as_well(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({**FAST, "pad_token": "<one>"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    (folder / "added_tokens.json").write_text(json.dumps({"<late>": 300, "<early>": 299}))
    found = trained_tokens(ModelFolder(folder), described(TOKENS, []))
    texts = {token.content: (token.id - len(TOKENS), token.special) for token in found}
    assert texts == {"<early>": (0, False), "<late>": (1, False), "[PAD]": (2, True)}


def test_a_token_of_tokenizer_config_alone_reaches_the_gguf(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(described(TOKENS, [])))
    (folder / "tokenizer_config.json").write_text(json.dumps({**FAST, "pad_token": "[PAD]"}))
    convert(folder, tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    tokens, types = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type")
    assert tokens is not None
    assert types is not None
    assert list(tokens.texts())[len(TOKENS) :][:2] == ["[PAD]", f"[PAD{len(TOKENS) + 1}]"]
    assert list(types.values())[len(TOKENS) :][:2] == [3, 5]


def test_an_end_without_a_row_is_refused(folder: Path, tmp_path: Path) -> None:
    write_model(folder, config={"vocab_size": len(TOKENS), "bos_token_id": None, "eos_token_id": 5})
    (folder / "tokenizer.json").write_text(json.dumps(described(TOKENS, [(len(TOKENS), "<|im_end|>")])))
    (folder / "tokenizer_config.json").write_text(json.dumps({**FAST, "eos_token": "<|im_end|>"}))
    with pytest.raises(RequestError, match="more tokens than the model has embeddings"):
        convert(folder, tmp_path / "a.gguf")


def test_an_added_token_without_a_row_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    write_model(folder, config={"vocab_size": len(TOKENS), "bos_token_id": None, "eos_token_id": None})
    (folder / "tokenizer.json").write_text(json.dumps(described(TOKENS, [])))
    (folder / "tokenizer_config.json").write_text(json.dumps({**FAST, "pad_token": "[PAD]"}))
    report = convert(folder, tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    assert [str(words) for words in report.warnings] == ["Left out, since the embedding has no row for it: [PAD]"]
    assert "tokenizer.ggml.padding_token_id" not in header.keys
    tokens = header.array("tokenizer.ggml.tokens")
    assert tokens is not None
    assert tokens.count == len(TOKENS)
