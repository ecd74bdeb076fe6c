"""Text from elsewhere, and text that is pasted: shown or edited, and never obeyed by a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text import inert, one_line, pasted, signs

HOSTILE = "\x1b]52;c;aGk=\x07 \x1b[2J \x9b31m \x7f \u202eback\r\x00"


def obeyed(text: str, allowed: str = "\n") -> list[str]:
    """Return the characters of ``text`` that a terminal may obey."""
    return [
        character
        for character in text
        if character not in allowed and (unicodedata.category(character) == "Cc" or character in "\u202e\u2028\u2029")
    ]


@given(st.text() | st.just(HOSTILE))
def test_nothing_is_left_to_obey_and_an_editor_can_count_on_the_length(text: str) -> None:
    assert not obeyed(inert(text))
    assert not obeyed(pasted(text), "\n\t")
    assert not obeyed(one_line(text), "")
    assert len(signs(text)) == len(text)
    assert not obeyed(signs(text), "\n\t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/models/base\n", "/models/base"),
        ("\r\n /models/base \r\n", "/models/base"),
        ("two\nlines", "two lines"),
        ("a\tb", "a   b"),
        ("\x1b[1mbold\x1b[0m", "bold"),
        ("", ""),
        ("\n\n", ""),
        ("路径/模型 😀", "路径/模型 😀"),
    ],
)
def test_a_field_of_one_line_takes_all_of_a_paste(text: str, words: str) -> None:
    assert one_line(text) == words


def test_line_ends_are_kept_as_signs_where_they_mean_something() -> None:
    assert one_line("You are brief.\n  Be kind.\r\n", "⏎") == "You are brief.⏎  Be kind."


def test_a_paste_keeps_tabs_and_lines_and_drops_colours() -> None:
    assert pasted("def f():\r\n\treturn \x1b[31m1\x1b[0m\r") == "def f():\n\treturn 1\n"
