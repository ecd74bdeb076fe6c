"""Small files of a model that are not what they should be: refused in words, whatever is wrong with them."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.convert import adapter
from backend.convert.converter import Overrides, build_keys, convert
from backend.convert.planning import make_plan
from backend.convert.road import Others, road_of
from data.errors import AppError, RequestError
from data.gguf import check, read_header
from tests.unit.model_folder import write_adapter, write_model, write_tokenizer

UNREADABLE = r"tokenizer\.json of the model cannot be read"
START = "<|im_start|>"
SPACES: dict[str, object] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
TEMPLATE: dict[str, object] = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": START, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {START: {"id": START, "ids": [256], "tokens": [START]}},
}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENIZERS: dict[str, dict[str, object]] = {
    "byte-level": {"post_processor": TEMPLATE, "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
    "unigrams": {
        "normalizer": {"type": "Sequence", "normalizers": [SPACES]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["▁b", -2]]},
    },
    "pieces": {
        "added_tokens": [],
        "normalizer": SPACES,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "a",
            "vocab": {token: number for number, token in enumerate(["a", "b", "ab", *BYTES])},
            "merges": [["a", "b"]],
        },
    },
}


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    return found


def model(**changes: object) -> dict[str, object]:
    """Return a change of tokenizer.json: its model with other entries."""
    letters = {chr(number): number for number in range(33, 127)}
    return {"model": {"type": "BPE", "vocab": {**letters, "ab": 0}, "merges": [["a", "b"]], **changes}}


def pieces(**changes: object) -> dict[str, object]:
    """Return the same where tokenizer.json was made of a SentencePiece model."""
    return {**model(byte_fallback=True, **changes), "decoder": {"type": "Sequence", "decoders": []}}


def test_a_byte_level_tokenizer_saved_as_pieces_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder)
    write_tokenizer(folder)
    description = described(folder)
    description["model"]["byte_fallback"] = True
    for rule, refused in ((description["pre_tokenizer"], False), ({"type": "Metaspace", "replacement": "▁"}, True)):
        (folder / "tokenizer.json").write_text(json.dumps({**description, "pre_tokenizer": rule}))
        with pytest.raises(RequestError, match="no longer cuts texts") if refused else contextlib.nullcontext():
            road_of(folder, "auto", Others(lambda: None, lambda: None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (model(continuing_subword_prefix="x"), "cannot cut words as this tokenizer does"),
        (model(end_of_word_suffix="</w>"), "cannot cut words as this tokenizer does"),
        (model(merges=[["a", 1]]), UNREADABLE),
        (pieces(merges=[["a", 1]]), UNREADABLE),
        (pieces(vocab={"ab": None}), UNREADABLE),
        (model(merges=["a b", ["a", "b"]]), UNREADABLE),
        (model(merges=[["abab", "abab"]]), UNREADABLE),  # what it makes is longer than any token: the library panics
        (model(vocab={"ab": None}), UNREADABLE),
        (model(vocab={"ab": -1}), UNREADABLE),
        (model(vocab=["ab"]), UNREADABLE),
        (model(type="Unigram", vocab=[["a"]]), UNREADABLE),
        (model(type="Unigram", vocab=[["a", 1e300]]), UNREADABLE),
        ({"post_processor": {**TEMPLATE, "special_tokens": {}}}, UNREADABLE),  # a panic
        ({"version": "\ud800"}, UNREADABLE),
    ],
)
def test_a_tokenizer_json_that_is_no_tokenizers_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    write_model(tmp_path / "model", tokenizer=None)
    whole = described(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps({**whole, **changes}))
    with pytest.raises(RequestError, match=said) as caught:
        convert(tmp_path / "model", tmp_path / "a.gguf")
    assert caught.value.hint


def test_a_way_to_choose_experts_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model", config={"scoring_func": ["sigmoid"]})
    with pytest.raises(RequestError, match="chooses its experts in an unknown way"):
        make_plan(tmp_path / "model")


def test_a_text_that_the_tokenizer_would_cut_off_counts_whole(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    whole = convert(tmp_path / "model", tmp_path / "a.gguf")
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    filled = {"strategy": {"Fixed": 512}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    write_tokenizer(tmp_path / "model", {"truncation": cut, "padding": {**filled, "pad_to_multiple_of": None}})
    found = convert(tmp_path / "model", tmp_path / "b.gguf")
    assert (found.pre_tokenizer, found.pre_tokenizer_found_by) == (whole.pre_tokenizer, whole.pre_tokenizer_found_by)


def test_a_folder_whose_name_is_no_text_is_converted(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"b\xffad")
    write_model(folder)
    convert(folder, tmp_path / "a.gguf")
    assert check(tmp_path / "a.gguf") == ()
    assert read_header(tmp_path / "a.gguf").keys["general.name"]


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the ways to the values in a JSON text; of long lists the first entries only."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, (key, item) in enumerate(inner):
        if place < 20:
            yield from paths(item, (*path, key))


ODD: list[object] = [
    *(None, True, False, 0, -1, 1, 255, 2**31, 2**32, 2**63, 2**70, -(2**40), 1.5, float("nan"), float("inf"), 1e300),
    *("", "x", "0", "\x00", " ", "\ud800", "<|im_end|>", "Precompiled", "Sequence", "LORA", "Qwen3MoeForCausalLM"),
    *([], {}, [1], ["a"], [[1, 2]], [["a", "b"], "c"], {"a": 1}, {"id": 1}, [None], [{}], [[]], {"content": 3}),
    *({"type": "Sequence"}, {"SpecialToken": {"id": "x"}}),
    [{"SpecialToken": {"id": ["x"]}}, {"Sequence": {"id": "A"}}],
]
MISSING: Mapping[str, tuple[str, ...]] = {
    "config.json": (
        *("rope_scaling", "rope_parameters", "head_dim", "quantization_config", "text_config", "layer_types"),
        *("sliding_window", "partial_rotary_factor", "scoring_func", "num_experts", "n_group", "_name_or_path"),
        *("tie_word_embeddings", "original_max_position_embeddings"),
    ),
    "tokenizer.json": ("added_tokens", "truncation", "padding"),
    "tokenizer_config.json": ("add_bos_token", "added_tokens_decoder", "extra_special_tokens", "chat_template"),
    "generation_config.json": ("top_k", "top_p", "min_p", "repetition_penalty", "sequence"),
    "adapter_config.json": ("bias", "fan_in_fan_out", "target_modules"),
}
"""Entries that a file may have beside those that are in it"""


@pytest.fixture(scope="module", params=TOKENIZERS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and an adapter of it, that are whole."""
    place = tmp_path_factory.mktemp("whole")
    write_model(place / "base", tokenizer=TOKENIZERS[request.param])
    (place / "base" / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "top_k": 20}))
    write_adapter(place / "lora", place / "base", {"lm_head": (260, 32)}, 4, np.random.default_rng(1))
    look_through(place)
    return place


