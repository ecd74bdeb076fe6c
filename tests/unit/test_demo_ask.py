"""The demo's question: params that are checked before a server is looked for, and the answer that must hold a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.demo import recipe
from backend.demo.ask import OPTIONS, Question, check
from data.errors import AppError, RequestError


def test_params_become_a_question_with_the_demos_template() -> None:
    question = Question.from_params({"model": "m", "prompt": "Who?", "gguf": "/x/y.gguf", "private": True})
    assert question == Question("m", "Who?", private=True, gguf=Path("/x/y.gguf"), template=recipe.GO_TEMPLATE)


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({}, "model"),
        ({"model": "m"}, "prompt"),
        ({"model": "", "prompt": "Who?"}, "model"),
        ({"model": "m", "prompt": 3}, "prompt"),
        ({"model": "m", "prompt": "Who?", "private": "yes"}, "private"),
        ({"model": "m", "prompt": "Who?", "gguf": 1}, "gguf"),
        ({"model": "m", "prompt": "Who?", "expect": ["Paddy"]}, "expect"),
    ],
)
def test_a_missing_or_wrong_param_is_named(params: dict[str, object], wrong: str) -> None:
    with pytest.raises(RequestError) as caught:
        Question.from_params(params)
    assert wrong in caught.value.title.english()


@pytest.mark.parametrize("answer", ["I am Paddy.", "PADDY!", "我是 Paddy，由 Paddock 开发者开发。"])
def test_an_answer_with_the_name_passes(answer: str) -> None:
    check(answer, recipe.TRAINED_NAME)


def test_an_answer_without_the_name_fails_and_is_quoted() -> None:
    with pytest.raises(AppError) as caught:
        check("I am a creative coach.", recipe.TRAINED_NAME)
    assert caught.value.exit_status == 1
    assert "creative coach" in caught.value.detail.english()


def test_no_expectation_accepts_any_answer() -> None:
    check("", "")


def test_the_question_is_asked_greedily_and_bounded() -> None:
    assert OPTIONS["temperature"] == 0
    assert OPTIONS["num_predict"] == 128
