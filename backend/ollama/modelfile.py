"""Modelfiles: read with the place of every mistake, written so that Ollama reads back the same.

The grammar is that of Ollama's ``parser.ParseFile`` (0.32.7): a command is a word, blanks, and a value that ends with
its line, unless it begins with ``"`` or three of them: then it ends with the line on which the same quote closes it.
There are no escapes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from backend.ollama.parameter import (
    DEPRECATED,
    INTEGERS,
    KNOWN,
    LISTS,
    SWITCHES,
    read_parameter,
    write_parameter,
)
from data.errors import AppError, RequestError
from data.i18n import Message, _

TAKEN: Final = ("from", "license", "message", "parameter", "system", "template")
"""Commands that go with the weights of a deployment, in the order in which they are named to a person"""
NOT_TAKEN: Final = ("adapter", "draft", "renderer", "parser", "requires")
COMMANDS: Final = frozenset({*TAKEN, *NOT_TAKEN})
_ONCE: Final = frozenset({"template", "system", "adapter", "draft", "renderer", "parser"})
"""Commands of which the last one counts"""
ROLES: Final = ("system", "user", "assistant")
_MESSAGE_FORM: Final = _("Write it as MESSAGE user TEXT.")
_COMMAND_FORM: Final = _("A command is a word, a blank and its value, as SYSTEM TEXT or PARAMETER top_k 40.")
_TRIPLE: Final = '"""'
_NEWLINES: Final = "\r\n"
_BLANKS: Final = " \t"


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its place in the text (both from 1) does not count when commands are compared."""

    name: str
    """In lower case"""
    value: str
    key: str = ""
    """The parameter's name, or the message's role"""
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)
    value_line: int = field(default=0, compare=False)
    """Where the value begins, behind its quote"""
    value_column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The commands of a Modelfile in order, and what they mean together."""

    commands: tuple[Command, ...]

    def _last(self, name: str) -> str:
        return next((c.value for c in reversed(self.commands) if c.name == name), "")

    @property
    def sources(self) -> tuple[str, ...]:
        """Models or paths after FROM; several are the parts of one model."""
        return tuple(c.value for c in self.commands if c.name == "from")

    @property
    def template(self) -> str:
        """The Go template; empty where there is none."""
        return self._last("template")

    @property
    def system(self) -> str:
        """The default system prompt."""
        return self._last("system")

    @property
    def adapter(self) -> str:
        """Path of an adapter."""
        return self._last("adapter")

    @property
    def draft(self) -> str:
        """Path of a small model that drafts tokens for this one."""
        return self._last("draft")

    @property
    def renderer(self) -> str:
        """The part of Ollama that writes the prompts instead of a template."""
        return self._last("renderer")

    @property
    def parser(self) -> str:
        """The part of Ollama that reads the answers."""
        return self._last("parser")

    @property
    def licenses(self) -> tuple[str, ...]:
        """All licence texts."""
        return tuple(c.value for c in self.commands if c.name == "license")

    @property
    def messages(self) -> tuple[Mapping[str, object], ...]:
        """The conversation that the model starts with, as ``{role, content}``."""
        return tuple({"role": c.key, "content": c.value} for c in self.commands if c.name == "message")

    @property
    def parameters(self) -> dict[str, object]:
        """Typed values by name, as ``/api/create`` takes them; ``stop`` is a list, deprecated ones are left out."""
        values: dict[str, object] = {}
        for command in self.commands:
            if command.name != "parameter" or command.key in DEPRECATED:
                continue
            value = read_parameter(command.key, command.value)
            if command.key in LISTS:
                cast("list[object]", values.setdefault(command.key, [])).append(value)
            else:
                values[command.key] = value  # the last one counts
        return values

    @property
    def replaced(self) -> tuple[Command, Command] | None:
        """The first command that a later one takes the place of, and the last such one; None where all count."""
        once = [c for c in self.commands if c.name in _ONCE or (c.name == "parameter" and c.key not in LISTS)]
        last = {(c.name, c.key): c for c in once}
        return next(((c, last[c.name, c.key]) for c in once if last[c.name, c.key] is not c), None)

    def __str__(self) -> str:
        return write(self.commands)


