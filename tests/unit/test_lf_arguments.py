"""Files and overrides are read as LLaMA-Factory reads them, and what it would refuse is said before the start."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.lf import yamlform
from backend.lf.arguments import apply_override, known_names, load_arguments, no_secrets, right_types
from backend.lf.lists import names_in
from backend.lf.rules import export_rules, train_rules
from backend.lf.schema import Schema, snapshot
from data.errors import RequestError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("5.0e-05", 5e-5),
        ("1E4", 1e4),
        ("3", 3),
        ("1_000", 1000),
        ("true", True),
        ("yes", True),
        ("no", False),
        ('"no"', "no"),
        ("~", None),
        ("null", None),
        ("2026-11-23", "2026-11-23"),
        ("a,b", "a,b"),
        ("[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("{a: 1}", {"a": 1}),
        (".inf", math.inf),
        ("0x1F", 31),
        ("chatml", "chatml"),
    ],
)
def test_yaml_is_read_as_omegaconf_reads_it(text: str, value: object) -> None:
    assert yamlform.load(f"key: {text}") == {"key": value}


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON_LIKE, max_size=6))
def test_what_is_written_is_read_back(values: dict[str, object]) -> None:
    text = json.dumps(values)
    if any(0xD800 <= int(part[:4], 16) <= 0xDFFF for part in text.split("\\u")[1:]):
        return  # lone surrogates and characters beyond the BMP as JSON escapes are not what is tested here
    assert yamlform.load(yamlform.dump(values)) == values


def test_characters_beyond_the_first_plane_survive() -> None:
    values: dict[str, object] = {
        "default_system": "你好 😀 \x85\x7f\u2028 'a' \"b\" \\ # : - {",
        "路": ["ä", {"😀": "x"}],
    }
    assert yamlform.load(yamlform.dump(values)) == values


def test_words_of_yaml_stay_text_and_numbers_stay_numbers() -> None:
    values: dict[str, object] = {"a": "no", "b": "1e-5", "c": "null", "d": 1e-05, "e": "12:30", "f": "2026-01-01"}
    assert yamlform.load(yamlform.dump(values)) == values
    assert "d: 1.0e-05\n" in yamlform.dump(values)


def test_a_file_and_its_overrides(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("# mine\nlearning_rate: 1e-4\nlr_scheduler_kwargs:\n  a: 1\n")
    args = load_arguments(path, ["learning_rate=2e-4", "lr_scheduler_kwargs.b=2", "dataset=a,b", "lora_target=[q,v]"])
    assert args == {
        "learning_rate": 2e-4,
        "lr_scheduler_kwargs": {"a": 1, "b": 2},
        "dataset": "a,b",
        "lora_target": ["q", "v"],
    }


def test_json_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"stage": "sft", "max_steps": 3}')
    assert load_arguments(path) == {"stage": "sft", "max_steps": 3}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "a: [1, 2", "line"),
        ("a.yaml", "- 1\n- 2\n", "mapping"),
        ("a.yaml", "just text", "mapping"),
        ("a.yaml", "1: 2", "mapping"),
        ("a.yaml", "a: 1\na: 2\n", "duplicate"),
        ("a.yaml", "a: &x [*x]\n", "alias"),
        ("a.yaml", "a: !!python/object:os.system x\n", "line 1"),
        ("a.json", "{'a': 1}", "line 1"),
        ("a.json", "[" * 100_000, "a.json"),
        ("a.yaml", "a: \x00", "a.yaml"),
    ],
)
def test_a_file_that_is_no_list_of_arguments_is_one_clear_error(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        load_arguments(path)
    error = caught.value.as_json()
    assert says in error["detail"]
    assert error["hint"]


def test_a_missing_or_unreadable_file_is_a_request_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        load_arguments(tmp_path / "none.yaml")
    with pytest.raises(RequestError, match="cannot be read"):
        load_arguments(tmp_path)
    (tmp_path / "model.yaml").write_bytes(bytes(5 << 20))
    with pytest.raises(RequestError, match="cannot be read"):
        load_arguments(tmp_path / "model.yaml")


@pytest.mark.parametrize("override", ["--stage", "stage", "=1", "--stage=sft", "a=[1"])
def test_an_override_of_a_wrong_form_is_refused(override: str) -> None:
    with pytest.raises(RequestError):
        apply_override({}, override)


def test_an_unknown_key_names_the_one_that_was_meant() -> None:
    checks = known_names({"lora_rnk": 8, "learning_rate": 1e-4, "xyzzy": 1}, snapshot(), "train")
    assert [(c.level, c.remedy.english()) for c in checks] == [
        ("error", "Did you mean lora_rank?"),
        ("error", "Remove it, or correct its name."),
    ]
    checks = known_names({"per_device_train_batch_size": 1}, snapshot(), "export")
    assert "train" in checks[0].remedy.english()


def test_with_another_version_installed_an_unknown_key_is_a_warning_only() -> None:
    known = snapshot()
    other = Schema(known.llamafactory, known.transformers, known.verbs, known.templates, exact=False)
    assert [c.level for c in known_names({"brand_new": 1}, other, "train")] == ["warning"]
    assert [c.level for c in right_types({"cutoff_len": "x"}, other, "train")] == ["warning"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("cutoff_len", "2048", "without quotes"),
        ("cutoff_len", 20.5, "whole number"),
        ("do_train", "yes", "true or false"),
        ("do_train", 1, "true or false"),
        ("learning_rate", "fast", "a number"),
        ("eval_strategy", False, '"no"'),
        ("stage", "sftt", "Did you mean sft?"),
        ("finetuning_type", "qqqqqq", "lora, oft, freeze, full"),
        ("dataset", 3, "text"),
        ("output_dir", ["a"], "text"),
        ("fsdp", "full_shard wrong", "fsdp cannot be"),
        ("stage", None, "default"),
    ],
)
def test_a_wrong_type_or_choice_is_said_before_the_start(name: str, value: object, says: str) -> None:
    checks = right_types({name: value}, snapshot(), "train")
    assert len(checks) == 1
    assert checks[0].level == "error"
    assert says in checks[0].message.english() + checks[0].remedy.english()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1),
        ("report_to", "none"),
        ("report_to", ["wandb", "tensorboard"]),
        ("deepspeed", {"zero_optimization": {}}),
        ("deepspeed", "ds.json"),
        ("quantization_bit", None),
        ("fsdp", "full_shard auto_wrap"),
        ("include_num_input_tokens_seen", True),
        ("lr_scheduler_type", "cosine"),
        ("lora_target", "q_proj,v_proj"),
        ("unknown_is_not_this_checks_matter", object()),
    ],
)
def test_what_llamafactory_takes_is_taken(name: str, value: object) -> None:
    assert right_types({name: value}, snapshot(), "train") == []


def test_the_snapshots_own_defaults_pass() -> None:
    for verb in ("train", "export"):
        defaults = {name: a.default for name, a in snapshot().arguments(verb).items() if a.default is not None}
        assert right_types(defaults, snapshot(), verb) == []


def test_secrets_are_never_written_into_files() -> None:
    assert no_secrets({"hf_hub_token": None, "stage": "sft"}) == []
    checks = no_secrets({"hf_hub_token": "hf_abcdef", "swanlab_api_key": "k"})
    assert [c.level for c in checks] == ["error", "error"]
    assert "hf_abcdef" not in json.dumps([c.as_json() for c in checks])


GOOD: dict[str, object] = {"do_train": True, "dataset": "a", "stage": "sft", "finetuning_type": "lora"}


BROKEN: list[tuple[dict[str, object], str]] = [
    ({"do_train": False}, "rule.nothing"),
    ({"dataset": None}, "rule.dataset"),
    ({"do_eval": True}, "rule.eval_dataset"),
    ({"eval_dataset": "b", "val_size": 0.1}, "rule.two_eval_datasets"),
    ({"quantization_bit": 4, "finetuning_type": "full"}, "rule.quantization"),
    ({"adapter_name_or_path": "a", "finetuning_type": "freeze"}, "rule.adapter"),
    ({"adapter_name_or_path": "a,b", "quantization_bit": 4}, "rule.adapters"),
    ({"stage": "dpo", "neat_packing": True}, "rule.neat_packing"),
    ({"stage": "rm", "mask_history": True}, "rule.masks"),
    ({"train_on_prompt": True, "mask_history": True}, "rule.both_masks"),
    ({"stage": "ppo"}, "rule.reward_model"),
    ({"streaming": True}, "rule.streaming"),
    ({"streaming": True, "max_steps": 5, "max_samples": 10}, "rule.streaming_samples"),
    ({"deepspeed": "ds.json"}, "rule.deepspeed"),
    ({"bf16": True, "fp16": True}, "rule.bf16_fp16"),
    ({"do_predict": True, "val_size": 0.1}, "rule.do_predict"),
]
"""Arguments on top of GOOD that break a rule; the real tests hold LLaMA-Factory's own parser against them."""


