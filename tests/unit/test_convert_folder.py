"""A model folder's small files, as llama.cpp's script and transformers take them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.convert.converter import convert
from backend.convert.folder import read_json, read_text
from data.errors import RequestError
from data.gguf import read_header
from tests.unit.model_folder import write_model


@given(st.text(st.sampled_from(["a", "é", " ", "\r", "\n", "\u2028", "\x0b"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_has_the_line_ends_of_pythons_text_mode(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chat_template.jinja"
    file.write_bytes(text.encode())
    assert read_text(file) == file.read_text(encoding="utf-8")


def test_a_template_that_was_saved_on_windows_becomes_the_one_that_was_trained_on(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_bytes(b"{{ one }}\r\n{{ two }}\r\n")
    convert(tmp_path / "model", tmp_path / "a.gguf")
    assert read_header(tmp_path / "a.gguf").keys["tokenizer.chat_template"] == "{{ one }}\n{{ two }}\n"


@pytest.mark.parametrize(
    "config", [{"quantization_config": {}}, {"quantization_config": None}, {"architectures": ["LLaMAForCausalLM"]}]
)
def test_what_means_the_same_gives_the_same_file(tmp_path: Path, config: dict[str, object]) -> None:
    for name, changes in (("plain", {}), ("other", config)):
        write_model(tmp_path / name, config=changes)
        convert(tmp_path / name, tmp_path / f"{name}.gguf", name="Robin")
    assert (tmp_path / "other.gguf").read_bytes() == (tmp_path / "plain.gguf").read_bytes()


ESCAPES = st.lists(
    st.sampled_from(["\\ud83d", "\\uDE00", "\\\\", "ud83d", "\\n", "\\u0120", "\\ud7ff", "x"]), max_size=6
)


@given(ESCAPES.map("".join))
def test_half_of_a_surrogate_pair_is_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "surrogates.json"
    file.write_text(f'{{"a": "{text}"}}')
    try:
        json.loads(file.read_text())["a"].encode()
    except UnicodeEncodeError:
        with pytest.raises(RequestError, match="cannot be read"):
            read_json(file)
    else:
        assert read_json(file) == json.loads(file.read_text())
