"""The user guide is true to the program, in both languages: commands, options, kinds, states, checks and tables."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from data.jobs.status import Status
from tui.commands.root import ROOT as PADDOCK
from tui.wording import KIND_WORDS, STATUS_GLYPHS

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "docs" / "guide" / language for language in ("en", "zh")]
EVERYWHERE = frozenset({"--json", "--lang", "--help", "--plain", "--version"})

both = pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)


def commands(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands below ``command`` that do something, with the words that call them."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{words} {name}")
    else:
        yield words, command


def sections(page: Path) -> dict[str, str]:
    """Return the text below each heading that begins with ``paddock``, by its words without arguments."""
    found: dict[str, str] = {}
    for part in re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        title, _newline, text = part.partition("\n")
        words = re.match(r"paddock(?: [a-z]+)*", title)
        if words:
            found[words[0]] = text
    return found


@both
def test_every_command_has_a_section_with_all_its_options_and_no_other(guide: Path) -> None:
    text = sections(guide / "command-line.md")
    wrong: list[str] = []
    for words, command in commands(PADDOCK, "paddock"):
        options = {name for p in command.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}
        wanted = options - EVERYWHERE
        if words == "paddock export":  # its section says: those of train, and these
            wanted = {"--check", "--no-check"}
        told = set(
            re.findall(r"`(--?[a-z][a-z-]*)", "\n".join(re.findall(r"^\| (`-.*?) \|", text[words], re.MULTILINE)))
        )
        if told != wanted:
            wrong.append(f"{words}: {sorted(told ^ wanted)}")
    assert wrong == []


@both
def test_the_kinds_of_jobs_are_those_of_the_program(guide: Path) -> None:
    (row,) = re.findall(
        r"^\| `--kind KIND` \| (.*) \|$", (guide / "command-line.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", row)) == set(KIND_WORDS)


@both
def test_every_state_is_explained(guide: Path) -> None:
    rows = re.findall(
        r"^\| `(.)` \| [^|]+ \| `(\w+)` \|", (guide / "jobs.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {(glyph, status) for glyph, status in rows} == {(STATUS_GLYPHS[status], str(status)) for status in Status}


def ids_of_checks() -> set[str]:
    """Return the ids of the doctor's checks: the first argument of each ``Check`` and ``of_error`` there."""
    found: set[str] = set()
    for path in (ROOT / "backend" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.Call(func=ast.Name(id="Check" | "of_error"), args=[ast.Constant(value=str(name)), *_rest]):
                    found.add(name)
                case _:
                    pass
    return found


@both
def test_every_check_of_the_doctor_is_explained(guide: Path) -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (guide / "trouble.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == ids_of_checks()
    assert len(rows) == len(set(rows))


def test_the_tables_of_keys_and_settings_are_up_to_date() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "keys.py"), "check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, f"stale, run `make keys`: {ended.stdout}{ended.stderr}"
