"""The first rows of a run's own data, as conversations of its proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.export.origin import deployment_of, own_rows_of
from backend.export.own_rows import ROWS, own_rows
from backend.parity.cases import Case, Turn
from backend.train.record import Data
from data.jobs.library import Library
from tests.ui.folders import Stable

SHAREGPT = [
    {"from": "human", "value": "Q"},
    {"from": "gpt", "value": "A"},
    {"from": "human", "value": "And?"},
    {"from": "gpt", "value": "So."},
]


def write(folder: Path, entry: dict[str, Any], rows: object, name: str = "mine") -> Data:
    """Leave one data set in ``folder``."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({name: {"file_name": file.name, **entry}}), encoding="utf-8")
    return Data((name,), str(folder))


@pytest.mark.parametrize(
    ("entry", "row", "turns"),
    [
        ({}, {"instruction": "I", "input": "J", "output": "O"}, [("user", "I\nJ")]),
        (
            {"columns": {"prompt": "q", "response": "a", "system": "s", "history": "h"}},
            {"q": "Q", "a": "A", "s": "S", "h": [["1", "2"]]},
            [("user", "1"), ("assistant", "2"), ("user", "Q")],
        ),
        (
            {"formatting": "sharegpt"},
            {"conversations": SHAREGPT},
            [("user", "Q"), ("assistant", "A"), ("user", "And?")],
        ),
        (
            {
                "formatting": "sharegpt",
                "columns": {"messages": "talk"},
                "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "me", "assistant_tag": "it"},
            },
            {"talk": [{"who": "me", "what": "Q"}, {"who": "it", "what": "A"}]},
            [("user", "Q")],
        ),
    ],
    ids=["alpaca", "alpaca by columns", "sharegpt", "sharegpt by tags"],
)
def test_rows_are_read_as_dataset_info_names_their_parts(
    tmp_path: Path, entry: dict[str, Any], row: dict[str, Any], turns: list[tuple[str, str]]
) -> None:
    found = own_rows(write(tmp_path, entry, [row]), tmp_path)
    assert found.left_out == ()
    (case,) = found.cases
    assert (case.name, [(turn.role, turn.text) for turn in case.turns]) == ("mine:1", turns)
    assert case.system == row.get("s", "")


def test_rows_that_a_training_leaves_out_are_passed_over_and_a_few_are_enough(tmp_path: Path) -> None:
    good = {"conversations": SHAREGPT}
    twice = {"conversations": [SHAREGPT[0], *SHAREGPT]}
    picture = {**good, "images": ["a.png"]}
    entry = {"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "images"}}
    found = own_rows(write(tmp_path, entry, [twice, good, picture, *[good] * 15]), tmp_path)
    assert [case.name for case in found.cases] == ["mine:2", "mine:4", "mine:5"]
    assert len(found.cases) == ROWS


def test_results_side_by_side_are_one_in_openais_form_and_drop_the_row_in_sharegpts(tmp_path: Path) -> None:
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    tags |= {"observation_tag": "tool", "function_tag": "call"}
    call = {"role": "call", "content": '{"name": "f", "arguments": {}}'}
    turns = [{"role": "user", "content": "Q"}, call, *[{"role": "tool", "content": "R"}] * 2]
    row = {"messages": [*turns, {"role": "assistant", "content": "A"}]}
    found = {
        form: own_rows(
            write(tmp_path, {"formatting": form, "columns": {"messages": "messages"}, "tags": tags}, [row]), tmp_path
        ).cases
        for form in ("openai", "sharegpt")
    }
    assert found["sharegpt"] == ()
    assert [turn.role for turn in found["openai"][0].turns] == ["user", "call", "result", "result"]


def test_the_beginning_of_a_long_list_is_enough(tmp_path: Path) -> None:
    rows = [{"instruction": "I"}] * 30 + [{"instruction": "x" * (17 << 20)}]
    found = own_rows(write(tmp_path, {}, rows), tmp_path)
    assert found.cases[0] == Case("mine:1", (Turn("user", "I"),))


@pytest.mark.parametrize(
    ("entry", "rows", "why"),
    [
        ({"hf_hub_url": "a/b"}, [], "no file of this machine"),
        ({"file_name": "mine.parquet"}, [], "neither JSON nor JSONL"),
        ({"file_name": "gone.json"}, [], "No such file"),
        ({}, [{"text": "T"}], "none of its first rows"),
        ({}, {"a": 1}, "none of its first rows"),
        ({}, [1], "no object"),
    ],
)
def test_data_that_cannot_be_asked_is_named_with_the_reason(
    tmp_path: Path, entry: dict[str, Any], rows: object, why: str
) -> None:
    found = own_rows(write(tmp_path, entry, rows), tmp_path)
    assert found.cases == ()
    (said,) = found.left_out
    assert "No row of mine" in said.english()
    assert why in said.english()


def test_a_data_set_that_nobody_describes_and_one_too_many_are_named(tmp_path: Path) -> None:
    found = own_rows(Data(("a", "b", "c", "d", "e"), str(tmp_path)), tmp_path)
    assert len(found.left_out) == 5
    assert "No such file" in found.left_out[0].english()
    assert "Of e no row" in found.left_out[-1].english()


def test_the_rows_of_a_deployed_model_count_from_where_its_training_ran(tmp_path: Path) -> None:
    workspace = tmp_path / "elsewhere"
    workspace.mkdir()
    write(workspace / "data", {}, [{"instruction": "I"}])
    stable = Stable(tmp_path / "jobs", workspace=str(workspace))
    train = stable.job("train", "sft", ago_s=90).start().end()
    record = {"version": 1, "job": train.folder.id, "template": "qwen", "dataset": "mine", "dataset_dir": "data"}
    (tmp_path / "paddock.json").write_text(json.dumps(record), encoding="utf-8")
    deploy = stable.job("deploy", "m", ago_s=70, params={"gguf": str(tmp_path / "m.gguf"), "name": "m"}).start()
    deploy.event("result", values={"model": "m:latest"}).end()
    stable.close()
    library = Library(tmp_path / "jobs")
    assert [case.name for case in own_rows_of(library, deployment_of(library, "m")).cases] == ["mine:1"]
    (tmp_path / "paddock.json").write_text(json.dumps({**record, "job": "gone"}), encoding="utf-8")
    (why,) = own_rows_of(library, deployment_of(library, "m")).left_out
    assert "that job is gone" in why.english()
    assert own_rows_of(library, deployment_of(library, "other")).cases == ()
