"""What a template is made of once it has been read; the names are those of Go's package text/template/parse."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dot:
    """``.``: the dot."""

    position: int


@dataclass(frozen=True, slots=True)
class Nil:
    """``nil``: nothing."""

    position: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A bool, a number or a string that stands in the template."""

    position: int
    value: bool | float | str


@dataclass(frozen=True, slots=True)
class Field:
    """``.Messages``, ``.Function.Name``: fields of the dot."""

    position: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """``$``, ``$last``, ``$.System``: the variable's name with its ``$``, then fields of its value."""

    position: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """The name of a function."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of a value in parentheses."""

    position: int
    of: Pipe
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """An operand alone, or a function with its arguments."""

    position: int
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each of which gets the value of the one before as its last argument; the value may get names."""

    position: int
    declared: tuple[str, ...]
    assigns: bool
    """``=`` instead of ``:=``"""
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Text between actions."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A value that is printed, unless it only gets a name."""

    position: int
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` or ``range``."""

    position: int
    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] | None


@dataclass(frozen=True, slots=True)
class Call:
    """``template``: another template is rendered here."""

    position: int
    name: str
    pipe: Pipe | None


@dataclass(frozen=True, slots=True)
class Jump:
    """``break`` or ``continue``."""

    position: int
    kind: str


Operand = Dot | Nil | Constant | Field | Variable | Function | Chain | Pipe
Node = Text | Action | Branch | Call | Jump
