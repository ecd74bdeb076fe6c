"""What a tokenizer.json of unigrams says about a text before it is cut."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from backend.convert.refusal import UnknownHereError
from backend.convert.special import SpecialTokens
from backend.convert.unigram import Unigrams, described
from backend.convert.vocabulary import UNIGRAMS, TokenType, Vocabulary

UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]]}
MERGE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
TABLE = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"abcd").decode()}


def metaspace(**more: object) -> dict[str, object]:
    return {"type": "Metaspace", "replacement": "▁", **more}


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "expected"),
    [
        (None, metaspace(prepend_scheme="never"), Unigrams(b"", adds_prefix=False, merges_spaces=False)),
        (None, metaspace(prepend_scheme="first"), Unigrams(b"", adds_prefix=True, merges_spaces=False)),
        (None, metaspace(add_prefix_space=True), Unigrams(b"", adds_prefix=True, merges_spaces=False)),
        (
            {"type": "Sequence", "normalizers": [TABLE, MERGE]},
            {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]},
            Unigrams(b"abcd", adds_prefix=True, merges_spaces=True),
        ),
        (
            {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            },
            None,
            Unigrams(b"", adds_prefix=True, merges_spaces=False),
        ),
    ],
)
def test_the_steps_before_the_cut_are_read(normalizer: Any, pre_tokenizer: Any, expected: Unigrams) -> None:
    assert described({"model": UNIGRAM, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer}) == expected


@pytest.mark.parametrize("step", [{"type": "NFKC"}, {"type": "Lowercase"}, {**TABLE, "precompiled_charsmap": "a"}])
def test_a_step_that_llama_cpp_lacks_is_refused(step: dict[str, object]) -> None:
    with pytest.raises(UnknownHereError, match="kind of tokenizer"):
        described({"model": UNIGRAM, "normalizer": step, "pre_tokenizer": metaspace()})


def test_bytes_that_llama_cpp_would_not_fall_back_to_are_told() -> None:
    types = (TokenType.UNKNOWN, TokenType.NORMAL, TokenType.BYTE)
    unigrams = Vocabulary(UNIGRAMS, "default", ("<unk>", "a", "<0x00>"), types, SpecialTokens())
    (warning,) = unigrams.warnings()
    assert "unknown token" in str(warning)
    assert replace(unigrams, types=types[:2]).warnings() == replace(unigrams, model="llama").warnings() == ()


def test_merges_are_no_unigrams() -> None:
    assert described({"model": {"type": "BPE"}, "normalizer": {"type": "NFKC"}}) is None
