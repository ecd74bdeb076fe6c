"""The directions of imports: each rule is broken once in a copy of the tree, and the check is seen to fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tui", "screens", "backend", "data")
BRIDGE = ROOT / "backend" / "lf" / "bridge"
LLAMA_FACTORYS_OWN = frozenset({"llamafactory", "transformers", "torch", "peft", "datasets", "trl", "accelerate"})

# Where a line is planted, the line, and what the check has to say about it.
PLANTED = [
    ("data/errors.py", "import backend.runner", "data is not allowed to import backend"),
    ("backend/runner.py", "import tui.wording", "backend is not allowed to import tui.wording"),
    ("tui/services.py", "import screens.home", "tui.services is not allowed to import screens"),
    ("screens/__init__.py", "import tui.app", "screens is not allowed to import tui.app"),
    ("tui/app.py", "import tui.cli", "tui.app is not allowed to import tui.cli"),
    ("tui/app.py", "import tui.commands.root", "tui.app is not allowed to import tui.commands"),
    ("tui/actions.py", "import tui.keys", "tui.actions is not allowed to import tui.keys"),
    ("backend/jobs/follow.py", "import backend.train.spec", "backend.jobs is not allowed to import backend.train"),
    ("backend/ollama/client.py", "import backend.chat", "backend.ollama is not allowed to import backend.chat"),
    ("backend/train/spec.py", "import backend.convert", "backend.train is not allowed to import backend.convert"),
    ("backend/telemetry/host.py", "import backend.lf.find", "backend.telemetry is not allowed to import backend.lf"),
    ("backend/parity/template.py", "import backend.convert", "backend.parity is not allowed to import backend.convert"),
    ("data/paths.py", "import rich.text", "data is not allowed to import rich"),
    ("backend/jobs/launch.py", "import textual.app", "backend is not allowed to import textual"),
    ("backend/train/record.py", "import torch", "backend is not allowed to import torch"),
    ("data/settings.py", "import transformers", "data is not allowed to import transformers"),
    ("screens/status.py", "import subprocess", "screens is not allowed to import subprocess"),
    ("tui/widgets/cells.py", "import httpx", "tui.widgets is not allowed to import httpx"),
    ("tui/stray.py", "", "- tui.stray"),
    ("backend/stray.py", "", "- backend.stray"),
]


def lint_imports(folder: Path) -> tuple[int, str]:
    """Run the check in ``folder``; return its status and what it said, in one line."""
    environ = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1"}
    environ.pop("PYTHONPATH", None)
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run(
        [program, "--no-cache"], cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the four packages and of the rules."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_every_rule() -> None:
    status, said = lint_imports(ROOT)
    assert status == 0, said


def test_each_rule_is_seen_to_fail(copy: Path) -> None:
    for name, line, _words in PLANTED:
        file = copy / name
        text = file.read_text(encoding="utf-8") if file.exists() else '"""A module that no layer names."""\n'
        file.write_text(f"{text}\n{line}\n", encoding="utf-8")
    status, said = lint_imports(copy)
    assert status == 1, said
    assert "0 kept, " in said
    assert [words for _name, _line, words in PLANTED if words not in said] == []


def test_every_module_of_tui_has_a_floor() -> None:
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    named = {name.strip() for layer in layers for name in layer.replace("|", ":").split(":")}
    modules = {
        path.stem for path in (ROOT / "tui").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {f"tui.{name}" for name in modules if name != "__init__"} == {n for n in named if n.startswith("tui.")}


def imported(file: Path) -> set[str]:
    """Return the full names that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def bridge_faults(bridge: Path) -> list[str]:
    """Return what scripts of the bridge import beyond the standard library and LLaMA-Factory's environment."""
    allowed = LLAMA_FACTORYS_OWN | set(sys.stdlib_module_names)
    return [
        f"{file.name}: {name}"
        for file in sorted(bridge.rglob("*.py"))
        for name in sorted(imported(file))
        if name.partition(".")[0] not in allowed
    ]


def importers_of_the_bridge(root: Path) -> list[str]:
    """Return the files that import a script of the bridge, which must run in LLaMA-Factory's Python only."""
    inside = {f"backend.lf.bridge.{file.stem}" for file in BRIDGE.glob("*.py")} | {"backend.lf.bridge"}
    found: list[str] = []
    for package in (*PACKAGES, "tests", "scripts"):
        for file in (root / package).rglob("*.py"):
            names = imported(file)
            near = {"bridge", ".bridge"} if file.parent == root / "backend" / "lf" else set[str]()
            if any(name in inside or name.startswith("backend.lf.bridge.") or name in near for name in names):
                found.append(str(file.relative_to(root)))
    return found


def test_bridge_scripts_import_nothing_of_ours() -> None:
    assert any(BRIDGE.rglob("*.py"))
    assert bridge_faults(BRIDGE) == []


def test_nobody_imports_the_bridge() -> None:
    assert importers_of_the_bridge(ROOT) == []


def test_the_bridge_rules_are_seen_to_fail(copy: Path) -> None:
    bridge = copy / "backend" / "lf" / "bridge"
    (bridge / "bad.py").write_text("from data.errors import AppError\n", encoding="utf-8")
    (bridge / "worse.py").write_text("def late():\n    import click\n", encoding="utf-8")
    (copy / "backend" / "lf" / "find.py").write_text("from backend.lf.bridge import arguments\n", encoding="utf-8")
    (copy / "backend" / "lf" / "schema.py").write_text("from .bridge import arguments\n", encoding="utf-8")
    assert bridge_faults(bridge) == ["bad.py: data.errors", "bad.py: data.errors.AppError", "worse.py: click"]
    assert sorted(importers_of_the_bridge(copy)) == ["backend/lf/find.py", "backend/lf/schema.py"]


def test_the_bridge_is_no_package() -> None:
    assert not (BRIDGE / "__init__.py").exists()
