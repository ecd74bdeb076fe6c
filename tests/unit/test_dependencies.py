"""What pyproject.toml asks for and what the product imports are the same, and the lock has what it needs of it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("tui", "screens", "backend", "data")
BRIDGE = ROOT / "backend" / "lf" / "bridge"
"""Runs in LLaMA-Factory's Python, with its packages"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed() -> set[str]:
    """Return the distributions that pyproject.toml names as dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {normal(re.split(r"[<>=!~ \[;]", text, maxsplit=1)[0]) for text in project["dependencies"]}


def imports() -> dict[str, str]:
    """Return the foreign top-level modules that the product imports, early or late, with one place of each."""
    return {
        name: str(path.relative_to(ROOT))
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if BRIDGE not in path.parents
        for name in modules(ast.parse(path.read_bytes()))
        if name not in sys.stdlib_module_names and name not in ROOMS
    }


def modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case _:
                pass


def test_each_dependency_is_imported_and_each_import_is_a_dependency() -> None:
    homes, wished = packages_distributions(), listed()
    wanted: dict[str, set[str]] = {}
    unlisted: dict[str, str] = {}
    for module, place in imports().items():
        names = {normal(name) for name in homes.get(module, [module])}
        if names & wished:
            wanted[module] = names
        else:
            unlisted[module] = place
    assert unlisted == {}, "imported, but not in pyproject.toml"
    assert listed() - set().union(*wanted.values()) == set(), "in pyproject.toml, but imported nowhere"


def test_the_lock_has_every_dependency_with_hashes_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==\S+.* \\\n    --hash=", text, re.MULTILINE)}
    assert listed() <= locked
    assert not re.search(r"://|--index|--extra-index|--find-links", text)


def test_the_search_finds_late_imports() -> None:
    assert set(modules(ast.parse("import a.b\ndef f():\n    from c.d import e\n    from . import g"))) == {"a", "c"}
