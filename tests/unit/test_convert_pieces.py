"""A tokenizer.json that was made of a SentencePiece model, as transformers saves it beside merged weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.convert.vocabulary import TokenType
from data.gguf import Header, read_header
from tests.unit.model_folder import CONFIG, write_model

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["<unk>", "<s>", "</s>", *BYTES, "N", "o", "n", "e", "No", "Non", "None"]
MERGES = [["N", "o"], ["No", "n"], ["Non", "e"]]


def converted(tmp_path: Path, *, rows: int, added: list[str], settings: dict[str, object]) -> tuple[Header, list[str]]:
    """Return the GGUF of a model whose ``added`` tokens follow its pieces; and what was said."""
    tokens = [*((number, PIECES[number]) for number in range(3)), *enumerate(added, len(PIECES))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    description = {
        "added_tokens": [{"id": number, "content": text, "special": True, **flags} for number, text in tokens],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "fuse_unk": True,
            "merges": MERGES,
            "unk_token": None,
            "vocab": {text: number for number, text in enumerate(PIECES)},
        },
    }
    write_model(tmp_path / "model", config={**CONFIG, "vocab_size": rows}, tokenizer=description)
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(settings))
    report = convert(tmp_path / "model", tmp_path / "a.gguf")
    return read_header(tmp_path / "a.gguf"), [warning.english() for warning in report.warnings]


def test_without_an_unknown_token_the_word_none_is_a_piece_as_others(tmp_path: Path) -> None:
    header, _said = converted(tmp_path, rows=len(PIECES), added=[], settings={})
    types, scores = header.array("tokenizer.ggml.token_type"), header.array("tokenizer.ggml.scores")
    assert types is not None
    assert scores is not None
    none = PIECES.index("None")
    assert (list(types.values())[none], list(scores.values())[none]) == (TokenType.NORMAL, -2.0)


def test_a_token_without_a_row_in_the_embedding_is_left_out_and_named(tmp_path: Path) -> None:
    header, said = converted(tmp_path, rows=len(PIECES), added=["<image>", "<pad>"], settings={"pad_token": "<pad>"})
    tokens = header.array("tokenizer.ggml.tokens")
    assert tokens is not None
    assert tokens.count == len(PIECES)
    assert "tokenizer.ggml.padding_token_id" not in header.keys
    assert said == ["Left out, since the embedding has no row for it: <image>, <pad>"]


def test_a_token_of_tokenizer_config_without_a_row_is_left_out_and_named(tmp_path: Path) -> None:
    _header, said = converted(tmp_path, rows=len(PIECES), added=[], settings={"pad_token": "<pad>"})
    assert said == ["Left out, since the embedding has no row for it: <pad>"]


@pytest.mark.parametrize("settings", [{"eos_token": "<|im_end|>"}, {"additional_special_tokens": ["<|im_end|>"]}])
def test_a_token_that_only_tokenizer_config_has_gets_its_row(tmp_path: Path, settings: dict[str, object]) -> None:
    header, said = converted(tmp_path, rows=len(PIECES) + 4, added=["<x>"], settings=settings)
    tokens = header.array("tokenizer.ggml.tokens")
    assert tokens is not None
    assert list(tokens.texts())[len(PIECES) :] == ["<x>", "<|im_end|>", *(f"[PAD{len(PIECES) + n}]" for n in (2, 3))]
    assert said == []