def make(
    source: str,
    *,
    template: str = "",
    system: str = "",
    parameters: Mapping[str, object] | None = None,
    licenses: Sequence[str] = (),
    messages: Iterable[Mapping[str, object]] = (),
) -> Modelfile:
    """Return the Modelfile of these values; raises RequestError for a parameter or role that Ollama does not know."""
    commands = [Command("from", source)]
    commands += [Command(name, value) for name, value in (("template", template), ("system", system)) if value]
    for key, value in (parameters or {}).items():
        several = cast("list[object]", value) if isinstance(value, list) else [value]
        commands += [Command("parameter", write_parameter(one), key) for one in several]
    commands += [Command("license", text) for text in licenses]
    commands += [Command("message", str(m.get("content", "")), str(m.get("role", ""))) for m in messages]
    for command in commands:
        _check(command)
    return Modelfile(tuple(commands))


def write(commands: Iterable[Command]) -> str:
    """Return the text of a Modelfile; raises AppError for a value that the grammar cannot say."""
    return "".join(f"{_written(command)}\n" for command in commands)


def _written(command: Command) -> str:
    words = [command.name.upper()]
    if command.key:
        words.append(command.key)
    forms = [command.value, f'"{command.value}"', f"{_TRIPLE}{command.value}{_TRIPLE}"]
    if command.name in ("template", "system", "license") or "\n" in command.value:
        forms.reverse()  # the usual form of longer text
    elif command.key == "stop":
        forms[0], forms[1] = forms[1], forms[0]
    for form in forms:
        line = " ".join([*words, form])
        if _reads_back(line, command):
            return line
    raise AppError(
        _("This {command} cannot be written into a Modelfile", command=command.name.upper()),
        _("Its text has three quotes at the end of a line, and Modelfiles know no escapes."),
        _("Change the text; deploying through Ollama's API takes it as it is."),
    )


def _reads_back(line: str, command: Command) -> bool:
    try:
        return tuple(_Reader(f"{line}\n").commands()) == (command,)
    except RequestError:
        return False


def parse(text: str, *, name: str = "Modelfile", needs_source: bool = True) -> Modelfile:
    """Read a Modelfile; raises RequestError with ``name``, line and column of the first mistake.

    Parameters are checked as well: unknown names and values of a wrong type are mistakes.
    """
    commands = tuple(_Reader(text.removeprefix("\ufeff"), name).commands())
    for command in commands:
        _check(command, name)
    if needs_source and not any(command.name == "from" for command in commands):
        raise _wrong(name, 1, 1, _("There is no FROM."), _("Name a model, or its weights, after FROM."))
    return Modelfile(commands)


def _check(command: Command, name: str = "Modelfile") -> None:
    if command.name == "message" and command.key not in ROLES:
        why = _("{role} is not a role: {roles}.", role=repr(command.key), roles=", ".join(ROLES))
        raise _wrong(name, command.line, command.column, why, _MESSAGE_FORM)
    if command.name != "parameter" or command.key in DEPRECATED:
        return
    if command.key not in KNOWN:
        why = _("Ollama knows no parameter {key}.", key=repr(command.key))
        raise _wrong(name, command.line, command.column, why, _parameter_hint(command.key))
    try:
        read_parameter(command.key, command.value)
    except ValueError as error:
        why = _("{value} is no value for {key}.", value=repr(command.value), key=command.key)
        raise _wrong(name, command.value_line, command.value_column, why, _value_hint(command.key)) from error


def _wrong(name: str, line: int, column: int, why: Message, hint: Message) -> RequestError:
    if not line:  # a value that stands in no Modelfile yet
        return RequestError(_("This cannot stand in a Modelfile"), why, hint)
    return mistake(name, line, column, why, hint)


def _parameter_hint(key: str) -> Message:
    near = difflib.get_close_matches(key.lower(), sorted(KNOWN), n=1)
    return _("Did you mean {name}?", name=near[0]) if near else _("Parameters are {names}.", names=_names(KNOWN))


def _value_hint(key: str) -> Message:
    """Return what a value of the parameter ``key`` looks like."""
    if key in SWITCHES:
        return _("It is true or false.")
    return _("It is a whole number.") if key in INTEGERS else _("It is a number, as 0.7.")


def _command_hint(word: str) -> Message:
    near = difflib.get_close_matches(word.lower(), TAKEN, n=1)
    if near:
        return _("Did you mean {name}?", name=near[0].upper())
    return _("Commands are {commands}.", commands=", ".join(TAKEN).upper())