@pytest.mark.parametrize(("args", "rule"), BROKEN)
def test_a_broken_rule_of_the_parser_is_named(args: dict[str, object], rule: str) -> None:
    assert train_rules(GOOD, torchrun=False) == []
    assert rule in [check.id for check in train_rules(GOOD | args, torchrun=False)]


def test_rules_of_several_gpus_count_there_only() -> None:
    assert train_rules(GOOD | {"deepspeed": "ds.json"}, torchrun=True) == []
    layerwise = GOOD | {"use_galore": True, "galore_layerwise": True}
    assert train_rules(layerwise, torchrun=False) == []
    assert [check.id for check in train_rules(layerwise, torchrun=True)] == ["rule.layerwise"]


def test_rules_of_an_export() -> None:
    assert export_rules({"export_dir": "/x", "adapter_name_or_path": "/a"}) == []
    assert [c.id for c in export_rules({})] == ["export_dir.missing"]
    broken = {"export_dir": "/x", "adapter_name_or_path": "/a", "quantization_bit": 4, "export_legacy_format": True}
    assert [c.id for c in export_rules(broken)] == ["rule.export_quantized", "export.legacy"]


def test_a_model_named_by_mistake_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    with file.open("wb") as stream:
        stream.truncate(5 << 20)
    with pytest.raises(RequestError) as caught:
        load_arguments(file, ())
    assert "larger than 4 MiB" in caught.value.detail.english()


@pytest.mark.parametrize(
    ("value", "names"),
    [("a, b,,c ", ["a", "b", "c"]), (["a,b", " c"], ["a,b", "c"]), ("", []), (None, []), (7, [])],
)
def test_names_are_a_list_or_one_text_between_commas(value: object, names: list[str]) -> None:
    assert names_in(value) == names
