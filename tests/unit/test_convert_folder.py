"""A model folder's small files, as llama.cpp's script and transformers take them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.convert.converter import convert
from backend.convert.folder import read_text
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
