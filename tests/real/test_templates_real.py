"""The installed LLaMA-Factory's own templates, through the bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.lf.find import find
from backend.parity.template import cache_file, refresh, snapshot, templates_for
from data.paths import Paths
from data.settings import load_settings
from tests.prompts import ask, lf_python, recorded

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_bridge_answers_what_the_snapshot_says_and_the_answer_is_kept(tmp_path: Path) -> None:
    paths = Paths.default()
    lf = find(load_settings(paths.settings).values, paths)
    assert lf is not None, "no LLaMA-Factory: run `paddock setup llamafactory`"
    own = Paths.under(tmp_path)
    asked = refresh(lf, own)
    assert cache_file(lf, own).is_file()
    assert templates_for(lf, own) == asked
    if lf.version == snapshot().llamafactory:
        assert asked == snapshot()


def test_the_recorded_prompts_are_what_llamafactory_makes_of_the_conversations() -> None:
    assert ask(lf_python()).prompts == recorded()
