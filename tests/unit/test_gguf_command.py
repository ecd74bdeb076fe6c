"""`paddock gguf`: what it tells of a file, that its texts are inert, and its exit statuses."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from backend.convert.converter import convert
from backend.deploy.create import check_gguf
from data.errors import AppError, RequestError
from tests.unit.model_folder import write_model
from tests.unit.test_hostile import ARRAY, GPT2, MODEL, STRING, array, gguf, key, tensor, text
from tui.commands.root import run
from tui.inspecting import inspect


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "a.gguf", outtype="q8_0", chat_template="{{ one }}\n{{ two }}")
    return tmp_path / "a.gguf"


def shown(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    assert run(["gguf", *map(str, words), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_show_tells_keys_tensors_types_tokenizer_and_template(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = shown(capsys, "show", file)
    assert (answer["architecture"], answer["problems"], answer["version"]) == ("llama", [], 3)
    keys = {entry["name"]: entry for entry in answer["keys"]}
    assert keys["llama.block_count"] == {"name": "llama.block_count", "type": "uint32", "value": 2}
    tokens = keys["tokenizer.ggml.tokens"]
    assert (tokens["type"], tokens["count"], len(tokens["first"])) == ("array[string]", 260, 8)
    assert {share["type"] for share in answer["types"]} == {"Q8_0", "F32"}
    assert sum(share["tensors"] for share in answer["types"]) == len(answer["tensors"]) == 21
    first = next(entry for entry in answer["tensors"] if entry["name"] == "token_embd.weight")
    assert (first["shape"], first["type"], first["bytes"]) == ([32, 260], "Q8_0", 260 * 34)
    assert answer["template"] == "{{ one }}\n{{ two }}"
    tokenizer = answer["tokenizer"]
    assert (tokenizer["model"], tokenizer["pre"], tokenizer["merges"]) == ("gpt2", "gpt-2", 1)
    assert {entry["role"]: entry["id"] for entry in tokenizer["special"]} == {"bos": 256, "eos": 257}
    assert all(entry["text"] for entry in tokenizer["special"])


@pytest.mark.parametrize(("part", "kept"), [("--keys", "keys"), ("--tensors", "tensors"), ("--template", "template")])
def test_parts_can_be_asked_for_alone(file: Path, capsys: pytest.CaptureFixture[str], part: str, kept: str) -> None:
    answer = shown(capsys, "show", file, part)
    assert {"keys", "tensors", "template", "tokenizer", "problems"} & set(answer) == {kept}
    assert run(["gguf", "show", str(file), part]) == 0
    assert {"keys": "llama.block_count", "tensors": "2 × 260", "template": "{{ one }}\n{{ two }}"}[kept] in (
        capsys.readouterr().out.replace("32 × 260", "2 × 260")
    )


def test_what_a_file_says_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202egpj\nnext"
    keys = [MODEL, GPT2, key(evil, STRING, text(evil)), key("tokenizer.chat_template", STRING, text(evil))]
    keys.append(key("tokenizer.ggml.tokens", ARRAY, array(STRING, 1, text(evil))))
    path = tmp_path / "evil.gguf"
    path.write_bytes(gguf(keys, [tensor(evil)]) + bytes(300))
    for words in (["show"], ["show", "--keys"], ["show", "--tensors"], ["show", "--template"], ["check"]):
        run(["gguf", words[0], str(path), *words[1:]])
        said = capsys.readouterr()
        assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


def test_numbers_that_json_has_not_are_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf([MODEL, key("x", 6, b"\0\0\xc0\x7f")], [tensor("a")]) + bytes(300))
    entry = shown(capsys, "show", path, "--keys")["keys"][-1]
    assert entry == {"name": "x", "type": "float32", "value": "nan"}


def test_check_is_1_for_a_file_that_contradicts_itself(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gguf", "check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-100])
    assert run(["gguf", "check", str(cut), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["problems"][0]["rule"]) == (False, "tensors.cut_off")
    assert run(["gguf", "check", str(cut)]) == 1
    assert "cut off" in capsys.readouterr().out


def test_no_file_is_2_and_no_gguf_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gguf", "show", str(tmp_path / "none.gguf")]) == 2
    (tmp_path / "text.gguf").write_text("not one")
    assert run(["gguf", "show", str(tmp_path / "text.gguf")]) == 1
    assert "magic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "said", "remedy"),
    [
        (struct.pack(">I", 3), "big-endian", "gguf-convert-endian"),
        (struct.pack("<I", 1), "version 1 of the format", "newer file"),
        (struct.pack("<I", 4), "version 4 of the format", "update Paddock"),
    ],
)
def test_a_gguf_of_another_form_is_said_to_be_one_and_not_damaged(
    file: Path, capsys: pytest.CaptureFixture[str], version: bytes, said: str, remedy: str
) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[:4] + version + raw[8:])
    assert run(["gguf", "show", str(file)]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert remedy in told
    assert "cut off" not in told


def test_a_pipe_and_a_folder_are_no_files_and_nobody_waits_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path / "pipe.gguf", tmp_path):
        for words in (["gguf", "show"], ["gguf", "check"]):
            assert run([*words, str(path)]) == 2
            assert "is not a file" in capsys.readouterr().err
        with pytest.raises(RequestError, match="is not a file"):
            inspect(path)


def test_a_part_of_a_model_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = [key("split.no", 2, b"\1\0"), key("split.count", 2, b"\3\0"), key("split.tensors.count", 5, b"\x4b\0\0\0")]
    path = tmp_path / "a-00002-of-00003.gguf"
    path.write_bytes(gguf(split, [tensor("a")]) + bytes(300))
    assert run(["gguf", "check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "This is part 2 of 3 of a model: it holds 1 of its 75 tensors." in said
    assert "llama-gguf-split --merge" in said
    assert "vocabulary" not in said
    with pytest.raises(AppError, match="part 2 of 3"):
        check_gguf(path, "")
    assert [problem["rule"] for problem in shown(capsys, "show", path)["problems"]] == ["split.part"]
