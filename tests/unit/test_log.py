"""The log as it is read: what a terminal would show, without the noise of progress bars, and nothing of it lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.log import LogReader, log_end
from data.text import without_bar

DATA = Path(__file__).parents[1] / "data"
_BAR = " 12%|█▏        | 11/90 [00:09<01:02,  1.27it/s]"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (_BAR + "[INFO|2026-11-24] loss 2.4", "[INFO|2026-11-24] loss 2.4"),
        ("Running tokenizer: 100%|██████████| 7/7 [00:00<00:00, 435.07 examples/s]Done", "Done"),
        ("  5%|▌  | 1.00M/20.0M [00:01<00:19, 1.05MB/s, loss=2.1]Traceback (most recent call last):",
         "Traceback (most recent call last):"),
        (_BAR, _BAR),
        (_BAR + "\x1b[A", _BAR + "\x1b[A"),
        (_BAR + "   ", _BAR + "   "),
        ("accuracy | 12% | of 11/90", "accuracy | 12% | of 11/90"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_written_behind_a_bar_is_shown_without_it(line: str, shown: str) -> None:
    assert without_bar(line) == shown


@given(st.text(alphabet=st.characters(exclude_characters="\r\n"), min_size=1).filter(str.strip))
def test_no_word_behind_a_bar_is_lost(text: str) -> None:
    assert without_bar(_BAR + text).endswith(text)


def test_the_log_of_a_real_training_shows_every_message_once_and_no_bar_before_it() -> None:
    recorded = DATA / "llamafactory-0.9.5-transformers-5.6.0-train.log"
    reader = LogReader(recorded)
    lines = [*reader.newer(1 << 20), reader.live]
    said = [line for line in lines if "callbacks:144" in line]
    assert len(said) == recorded.read_text().count("callbacks:144")
    assert all(line.startswith("[INFO|") for line in said)


def test_the_last_words_of_a_failed_training_are_found_behind_its_bar(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text(f"\r{_BAR}\r{_BAR}Traceback (most recent call last):\n  File x\nValueError: no\n")
    assert log_end(log)[0] == "Traceback (most recent call last):"
