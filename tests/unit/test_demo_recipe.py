"""The demo's recipe: arguments that LLaMA-Factory knows, absolute paths, and one template all the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.demo import recipe
from backend.lf.arguments import known_names, no_secrets, right_types
from backend.lf.schema import Verb, snapshot

BASE = Path("/models/base")
OUT = Path("/runs/one")
TRAIN = recipe.train_args(BASE, Path("/data/demo"), OUT)
EXPORT = recipe.export_args(BASE, OUT, Path("/runs/merged"))


@pytest.mark.parametrize(("verb", "args"), [("train", TRAIN), ("export", EXPORT)])
def test_the_pinned_llama_factory_knows_every_argument_and_its_type(verb: Verb, args: dict[str, object]) -> None:
    schema = snapshot()
    assert known_names(args, schema, verb) == []
    assert right_types(args, schema, verb) == []
    assert no_secrets(args) == []


def test_paths_are_those_passed_in() -> None:
    assert (TRAIN["model_name_or_path"], TRAIN["dataset_dir"], TRAIN["output_dir"]) == (
        "/models/base",
        "/data/demo",
        "/runs/one",
    )
    assert (EXPORT["adapter_name_or_path"], EXPORT["export_dir"]) == ("/runs/one", "/runs/merged")


def test_nothing_calls_home_and_no_remote_code_runs() -> None:
    assert TRAIN["report_to"] == "none"
    assert TRAIN["trust_remote_code"] is False
    assert EXPORT["trust_remote_code"] is False


def test_training_merge_and_server_share_the_template_and_its_stops() -> None:
    assert TRAIN["template"] == EXPORT["template"] == recipe.TEMPLATE == "chatml"
    assert recipe.OLLAMA_PARAMETERS["stop"] == ["<|im_end|>", "<|im_start|>"]
    assert recipe.OLLAMA_PARAMETERS["temperature"] == 0
