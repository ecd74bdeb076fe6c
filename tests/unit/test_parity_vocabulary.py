"""The doctor is shown any model: keys about tokens that fit nothing are refused in words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_shown
from data.errors import AppError

RIGHT: Final[Mapping[str, object]] = {
    "model": "llama",
    "tokens": ["<unk>", "<s>", "</s>", "▁", "a", "▁a"],
    "token_type": [2, 3, 3, 1, 1, 1],
    "scores": [0.0, 0.0, 0.0, -1.0, -2.0, -1.5],
}


def runner(keys: Mapping[str, object]) -> Runner:
    info = {f"tokenizer.ggml.{name}": value for name, value in keys.items()}
    return Runner(from_shown({**info, "general.architecture": "llama"}, "tiny:latest"), "0.32.7")


def test_a_vocabulary_without_scores_and_kinds_counts_as_the_runner_counts_it() -> None:
    assert runner(RIGHT).plain("a") == (5,)
    plain = {name: value for name, value in RIGHT.items() if name not in ("scores", "token_type")}
    assert runner(plain).plain("a") == (5,)


@pytest.mark.parametrize(
    "wrong",
    [{"token_type": [1]}, {"scores": [0.0] * 7}, {"token_type": ["x"] * 6}, {"precompiled_charsmap": [None]}],
    ids=str,
)
def test_keys_that_fit_no_tokens_are_refused_by_name(wrong: Mapping[str, object]) -> None:
    with pytest.raises(AppError) as caught:
        runner({**RIGHT, **wrong})
    assert str(caught.value.detail) == f"tiny:latest: tokenizer.ggml.{next(iter(wrong))} does not fit its tokens."


def test_what_the_library_cannot_read_is_a_refusal_and_no_panic() -> None:
    spoilt = runner({**RIGHT, "model": "t5", "precompiled_charsmap": [9, 0, 0, 0]})
    with pytest.raises(AppError, match="cannot be counted"):
        spoilt.plain("a")


NUMBERS = st.integers(-2, 8) | st.floats() | st.sampled_from([10**12, None, True, "x", [], [[]]])
TEXTS = st.sampled_from(["", "a", "▁", "▁a", "aa", "<s>", "<unk>", "<0x41>", "a a", "中", "\ud800"])
ANY = {
    "model": st.sampled_from(["llama", "gpt2", "t5", "gemma4", "bert", ""]),
    "pre": st.sampled_from(["", "default", "llama-bpe", "of-tomorrow"]) | NUMBERS,
    "tokens": st.lists(TEXTS, min_size=5, max_size=7),
    "token_type": st.lists(st.integers(-1, 7), min_size=5, max_size=7) | st.lists(NUMBERS) | NUMBERS,
    "scores": st.lists(st.floats(), min_size=5, max_size=7) | st.lists(NUMBERS) | NUMBERS,
    "merges": st.lists(st.sampled_from(["a a", "a  a", "aa", "", " a a"])) | NUMBERS,
    "precompiled_charsmap": st.lists(st.integers(-128, 255), max_size=3) | NUMBERS,
    "bos_token_id": NUMBERS,
    "eos_token_id": NUMBERS,
    "unknown_token_id": NUMBERS,
    "add_bos_token": NUMBERS,
    "add_space_prefix": NUMBERS,
    "remove_extra_whitespaces": NUMBERS,
}


@given(st.fixed_dictionaries({}, optional=ANY))
def test_any_keys_are_counted_or_refused(keys: dict[str, object]) -> None:
    with contextlib.suppress(AppError):
        made = runner({**RIGHT, **keys})
        made.pieces(made.encode("a <s>中"))
        assert made.vocabulary.ends_generation() <= set(made.vocabulary.tokens)
