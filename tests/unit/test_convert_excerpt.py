"""An excerpt of a tokenizer says of its texts what the whole tokenizer says, or it is not made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from backend.convert.excerpt import excerpt

CORPUS = [
    "The quick brown fox jumps over the lazy dog, then the dog jumps over the fox; they'll do it again and again.",
    "Straße, naïve café, déjà vu — 日本語の文章と日本の本、한국어 문장. 3.14159 and 2718281828 are numbers, 2718 too.",
    "    four spaces\n\n\ttabs and\r\nlines;   more   spaces    in     between",
]
CONTROL = ["<|start|>", "<|end|>", "<|start|><|end|>"]


def described(*, ignore_merges: bool, normal: bool, **changes: object) -> dict[str, Any]:
    """Return the tokenizer.json of a little byte-level BPE: two control tokens inside its vocabulary, one outside."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normal:
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=CONTROL[:2],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(CONTROL[2], normalized=False)])
    found = json.loads(tokenizer.to_str())
    found["model"].update(changes)
    return found


@pytest.mark.parametrize("ignore_merges", [False, True])
@pytest.mark.parametrize("normal", [False, True])
@given(st.lists(st.sampled_from(" ".join(CORPUS).split(" ")) | st.text(max_size=12), max_size=12).map(" ".join))
def test_a_text_gets_the_same_ids(ignore_merges: bool, normal: bool, text: str) -> None:
    description = described(ignore_merges=ignore_merges, normal=normal)
    whole = Tokenizer.from_str(json.dumps(description))
    part = excerpt(description, text, CONTROL)
    assert part is not None
    assert part.encode(text).ids == whole.encode(text).ids
    for token in CONTROL:
        assert part.decode(part.encode(token).ids, skip_special_tokens=False) == token


def test_it_is_a_small_part() -> None:
    part = excerpt(described(ignore_merges=False, normal=False), "the dog", CONTROL)
    assert part is not None
    assert part.get_vocab_size() < 30


@pytest.mark.parametrize("text", ["before <|end|> behind", "<|start|>"])
def test_a_text_with_an_added_token_in_it_needs_the_whole(text: str) -> None:
    assert excerpt(described(ignore_merges=False, normal=False), text, CONTROL) is None


@pytest.mark.parametrize("change", [{"end_of_word_suffix": "</w>"}, {"byte_fallback": True}, {"dropout": 0.1}])
def test_a_model_that_makes_tokens_of_more_than_its_words_needs_the_whole(change: dict[str, object]) -> None:
    assert excerpt(described(ignore_merges=False, normal=False, **change), "the dog", CONTROL) is None
