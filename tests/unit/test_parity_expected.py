"""What LLaMA-Factory made of conversations is kept, but not longer than it is true."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import pytest

from backend.lf.find import LlamaFactory
from backend.parity.cases import Case, Turn
from backend.parity.expected import expect
from backend.parity.tokenizer import Runner
from backend.parity.training import Trained
from backend.parity.vocabulary import from_header
from data.gguf import read_header
from data.paths import Paths
from tests import tiny_gguf

ASKED = """#!{python}
import json, pathlib, sys
json.load(sys.stdin)
with open({log!r}, "a") as log:
    log.write("asked ")
print(json.dumps({{
    "llamafactory": "0.9.5", "default_system": "", "enable_thinking": True, "stop_ids": [], "stops": [], "eos": "</s>",
    "added": [], "cases": [{{"ids": [1], "pieces": ["Hi"]}}], "day": {day!r},
}}))
"""
NOW = dt.datetime.now().astimezone()
TODAY, YESTERDAY = (day.strftime("%d %b %Y") for day in (NOW, NOW - dt.timedelta(days=1)))


@pytest.mark.parametrize(("day", "times"), [(None, 1), (TODAY, 1), (YESTERDAY, 2)])
def test_prompts_with_the_date_in_them_are_asked_for_anew_on_another_day(
    tmp_path: Path, day: str | None, times: int
) -> None:
    program, log = tmp_path / "python", tmp_path / "log"
    program.write_text(ASKED.format(python=sys.executable, log=str(log), day=day))
    program.chmod(0o755)
    model = tiny_gguf.write(tmp_path / "a.gguf", tiny_gguf.Vocabulary.of_marks("<s>", "</s>"), add_bos=True)
    runner = Runner(from_header(read_header(model)))
    cases = [Case("user", (Turn("user", "Hi"),))]
    for _time in range(2):
        found = expect(LlamaFactory(program, "0.9.5", "settings"), Paths.under(tmp_path), Trained("x"), cases, runner)
        assert found.prompts["user"].ids == (1,)
    assert log.read_text().split() == ["asked"] * times
