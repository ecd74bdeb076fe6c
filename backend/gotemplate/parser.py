"""Read a template: from tokens to nodes, by the grammar of Go's text/template/parse (Go 1.26)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from backend.gotemplate import node
from backend.gotemplate.constant import number, unquoted
from backend.gotemplate.error import TemplateError, place
from backend.gotemplate.lexer import Kind, Token, tokens
from data.i18n import Message, _

_MAX_DEPTH: Final = 60
"""Of blocks and parentheses in each other: far above any real template, far below Python's own limit"""
_STARTS_OPERAND: Final = frozenset(
    {
        Kind.BOOL,
        Kind.CHAR,
        Kind.DOT,
        Kind.FIELD,
        Kind.LEFT,
        Kind.NAME,
        Kind.NIL,
        Kind.NUMBER,
        Kind.STRING,
        Kind.VARIABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template that was read: its own nodes, and those of the templates that it defines."""

    source: str
    nodes: tuple[node.Node, ...]
    defined: Mapping[str, tuple[node.Node, ...]]


def parse(source: str, functions: Iterable[str]) -> Parsed:
    """Read ``source``; ``functions`` are the names that it may call. Raises TemplateError."""
    return _Parser(source, frozenset(functions)).run()


class _Parser:
    def __init__(self, source: str, functions: frozenset[str]) -> None:
        self._source = source
        self._functions = functions
        self._tokens = list(tokens(source))
        self._next = 0
        self._variables: list[str] = ["$"]
        self._ranges = 0
        self._depth = 0
        self._defined: dict[str, tuple[node.Node, ...]] = {}

    def run(self) -> Parsed:
        nodes, ending = self._list(top=True)
        if ending is not None:
            self._wrong(ending, _("{word} has nothing to end.", word=ending.text))
        return Parsed(self._source, nodes, self._defined)

    def _wrong(self, token: Token, why: Message) -> NoReturn:
        raise TemplateError(why, *place(self._source, token.position))

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        text = str(token.kind) if token.kind in (Kind.END, Kind.CLOSE, Kind.SPACE) else token.text
        self._wrong(token, _("{text} is not expected in {context}.", text=text, context=context))

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _peek_word(self) -> Token:
        """Return the next token that is no blank, without taking it; the blanks are gone."""
        while self._peek().kind is Kind.SPACE:
            self._take()
        return self._peek()

    def _take_word(self) -> Token:
        self._peek_word()
        return self._take()

    def _expect(self, kind: Kind, context: str) -> Token:
        token = self._take_word()
        if token.kind is not kind:
            self._unexpected(token, context)
        return token

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._wrong(token, _("More than {count} blocks stand in each other.", count=_MAX_DEPTH))

    def _list(self, *, top: bool = False) -> tuple[tuple[node.Node, ...], Token | None]:
        """Read nodes to the ``end`` or ``else`` that closes them, which is returned (None at the template's end)."""
        nodes: list[node.Node] = []
        while True:
            token = self._take()
            if token.kind is Kind.END:
                if not top:
                    self._wrong(token, _("An end is missing."))
                return tuple(nodes), None
            if token.kind is Kind.TEXT:
                nodes.append(node.Text(token.position, token.text))
                continue
            word = self._peek_word()
            if word.kind is Kind.KEYWORD:
                self._take()
                if word.text in ("end", "else"):
                    if word.text == "end":
                        self._expect(Kind.CLOSE, "end")
                    return tuple(nodes), word
                if word.text == "define":
                    if not top:
                        self._unexpected(word, "a block")
                    self._define(word)
                    continue
                nodes.append(self._statement(word))
            else:
                nodes.append(node.Action(token.position, self._pipe("command", Kind.CLOSE)))

    def _statement(self, word: Token) -> node.Node:  # noqa: RET503 - _unexpected raises
        match word.text:
            case "if" | "with" | "range":
                return self._branch(word)
            case "template":
                return self._call(word)
            case "block":
                return self._block(word)
            case "break" | "continue":
                self._expect(Kind.CLOSE, word.text)
                if not self._ranges:
                    self._wrong(word, _("{word} stands outside of a range.", word=word.text))
                return node.Jump(word.position, word.text)
            case _:
                self._unexpected(word, "command")

    def _branch(self, word: Token) -> node.Branch:
        self._deeper(word)
        kept = len(self._variables)
        pipe = self._pipe(word.text, Kind.CLOSE)
        self._ranges += word.text == "range"
        body, ending = self._list()
        self._ranges -= word.text == "range"
        otherwise: tuple[node.Node, ...] | None = None
        if ending is not None and ending.text == "else":
            follows = self._peek_word()
            if follows.kind is Kind.KEYWORD and follows.text == word.text and word.text in ("if", "with"):
                self._take()  # {{else if x}}…{{end}} is {{else}}{{if x}}…{{end}}{{end}}
                otherwise = (self._branch(follows),)
            else:
                self._expect(Kind.CLOSE, "else")
                otherwise, ending = self._list()
                if ending is not None and ending.text != "end":
                    self._wrong(ending, _("There is a second else."))
        del self._variables[kept:]
        self._depth -= 1
        return node.Branch(word.position, word.text, pipe, body, otherwise)

    def _name(self, context: str) -> tuple[Token, str]:
        token = self._take_word()
        if token.kind is not Kind.STRING:
            self._unexpected(token, context)
        return token, self._text(token)

    def _call(self, word: Token) -> node.Call:
        _token, name = self._name("template clause")
        pipe = None
        if self._peek_word().kind is Kind.CLOSE:
            self._take()
        else:
            pipe = self._pipe("template clause", Kind.CLOSE)
        return node.Call(word.position, name, pipe)

    def _block(self, word: Token) -> node.Call:
        token, name = self._name("block clause")
        pipe = self._pipe("block clause", Kind.CLOSE)
        self._body(token, name)
        return node.Call(word.position, name, pipe)

    def _define(self, _word: Token) -> None:
        token, name = self._name("define clause")
        self._expect(Kind.CLOSE, "define clause")
        self._body(token, name)

    def _body(self, token: Token, name: str) -> None:
        """Read the body of a template of its own, which knows no variables of this one."""
        self._deeper(token)
        variables, ranges = self._variables, self._ranges
        self._variables, self._ranges = ["$"], 0
        nodes, ending = self._list()
        self._variables, self._ranges = variables, ranges
        if ending is not None and ending.text != "end":
            self._wrong(ending, _("There is an else without an if."))
        is_empty = all(isinstance(one, node.Text) and not one.text.strip() for one in nodes)
        if name in self._defined and not is_empty:
            if any(not isinstance(one, node.Text) or one.text.strip() for one in self._defined[name]):
                self._wrong(token, _("The template {name} is defined twice.", name=repr(name)))
            self._defined[name] = nodes
        self._defined.setdefault(name, nodes)
        self._depth -= 1

    def _pipe(self, context: str, closing: Kind) -> node.Pipe:
        start = self._peek_word()
        declared, assigns = self._declared(context)
        commands: list[node.Command] = []
        while True:
            token = self._peek_word()
            if token.kind is closing:
                self._take()
                break
            if token.kind not in _STARTS_OPERAND:
                self._unexpected(token, context)
            commands.append(self._command())
        if not commands:
            self._wrong(start, _("The value of {context} is missing.", context=context))
        for command in commands[1:]:
            if isinstance(command.operands[0], node.Constant | node.Dot | node.Nil):
                at = Token(Kind.OTHER, "", command.position)
                self._wrong(at, _("Only a function can take a value from before the |."))
        return node.Pipe(start.position, declared, assigns, tuple(commands))

    def _declared(self, context: str) -> tuple[tuple[str, ...], bool]:
        """Read ``$a :=``, ``$a =`` and, of a range, ``$a, $b :=``."""
        names: list[str] = []
        while self._peek_word().kind is Kind.VARIABLE:
            before = self._next
            name = self._take()
            follows = self._peek_word()
            if follows.kind in (Kind.DECLARE, Kind.ASSIGN):
                self._take()
                return (*names, self._variable(name)), follows.kind is Kind.ASSIGN
            if follows.kind is not Kind.COMMA:
                self._next = before
                break
            self._take()
            if context != "range" or names:
                self._wrong(name, _("There are too many variables in {context}.", context=context))
            names.append(self._variable(name))
            if self._peek_word().kind not in (Kind.VARIABLE, Kind.CLOSE, Kind.RIGHT):
                self._wrong(self._peek(), _("A range can only give names to index and value."))
        return tuple(names), False

    def _variable(self, token: Token) -> str:
        self._variables.append(token.text)
        return token.text

    def _command(self) -> node.Command:
        operands: list[node.Operand] = []
        start = self._peek_word()
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._take()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.CLOSE, Kind.RIGHT):
                self._next -= 1
            elif token.kind is not Kind.PIPE:
                self._unexpected(token, "operand")
            break
        if not operands:
            self._wrong(start, _("A command is empty."))
        return node.Command(start.position, tuple(operands))

    def _operand(self) -> node.Operand | None:  # noqa: RET503 - _wrong raises
        start = self._peek()
        term = self._term()
        if term is None or self._peek().kind is not Kind.FIELD:
            return term
        names: list[str] = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._take().text[1:])
        match term:
            case node.Field():
                return node.Field(term.position, (*term.names, *names))
            case node.Variable():
                return node.Variable(term.position, (*term.names, *names))
            case node.Pipe():
                return node.Chain(start.position, term, tuple(names))
            case node.Function():
                command = node.Command(start.position, (term,))
                pipe = node.Pipe(start.position, (), assigns=False, commands=(command,))
                return node.Chain(start.position, pipe, tuple(names))
            case _:
                self._wrong(start, _("{text} has no fields.", text=start.text))

    def _term(self) -> node.Operand | None:  # noqa: PLR0911 - one a kind
        token = self._peek()
        at = token.position
        if token.kind not in _STARTS_OPERAND:
            return None
        self._take()
        match token.kind:
            case Kind.NAME:
                if token.text not in self._functions:
                    self._wrong(token, _("There is no function {name}.", name=token.text))
                return node.Function(at, token.text)
            case Kind.DOT:
                return node.Dot(at)
            case Kind.NIL:
                return node.Nil(at)
            case Kind.VARIABLE:
                if token.text not in self._variables:
                    self._wrong(token, _("There is no variable {name}.", name=token.text))
                return node.Variable(at, (token.text,))
            case Kind.FIELD:
                return node.Field(at, (token.text[1:],))
            case Kind.LEFT:
                self._deeper(token)
                pipe = self._pipe("parenthesized pipeline", Kind.RIGHT)
                self._depth -= 1
                return pipe
            case _:
                return node.Constant(at, self._constant(token))

    def _constant(self, token: Token) -> bool | float | str:
        if token.kind is Kind.BOOL:
            return token.text == "true"
        if token.kind is Kind.NUMBER:
            value = number(token.text)
            if value is None:
                self._wrong(token, _("{text} is no number.", text=repr(token.text)))
            return value
        text = self._text(token)
        if token.kind is Kind.CHAR:
            if len(text) != 1:
                self._wrong(token, _("{text} is no single character.", text=token.text))
            return ord(text)
        return text

    def _text(self, token: Token) -> str:
        text = unquoted(token.text)
        if text is None:
            self._wrong(token, _("{text} is no well-formed string.", text=token.text))
        return text
