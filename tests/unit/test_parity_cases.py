"""Reading conversations: a person's own rows, as LLaMA-Factory would train on them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from backend.parity import rowfile
from backend.parity.cases import Turn, read_cases
from data.errors import RequestError

OPENAI = {
    "messages": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
    ]
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "Q"},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"at": 1}}'},
        {"from": "observation", "value": "seen"},
        {"from": "gpt", "value": "A"},
    ],
    "system": "S",
    "tools": '[{"name": "look"}]',
}
ALPACA = {"instruction": "I", "input": "Q", "output": "A", "history": [["Q0", "A0"]], "system": "S"}


@pytest.mark.parametrize("lines", [True, False], ids=["jsonl", "json"])
def test_a_persons_own_rows_are_read_in_llama_factorys_forms(tmp_path: Path, lines: bool) -> None:
    rows = [OPENAI, SHAREGPT, ALPACA]
    file = tmp_path / "rows"
    file.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows), encoding="utf-8")
    openai, sharegpt, alpaca = read_cases(file)
    assert openai.messages() == [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    assert [turn.role for turn in sharegpt.turns] == ["user", "call", "result"]
    assert sharegpt.training()["tools"] == '[{"name": "look"}]'
    assert sharegpt.messages()[2] == {
        "role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]
    }  # fmt: skip
    assert [turn.text for turn in alpaca.turns] == ["Q0", "A0", "I\nQ"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[1]", '{"messages": []}', '{"x": 1}', '{"messages": [{"role": "z"}]}']
)
def test_a_file_that_is_no_data_set_is_refused_with_its_reason(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match="conversations"):
        read_cases(file)
    assert rowfile.MAX_ROWS == 20


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"messages": ' + "[" * 100_000, "deep"),
        ('{"messages": [{"role": "user", "content": "Q"}], "tools": ' + "[" * 100 + "]" * 100 + "}", "64 levels"),
        ('{"messages": [{"role": "user", "content": "Q"}], "tools": "' + "[" * 100_000 + '"}', "row 1: .*deep"),
        ('{"messages": [{"role": "user", "content": NaN}]}', "no numbers of JSON"),
        ('{"messages": [{"role": "user", "content": 1e999}]}', "no numbers of JSON"),
        ('{"messages": [1]}', "row 1"),
        ('{"instruction": "I", "history": [[]]}', "row 1: .*pairs"),
        ('{"messages": [{"role": "user", "content": "a\\u0000b \\ud800"}]}', r"row 1: \\ud800 is half of a character"),
        ('[{"instruction": "I"}, {"instruction": "I", "x": {"\\udfff": 1}}]', r"row 2: \\udfff is half"),
        ('{"messages": [{"role": "user", "content": "Q"}], "tools": "[\\"\\\\ud800\\"]"}', r"row 1: \\ud800"),
        ('{"instruction": "I"}\n{"instruction": ', "row 2"),
        ("[" + " " * (17 << 20) + "]", "larger than 16 MiB"),
        ('{"x": "' + " " * (17 << 20) + '"}', "larger than 16 MiB"),
    ],
    ids=[
        "deep",
        "deeper than is read",
        "deep tools",
        "NaN",
        "infinity",
        "no turn",
        "no pair",
        "half a character",
        "half in a key",
        "half in the tools",
        "cut off",
        "large",
        "long line",
    ],
)
def test_a_hostile_file_is_one_clear_error(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_cases(file)
    assert re.search(why, str(caught.value.detail))


ASKED, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
PARTS = [{"type": "text", "text": "hi there"}]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"a": 1}, "neither messages nor conversations nor an instruction"),
        ({"messages": [{"role": "user", "content": PARTS}]}, "user is no text"),
        ({"messages": [{"role": "user", "content": None}]}, "user is no text"),
        ({"messages": [{"role": "system", "content": PARTS}, ASKED]}, "system is no text"),
        ({"messages": [ASKED, {"role": "assistant"}, ASKED]}, "assistant is no text"),
        ({"messages": [ASKED, {"role": "system", "content": "S"}]}, "not the first one"),
        ({"messages": [{"role": "critic", "content": "C"}]}, "the role 'critic' is unknown"),
        ({"messages": [ASKED, ASKED]}, "do not take turns in it, so LLaMA-Factory drops it"),
        ({"messages": [ANSWER, ASKED]}, "do not take turns"),
        ({"messages": [ASKED, ANSWER, ANSWER, ASKED]}, "do not take turns"),
        ({"conversations": [{"from": "observation", "value": "1"}, {"from": "observation", "value": "2"}]}, "turns"),
        ({"messages": [ANSWER]}, "it asks nothing"),
        ({"messages": [ASKED], "system": ["S"]}, "system is no text"),
        ({"messages": [ASKED], "images": ["a.png"]}, "it has images"),
        ({"messages": [ASKED], "tools": "[]"}, "list of tools is empty"),
        ({"messages": [ASKED], "tools": "look"}, "tools is no JSON"),
        ({"messages": [ASKED], "tools": {"name": "look"}}, "tools is no list of objects"),
        ({"messages": [ASKED], "tools": [{"type": "function", "function": {"name": "look"}, "x": 1}]}, "nothing else"),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "function_call", "value": "look()"}]}, "no JSON"),
        ({"instruction": PARTS}, "instruction is no text"),
        ({"instruction": "I", "history": [["Q", None]]}, "history is no text"),
        (
            {"messages": [ASKED, {**ANSWER, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}, ASKED]},
            "arguments of a call are no object",
        ),
    ],
)
def test_a_row_that_llama_factory_would_not_train_on_as_it_stands_is_refused(
    tmp_path: Path, row: dict[str, object], why: str
) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([OPENAI, row]), encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_cases(file)
    assert re.search(f"row 2: .*{why}", str(caught.value.detail))


def test_what_llama_factory_reads_otherwise_than_it_is_written_is_read_as_it_does(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": {}}}]}
    results = [{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]
    look = {"name": "look", "parameters": {}}
    rows = [
        {"messages": [{"role": "system", "content": None}, ASKED], "system": "S"},
        {"messages": [ASKED, call, *results]},
        {"instruction": "I", "history": "none", "tools": json.dumps([look])},
        {"messages": [ASKED], "tools": [{"type": "function", "function": look}]},
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A", "tool_calls": [1]}, ASKED]},
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    null, joined, alpaca, openai, sharegpt = read_cases(file)
    assert null.system == ""
    assert [turn.role for turn in joined.turns] == ["user", "call", "result", "result"]
    assert joined.training()["messages"] == [
        ASKED,
        {"role": "function", "content": '[{"name": "look", "arguments": {}}]'},
        {"role": "observation", "content": "1\n</tool_response>\n<tool_response>\n2"},
        {"role": "assistant", "content": "Yes."},
    ]
    assert alpaca.turns == (Turn("user", "I"),)
    assert alpaca.tools == openai.tools == (look,)
    assert sharegpt.turns[1] == Turn("assistant", "A")


def test_the_first_rows_of_a_large_file_of_lines_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = json.dumps({"messages": [{"role": "user", "content": "\u2028"}]}, ensure_ascii=False) + "\n"
    file.write_text(row * 20 + " " * (17 << 20), encoding="utf-8")
    assert [case.turns[0].text for case in read_cases(file)] == ["\u2028"] * 20
