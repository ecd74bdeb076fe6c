"""What a terminal sends, however it is cut into readings: pastes are whole, and the keys around them are keys."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tui.driver import Pastes

BEGIN, END = "\x1b[200~", "\x1b[201~"
SENT = [("ab\x1b[2~", False), ("q\x1b[31m\x1bd\n\x1b[200 nested 学", True), ("\x1b[A", False), ("", True), ("x", True)]


def read(pieces: list[str]) -> list[tuple[str, bool]]:
    """Return what comes out for ``pieces``, neighbouring keys together."""
    pastes, made = Pastes(), list[tuple[str, bool]]()
    for piece in (*pieces, ""):
        for text, is_paste in pastes.split(piece):
            if made and not is_paste and not made[-1][1]:
                made[-1] = (made[-1][0] + text, False)
            else:
                made.append((text, is_paste))
    return made


@given(st.sets(st.integers(1, 60)))
def test_pastes_come_out_whole_wherever_a_reading_ended(cuts: set[int]) -> None:
    text = "".join(f"{BEGIN}{part}{END}" if is_paste else part for part, is_paste in SENT)
    edges = [0, *sorted(cut for cut in cuts if cut < len(text) and text[cut - 1] != "\x1b"), len(text)]
    assert read([text[a:b] for a, b in pairwise(edges)]) == SENT


def test_a_reading_that_ends_in_the_middle_of_a_mark_is_no_harm() -> None:
    text = "".join(f"{BEGIN}{part}{END}" if is_paste else part for part, is_paste in SENT)
    for cut in range(2, len(text)):
        assert read([text[:cut], text[cut:]]) == SENT


def test_a_long_paste_in_many_readings_is_one() -> None:
    text = BEGIN + "学习率\n" * 100_000 + END
    assert read([text[at : at + 4096] for at in range(0, len(text), 4096)]) == [("学习率\n" * 100_000, True)]


def test_a_key_that_looks_like_the_beginning_of_a_paste_waits_for_no_more_than_a_pause() -> None:
    pastes = Pastes()
    assert list(pastes.split("\x1b")) == [("\x1b", False)]
    assert list(pastes.split("\x1b[2")) == []
    assert list(pastes.split("")) == [("\x1b[2", False)]
    assert list(pastes.split("\x1b[24~")) == [("\x1b[24~", False)]
