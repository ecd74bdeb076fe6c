"""Every command and option that a message names exists: nobody is sent to a command that is not there."""

from __future__ import annotations

import re

import click

from tests.unit.test_catalogue import calls, literal
from tui.commands.form import Group
from tui.commands.root import ROOT

COMMAND = re.compile(r"`(paddock(?: [^`]*)?)`|\bpaddock((?: [a-z][a-z-]*)+)")
FOREIGN_OPTIONS = frozenset({"--ipc", "--shm-size", "--user", "--time", "--scope", "--merge"})
"""Of docker, systemd, Slurm and llama-gguf-split"""


def templates() -> dict[str, str]:
    """Return the templates of all messages, with one place of each."""
    return {template: place for place, node in calls("_") if (template := literal(node))}


def options(command: click.Command) -> set[str]:
    return {name for p in command.get_params(click.Context(command)) for name in (*p.opts, *p.secondary_opts)}


def everything(command: click.Command = ROOT) -> set[str]:
    """Return the options of all commands."""
    found = options(command)
    if isinstance(command, Group):
        for name in command.table:
            below = command.get_command(click.Context(command), name)
            assert below is not None
            found |= everything(below)
    return found


def fault(text: str, *, whole: bool) -> str:
    """Return what is wrong in "paddock WORD…"; "" where nothing is. In running text only the first words are it."""
    command: click.Command = ROOT
    for word in text.split()[1:]:
        if word.startswith("-"):
            if word.partition("=")[0] not in options(command):
                return f"{command.name} has no {word}"
        elif isinstance(command, Group) and not word.startswith("{"):
            below = command.get_command(click.Context(command), word)
            if below is None:
                return f"{command.name} has no {word}"
            command = below
        elif not whole:
            break
    return ""


def test_every_command_that_a_message_names_exists() -> None:
    faults: dict[str, str] = {}
    seen = 0
    for template, place in templates().items():
        for quoted, plain in COMMAND.findall(template):
            seen += 1
            wrong = fault(quoted or f"paddock{plain}", whole=bool(quoted))
            if wrong:
                faults[f"{place}: {template}"] = wrong
    assert faults == {}
    assert seen > 60, "the search finds less than there was"


def test_every_option_that_a_message_names_exists() -> None:
    known = everything() | FOREIGN_OPTIONS
    named = {
        (option, place)
        for text, place in templates().items()
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)
    }
    assert {(option, place) for option, place in named if option not in known} == set()
    assert {option for option, _place in named} >= FOREIGN_OPTIONS


def test_the_search_itself_finds_faults() -> None:
    assert fault("paddock models list", whole=True) == ""
    assert fault("paddock models lst", whole=True) == "models has no lst"
    assert fault("paddock dataset list", whole=False) == "paddock has no dataset"
    assert fault("paddock jobs stop {job} --nw", whole=True) == "stop has no --nw"
    assert fault("paddock doctor shows it", whole=False) == ""
    assert COMMAND.findall("see paddock doctor, or `paddock gpus --json`") == [
        ("", " doctor"),
        ("paddock gpus --json", ""),
    ]
