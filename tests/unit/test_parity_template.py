"""Templates of LLaMA-Factory as values: what the snapshot says, and what a run's arguments change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.lf.find import LlamaFactory
from backend.parity import template as module
from backend.parity.template import Special, Token, cache_file, load, snapshot, templates_for
from data.errors import RequestError
from data.paths import Paths


def test_the_snapshot_has_every_template_of_the_pinned_version_and_none_of_an_unknown_class() -> None:
    known = snapshot()
    assert known.llamafactory == "0.9.5"
    assert len(known.by_name) == 121
    assert {one.kind for one in known.by_name.values()} == {"plain", "fused", "reasoning"}
    assert known.get("llama2").kind == "fused"
    assert known.get("qwen3").kind == "reasoning"


def test_slots_are_texts_tokens_and_the_tokenizers_own_bos_and_eos() -> None:
    known = snapshot()
    assert known.get("chatglm3").prefix == (Token("[gMASK]"), Token("sop"))
    assert known.get("llama2").user == (Special("bos"), "[INST] {{content}} [/INST]")
    assert known.get("default").assistant == ("{{content}}", Special("eos"), "\n")


def test_a_set_that_names_neither_bos_nor_eos_is_nothing_as_llamafactory_encodes_it() -> None:
    assert snapshot().get("phi_small").prefix == ()


def test_an_empty_thought_is_both_words_but_for_glm_4_7() -> None:
    assert snapshot().get("qwen3").empty_thought == "<think>\n\n</think>\n\n"
    assert snapshot().get("glm4_7").empty_thought == "</think>"


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RequestError) as caught:
        snapshot().get("qwen33")
    assert str(caught.value.hint).startswith("Did you mean qwen3")


def test_a_run_changes_default_system_tool_format_and_the_thinking_of_reasoning_templates_only() -> None:
    known = snapshot()
    changed = known.of_run("qwen3", default_system="Be brief.", tool_format="llama3", enable_thinking=False)
    assert (changed.default_system, changed.enable_thinking) == ("Be brief.", False)
    assert changed.function == ("{{content}}", Special("eos"))
    assert changed.tool_format == known.formats["llama3"]
    assert known.of_run("qwen", enable_thinking=False).enable_thinking is True
    with pytest.raises(RequestError, match="Unknown tool format"):
        known.of_run("qwen3", tool_format="none")


def test_a_cache_of_the_installed_version_wins_and_a_damaged_one_does_not_matter(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    lf = LlamaFactory(tmp_path / "bin" / "python", "9.9.9", "settings")
    assert not templates_for(lf, paths).exact
    raw = json.loads(module._SNAPSHOT.read_bytes())
    raw["llamafactory"] = "9.9.9"
    raw["templates"] = {"mine": raw["templates"]["chatml"]}
    file = cache_file(lf, paths)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(raw))
    assert load(lf, paths, "mine").user == snapshot().get("chatml").user
    assert templates_for(lf, paths).exact
    file.write_text("{")
    assert templates_for(lf, paths).get("chatml").name == "chatml"
