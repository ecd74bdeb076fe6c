"""What stands beside the weights: taken into the GGUF where it can be read, told where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.convert.converter import ConvertReport, convert
from backend.convert.planning import make_plan
from data.errors import RequestError
from data.gguf import read_header
from tests.unit.model_folder import write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "robin")
    return tmp_path / "robin"


def told(report: ConvertReport) -> list[str]:
    return [str(warning) for warning in report.warnings]


def test_settings_keep_their_types(folder: Path, tmp_path: Path) -> None:
    settings = {"top_k": 20, "temperature": 1, "repetition_penalty": 1.1, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert told(convert(folder, tmp_path / "a.gguf")) == []
    types = {key: kind for key, kind in read_header(tmp_path / "a.gguf").types.items() if ".sampling." in key}
    assert types == {
        "general.sampling.top_k": "int32",
        "general.sampling.temp": "float32",
        "general.sampling.penalty_repeat": "float32",
    }


@pytest.mark.parametrize("content", ["[1]", "7", "null"])
def test_settings_that_are_no_object_are_refused_by_their_name(folder: Path, content: str) -> None:
    (folder / "generation_config.json").write_text(content)
    with pytest.raises(RequestError, match=r"generation_config\.json") as caught:
        make_plan(folder)
    assert "README" not in str(caught.value)


def test_settings_that_are_no_json_are_left_out_and_told(folder: Path, tmp_path: Path) -> None:
    (folder / "generation_config.json").write_bytes(b"{")
    (warning,) = told(convert(folder, tmp_path / "a.gguf"))
    assert "generation_config.json" in warning


@pytest.mark.parametrize("value", ['"many"', "1e400", "NaN", "true", "[1]", "4294967296.5", "9" * 400])
def test_a_setting_of_the_wrong_type_is_left_out_and_told(folder: Path, tmp_path: Path, value: str) -> None:
    (folder / "generation_config.json").write_text(f'{{"top_k": {value}, "top_p": 0.5}}')
    (warning,) = told(convert(folder, tmp_path / "a.gguf"))
    assert "top_k" in warning
    keys = read_header(tmp_path / "a.gguf").keys
    assert ("general.sampling.top_k" in keys, keys["general.sampling.top_p"]) == (False, 0.5)


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (b"---\nlicense: caf\xe9\n---\n", "invalid continuation byte"),
        (b"---\nlicense: mit\n---\n\nd\xe9j\xe0 vu\n", "invalid continuation byte"),
        (b"---\nlicense: [mit\n---\n", "while parsing"),
        (b"---\nbase_model:\n- 7\n---\n", ""),
        (b"---\ntags:\n- 7\n- {a: b}\n---\n", ""),
    ],
)
def test_a_card_that_cannot_be_read_is_left_out_and_told(
    folder: Path, tmp_path: Path, card: bytes, reason: str
) -> None:
    (folder / "README.md").write_bytes(card)
    report = convert(folder, tmp_path / "a.gguf")
    keys = read_header(tmp_path / "a.gguf").keys
    assert keys["general.name"] == "Robin"
    assert "general.license" not in keys
    assert all(str(folder / "README.md") in line for line in told(report))
    assert not reason or any(reason in line for line in told(report))
