"""Messages: templates that are filled and translated only when they are shown."""

from __future__ import annotations

import ast
import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import i18n
from data.i18n import Message, _, verbatim

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_TW"}, "zh_CN"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh_CN"),
    ],
)
def test_the_locale_chooses_the_language(environ: dict[str, str], language: str) -> None:
    assert i18n.language_from_environment(environ) == language


@pytest.mark.parametrize(
    ("text", "language"), [("zh", "zh_CN"), ("zh-CN", "zh_CN"), ("中文", "zh_CN"), ("en_GB.UTF-8", "en"), ("", "en")]
)
def test_what_a_person_writes_names_a_language(text: str, language: str) -> None:
    assert i18n.normalise(text) == language
    assert i18n.activate(text) == language
    assert i18n.active_language() == language


def test_values_are_filled_in_when_it_is_shown() -> None:
    message = _("{count} of {total}", count=1, total=_("{n} jobs", n=3))
    assert str(message) == "1 of 3 jobs"
    assert message.english() == "1 of 3 jobs"


def test_a_wrong_translation_does_not_hide_the_message() -> None:
    assert str(Message("{a} and {b", {"a": 1})) == "{a} and {b"
    assert str(Message("{missing}", {"a": 1})) == "{missing}"
    assert str(Message("{a.nothing}", {"a": 1})) == "{a.nothing}"


def test_text_of_others_is_never_taken_for_a_template() -> None:
    assert str(verbatim("a {path} of {0}")) == "a {path} of {0}"
    assert not verbatim("")


scalars = st.text(max_size=20) | st.integers(-(10**9), 10**9)


@given(template=st.text(max_size=40), values=st.dictionaries(st.sampled_from("abc"), scalars, max_size=3))
def test_a_message_survives_its_file(template: str, values: dict[str, object]) -> None:
    message = Message(template, {**values, "inner": Message("<{a}>", values)})
    read = Message.from_json(json.loads(json.dumps(message.as_json())))
    assert str(read) == str(message)
    assert read.english() == message.english()


@given(value=st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_anything_can_be_read_as_a_message(value: object) -> None:
    assert isinstance(str(Message.from_json(value)), str)


def calls_of_gettext() -> list[tuple[Path, ast.Call]]:
    """Return every call of ``_`` in the four packages."""
    found: list[tuple[Path, ast.Call]] = []
    for package in ("tui", "screens", "backend", "data"):
        for path in sorted((ROOT / package).rglob("*.py")):
            calls = (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call))
            found += [(path, call) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "_"]
    return found


def test_templates_are_literals_so_that_they_can_be_collected() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in calls_of_gettext()
        if len(call.args) != 1 or not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str)
    ]
    assert wrong == []


def test_templates_name_exactly_the_values_that_they_get() -> None:
    wrong: list[str] = []
    for path, call in calls_of_gettext():
        if not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        if any(keyword.arg is None for keyword in call.keywords):  # **values: known only when it runs
            continue
        given_names = {keyword.arg for keyword in call.keywords}
        template = str(call.args[0].value)
        named = {name for _text, name, _spec, _conversion in string.Formatter().parse(template) if name is not None}
        if given_names and named != given_names:
            wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}: {sorted(named)} / {sorted(map(str, given_names))}")
    assert wrong == []
