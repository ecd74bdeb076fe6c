"""What was typed is found by its name first."""

from __future__ import annotations

import pytest

from screens.finder import rank


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("qwen", ["qwen", "qwen2_vl", "llava_next_qwen", "yi"]),
        ("YI ", ["yi", "yi_vl", "llava_next_yi", "qwen"]),
        ("qwen:latest", ["qwen:latest", "qwen:latest-2", "my-qwen:latest", "qwen2"]),
    ],
)
def test_the_very_name_comes_first_then_what_begins_so_then_what_holds_it(typed: str, found: list[str]) -> None:
    assert [rank(typed, name) for name in found] == [0, 1, 2, 3]


def test_a_name_without_a_tag_is_that_of_the_latest() -> None:
    names = ["my-qwen:latest", "qwen:7b", "qwen:latest"]
    assert sorted(names, key=lambda name: rank("qwen", name)) == ["qwen:latest", "qwen:7b", "my-qwen:latest"]
