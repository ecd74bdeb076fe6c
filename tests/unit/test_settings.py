"""Settings: a file, then the environment; every field documented; every mistake explained."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import RequestError
from data.settings import ABOUT, CHOICES, PREFIX, Settings, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path / "settings.toml", {})
    assert loaded.values == Settings()
    assert set(loaded.origins.values()) == {"default"}


@pytest.mark.parametrize("text", ["", "en", "en_GB.UTF-8", "zh", "zh-CN", "中文"])
def test_a_language_is_understood_as_people_write_it(tmp_path: Path, text: str) -> None:
    assert load_settings(write(tmp_path, f'language = "{text}"\n'), {}).values.language == text


@pytest.mark.parametrize("name", Settings._fields)
def test_every_setting_has_a_help_text_that_is_a_sentence(name: str) -> None:
    text = str(ABOUT[name])
    assert text[0].isupper()
    assert text.endswith(".")


def test_the_file_goes_before_the_default_and_the_environment_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'theme = "paddock-light"\nstop_grace_s = 5\n[keys]\n"job.stop" = "X"\n')
    loaded = load_settings(path, {f"{PREFIX}STOP_GRACE_S": "7", f"{PREFIX}HOME": "/x", "OTHER": "1"})
    assert (loaded.values.theme, loaded.values.stop_grace_s) == ("paddock-light", 7)
    assert loaded.values.keys == {"job.stop": "X"}
    assert loaded.origins["theme"] == "file"
    assert loaded.origins["stop_grace_s"] == f"{PREFIX}STOP_GRACE_S"
    assert loaded.origins["remote"] == "default"


def test_every_simple_setting_can_be_set_by_its_variable(tmp_path: Path) -> None:
    for name, default in Settings._field_defaults.items():
        if name == "keys":
            continue
        text = CHOICES[name][-1] if name in CHOICES else "12" if isinstance(default, int) else "english words"
        loaded = load_settings(tmp_path / "none.toml", {PREFIX + name.upper(): text})
        assert str(getattr(loaded.values, name)) == text
        assert loaded.origins[name] == PREFIX + name.upper()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theme = [", "settings.toml"),
        ("them = 1", "Unknown setting them"),
        ("stop_grace_s = -1", "whole number of 0 or more"),
        ("stop_grace_s = true", "whole number"),
        ('stop_grace_s = "5"', "whole number"),
        ('remote = "maybe"', "auto, on, off"),
        ('language = "fr"', "en, zh_CN"),
        ("theme = 5", "5 is not one of paddock-dark"),
        ('keys = "x"', "a table of text"),
        ("[keys]\nstop = 1", "a table of text"),
        ("[keys.jobs]\nstop = 'x'", "a table of text"),
    ],
)
def test_a_mistake_in_the_file_says_what_and_where(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RequestError) as raised:
        load_settings(path, {})
    assert words in str(raised.value)
    assert str(raised.value.hint)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as raised:
        load_settings(tmp_path / "none.toml", {f"{PREFIX}STOP_GRACE_S": "soon"})
    assert f"{PREFIX}STOP_GRACE_S" in str(raised.value)


def test_a_file_that_is_not_text_or_may_not_be_read_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError):
        load_settings(path, {})
    path.unlink()
    path.mkdir()
    with pytest.raises(RequestError):
        load_settings(path, {})


@given(content=st.binary(max_size=200))
def test_no_file_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_bytes(content)
    with contextlib.suppress(RequestError):
        load_settings(path, {})
