"""Cut a template into tokens, as the lexer of Go's text/template/parse does."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.gotemplate.error import TemplateError, place
from data.i18n import Message, _

_OPEN: Final = "{{"
_CLOSE: Final = "}}"
_BLANKS: Final = " \t\r\n"
_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:[0-9][0-9_]*)?\.?[0-9_]*(?:[eE][+-]?[0-9_]+)?)"
)


class Kind(StrEnum):
    """What a token is."""

    TEXT = "text"
    OPEN = "{{"
    CLOSE = "}}"
    SPACE = "space"
    FIELD = "field"
    VARIABLE = "variable"
    NAME = "name"
    KEYWORD = "keyword"
    BOOL = "bool"
    NIL = "nil"
    NUMBER = "number"
    STRING = "string"
    CHAR = "character constant"
    DOT = "."
    PIPE = "|"
    LEFT = "("
    RIGHT = ")"
    COMMA = ","
    DECLARE = ":="
    ASSIGN = "="
    OTHER = "other"
    END = "end of the template"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the template and where it begins."""

    kind: Kind
    text: str
    position: int


_RESERVED: Final = {
    **dict.fromkeys(
        ("block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"), Kind.KEYWORD
    ),
    **dict.fromkeys(("true", "false"), Kind.BOOL),
    "nil": Kind.NIL,
}
_SINGLE: Final = {"|": Kind.PIPE, "(": Kind.LEFT, ")": Kind.RIGHT, ",": Kind.COMMA, "=": Kind.ASSIGN}


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of ``source`` and one END; raises TemplateError."""
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def _wrong(self, why: Message, position: int | None = None) -> TemplateError:
        return TemplateError(why, *place(self._source, self._at if position is None else position))

    def run(self) -> Iterator[Token]:
        source = self._source
        trims = False
        while True:
            start = self._at
            opening = source.find(_OPEN, start)
            text = source[start:] if opening < 0 else source[start:opening]
            kept_from = start
            if trims:
                kept_from += len(text) - len(text.lstrip(_BLANKS))
                text = text.lstrip(_BLANKS)
            if opening < 0:
                if text:
                    yield Token(Kind.TEXT, text, kept_from)
                yield Token(Kind.END, "", len(source))
                return
            self._at = opening + len(_OPEN)
            trims_left = source[self._at : self._at + 1] == "-" and source[self._at + 1 : self._at + 2] in tuple(
                _BLANKS
            )
            if trims_left:
                text = text.rstrip(_BLANKS)
                self._at += 2
            if text:
                yield Token(Kind.TEXT, text, kept_from)
            if source.startswith("/*", self._at):
                trims = self._comment()
                continue
            yield Token(Kind.OPEN, _OPEN, opening)
            trims = yield from self._action(opening)

    def _comment(self) -> bool:
        """Skip a comment, which fills its action; say whether the text behind it loses its blanks."""
        start = self._at
        end = self._source.find("*/", start + 2)
        if end < 0:
            raise self._wrong(_("This comment is not closed."), start)
        self._at = end + 2
        trims = self._closing()
        if trims is None:
            raise self._wrong(_("A comment has to end right before {close}.", close=_CLOSE), start)
        return trims

    def _closing(self) -> bool | None:
        """Step over ``}}`` or `` -}}``; return whether it trims, None where neither stands here."""
        source, at = self._source, self._at
        if source[at : at + 1] in tuple(_BLANKS) and source.startswith("-" + _CLOSE, at + 1):
            self._at += 2 + len(_CLOSE)
            return True
        if source.startswith(_CLOSE, at):
            self._at += len(_CLOSE)
            return False
        return None

    def _action(self, opening: int) -> Generator[Token, None, bool]:
        depth = 0
        while True:
            start = self._at
            trims = self._closing()
            if trims is not None:
                if depth:
                    raise self._wrong(_("A parenthesis is not closed."), start)
                yield Token(Kind.CLOSE, _CLOSE, start)
                return trims
            if self._at >= len(self._source):
                raise self._wrong(_("This action is not closed with {close}.", close=_CLOSE), opening)
            token = self._token()
            depth += (token.kind is Kind.LEFT) - (token.kind is Kind.RIGHT)
            if depth < 0:
                raise self._wrong(_("There is a closing parenthesis too many."), start)
            yield token

    def _token(self) -> Token:  # noqa: PLR0911 - one a kind
        source, start = self._source, self._at
        char = source[start]
        if char in _BLANKS:
            return self._space()
        if char in _SINGLE:
            self._at += 1
            return Token(_SINGLE[char], char, start)
        if char == ":":
            if not source.startswith(":=", start):
                raise self._wrong(_("A colon is only allowed in :=."))
            self._at += 2
            return Token(Kind.DECLARE, ":=", start)
        if char in "\"'`":
            return self._quoted(char)
        if char == "." and not source[start + 1 : start + 2].isdecimal():
            return self._word(Kind.FIELD if _is_letter(source[start + 1 : start + 2]) else Kind.DOT, 1)
        if char == "$":
            return self._word(Kind.VARIABLE, 1)
        if char in "+-." or (char.isascii() and char.isdecimal()):
            return self._number()
        if _is_letter(char):
            return self._word(Kind.NAME, 0)
        if not char.isprintable() or not char.isascii():
            raise self._wrong(_("The character {char} means nothing here.", char=repr(char)))
        self._at += 1
        return Token(Kind.OTHER, char, start)

    def _space(self) -> Token:
        """Take blanks, but leave the one that belongs to `` -}}``."""
        source, start = self._source, self._at
        end = start
        while source[end : end + 1] in tuple(_BLANKS):
            end += 1
        if source.startswith("-" + _CLOSE, end):
            end -= 1  # never empty: else the closing would have been seen before this
        self._at = max(end, start + 1)
        return Token(Kind.SPACE, source[start : self._at], start)

    def _word(self, kind: Kind, prefix: int) -> Token:
        source, start = self._source, self._at
        end = start + prefix
        while end < len(source) and (_is_letter(source[end]) or source[end].isdecimal()):
            end += 1
        self._at = end
        text = source[start:end]
        self._check_end(text)
        if kind is Kind.NAME:
            kind = _RESERVED.get(text, kind)
        return Token(kind, text, start)

    def _check_end(self, text: str) -> None:
        """Raise where something touches a word that has to be apart from it."""
        after = self._source[self._at : self._at + 1]
        if after and after not in _BLANKS and after not in ".,|:)(" and not self._source.startswith(_CLOSE, self._at):
            raise self._wrong(_("{char} is not allowed right after {text}.", char=repr(after), text=text))

    def _quoted(self, quote: str) -> Token:
        source, start = self._source, self._at
        end = start + 1
        while True:
            char = source[end : end + 1]
            if not char or (char == "\n" and quote != "`"):
                raise self._wrong(_("The quote that opens here is not closed."), start)
            if char == quote:
                break
            end += 2 if char == "\\" and quote != "`" else 1
        self._at = end + 1
        text = source[start : self._at]
        return Token(Kind.CHAR if quote == "'" else Kind.STRING, text, start)

    def _number(self) -> Token:
        found = _NUMBER.match(self._source, self._at)
        text = found[0] if found else ""
        start = self._at
        self._at += len(text)
        after = self._source[self._at : self._at + 1]
        if not any(char.isdecimal() for char in text) or _is_letter(after) or after.isdecimal():
            raise self._wrong(_("{text} is no number.", text=repr(text + after)), start)
        return Token(Kind.NUMBER, text, start)


def _is_letter(char: str) -> bool:
    return char == "_" or char.isalpha()