def look_through(place: Path) -> None:
    """Do all that is done before a GGUF, and one of the adapter, are written."""
    plan = make_plan(place / "base")
    keys, _warnings = build_keys(plan, plan.family.vocabulary(plan.folder, plan.hparams), None, Overrides())
    keys.packed()
    found = adapter.read_adapter(place / "lora", place / "base")
    keys, _warnings = adapter.adapter_keys(found, adapter.plan_adapter(found, "f16"), None, None)
    keys.packed()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_small_file_is_converted_or_refused_in_words(whole: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(MISSING)))
    place = whole / ("lora" if file == "adapter_config.json" else "base") / file
    old = place.read_text()
    value = json.loads(old)
    for _ in range(data.draw(st.integers(1, 2))):
        value = changed(value, data, MISSING[file])
    place.write_text(json.dumps(value))
    try:
        with contextlib.suppress(AppError):
            look_through(whole)
    finally:
        place.write_text(old)


def changed(value: object, data: st.DataObject, missing: tuple[str, ...]) -> object:
    """Return ``value`` with an odd value at one place, or without what is there, or with an entry more."""
    entries = [(name,) for name in missing] if isinstance(value, dict) else []
    path = data.draw(st.sampled_from([*paths(value), *entries]))
    odd = data.draw(st.sampled_from(ODD))
    if not path:
        return odd
    found: Any = copy.deepcopy(value)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    if isinstance(inner, dict) and data.draw(st.booleans()):
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = odd
    return found