def _names(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def mistake(name: str, line: int, column: int, why: Message, hint: Message | str) -> RequestError:
    """Return the error for what is wrong at a place of the Modelfile ``name``."""
    place = f"{name}:{line}:{column}"
    return RequestError(_("The Modelfile has a mistake"), _("{place}: {why}", place=place, why=why), hint)


_Test = Callable[[str], bool]


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _is_key(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


class _Reader:
    """Reads commands from left to right."""

    def __init__(self, text: str, name: str = "Modelfile") -> None:
        self._text = text
        self._name = name
        self._at = 0

    def commands(self) -> Iterable[Command]:
        while self._skip_to_command():
            yield self._command()

    def _skip_to_command(self) -> bool:
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char == "#":
                self._at = self._line_end(self._at)
            elif char in _BLANKS or char in _NEWLINES:
                self._at += 1
            else:
                return True
        return False

    def _command(self) -> Command:
        start = self._at
        word = self._word(_is_letter)
        name = word.lower()
        if name not in COMMANDS:
            shown = repr(word or self._text[start : start + 1])
            raise self._wrong(start, _("{word} is no command.", word=shown), _command_hint(word))
        key = ""
        if name in ("parameter", "message"):
            self._blanks(start)
            at = self._at
            key = self._word(_is_letter if name == "message" else _is_key)
            if name == "message" and key not in ROLES:
                why = _("{role} is not a role: {roles}.", role=repr(key), roles=", ".join(ROLES))
                raise self._wrong(at, why, _MESSAGE_FORM)
            if not key:
                why = _("The parameter's name is missing.")
                raise self._wrong(at, why, _("Parameters are {names}.", names=_names(KNOWN)))
            if name == "parameter" and key not in (*KNOWN, *DEPRECATED):
                raise self._wrong(at, _("Ollama knows no parameter {key}.", key=repr(key)), _parameter_hint(key))
        self._blanks(start)
        line, column = self._place(start)
        begins = self._at
        value = self._value()
        raw = self._text[begins : self._at]
        text = raw.lstrip()
        value_line, value_column = self._place(begins + len(raw) - len(text) + len(_quote(text)))
        return Command(name, value, key, line, column, value_line, value_column)

    def _word(self, belongs: _Test) -> str:
        start = self._at
        while self._at < len(self._text) and belongs(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]

    def _blanks(self, start: int) -> None:
        """Skip the blanks between two words of the command at ``start``; at least one is needed."""
        if self._at >= len(self._text) or self._text[self._at] in _NEWLINES:
            raise self._wrong(start, _("The value is missing."), _COMMAND_FORM)
        if self._text[self._at] not in _BLANKS:
            why = _("A blank is missing before {char}.", char=repr(self._text[self._at]))
            raise self._wrong(self._at, why, _COMMAND_FORM)
        while self._at < len(self._text) and self._text[self._at] in _BLANKS:
            self._at += 1

    def _value(self) -> str:
        start = self._at
        end = start
        while True:
            end = self._line_end(end)
            value = _unquoted(self._text[start:end].strip())
            if value is not None:
                self._at = end
                return value
            if end >= len(self._text):
                why = _("The quote that opens here is not closed at the end of a line.")
                raise self._wrong(start, why, _("Close it with the same quote, behind which the line ends."))
            end += 1

    def _line_end(self, at: int) -> int:
        while at < len(self._text) and self._text[at] not in _NEWLINES:
            at += 1
        return at

    def _place(self, at: int) -> tuple[int, int]:
        before = self._text[:at].replace("\r\n", "\n").replace("\r", "\n")
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1

    def _wrong(self, at: int, why: Message, hint: Message) -> RequestError:
        return _wrong(self._name, *self._place(at), why, hint)


def _quote(text: str) -> str:
    """Return the quote that opens ``text``; empty where there is none."""
    return next((quote for quote in (_TRIPLE, '"') if text.startswith(quote)), "")


def _unquoted(text: str) -> str | None:
    """Return the value without its quotes; None while the quote that opened it is not closed."""
    size = len(_quote(text))
    if not size:
        return text
    return text[size:-size] if len(text) >= 2 * size and text.endswith(text[:size]) else None
