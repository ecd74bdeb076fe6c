"""docs/architecture.md is true to the tree: what it names exists, and every package is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("tui", "screens", "backend", "data")
WORD = re.compile(r"`([^`]+)`")
FUNCTION = re.compile(r"(?:(\w+)\.)?(\w+)\(\)")


def named_functions() -> Iterator[tuple[str, str]]:
    """Yield (file, function) for each function of the page: it belongs to the file that is named before it."""
    for line in PAGE.splitlines():
        file = ""
        for word in WORD.findall(line):
            if word.endswith(".py") and "/" in word:
                file = word
            elif FUNCTION.fullmatch(word):
                yield file, word.removesuffix("()")


def functions_of(file: Path) -> set[str]:
    """Return the functions of a file, and the methods as Class.method."""
    found: set[str] = set()
    for node in ast.parse(file.read_bytes(), str(file)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def test_the_page_follows_a_job_through_many_functions() -> None:
    assert len(list(named_functions())) >= 25


@pytest.mark.parametrize(("file", "function"), named_functions())
def test_every_function_that_is_named_is_in_its_file(file: str, function: str) -> None:
    assert file, f"no file is named before {function}()"
    assert function in functions_of(ROOT / file)


def test_every_file_that_is_named_exists() -> None:
    named = {word for word in WORD.findall(PAGE) if re.fullmatch(r"[\w./]+/[\w.]+\.py", word)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_package_is_named_and_every_folder_that_is_named_exists() -> None:
    packages = {f"{path.parent.relative_to(ROOT)}/" for top in PACKAGES for path in (ROOT / top).rglob("__init__.py")}
    packages.add("backend/lf/bridge/")  # scripts of another Python: no package of ours
    named = set(re.findall(r"`((?:tui|screens|backend|data)/(?:\w+/)*)`", PAGE))
    assert named == packages


def test_every_module_that_a_room_names_is_there() -> None:
    wrong: list[str] = []
    for room, text in re.findall(r"^\| `((?:\w+/)+)` \| (.*) \|$", PAGE, re.MULTILINE):
        for word in WORD.findall(text):
            folder = ROOT / room
            if re.fullmatch(r"[a-z_]+", word) and not any((folder / name).exists() for name in (f"{word}.py", word)):
                wrong.append(f"{room}{word}")
    assert wrong == []


def test_every_kind_of_job_is_in_the_glossary() -> None:
    from tui.wording import KIND_WORDS

    (kinds,) = re.findall(r"Its \*kind\* \(([\w, ]+)\)", PAGE)
    assert set(kinds.split(", ")) == set(KIND_WORDS)
