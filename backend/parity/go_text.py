"""Pieces of Go templates: literal text, JSON as Python writes it, and today's date.

Go's own ``json`` leaves out the blanks and escapes ``<``, ``>`` and ``&``; training text was made by Python's
``json.dumps(…, ensure_ascii=False)``. So JSON is written here value by value. Of a tool, Ollama keeps no more than
``api.Tool`` holds (name, description; type, properties and required of the parameters), with the properties sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PROPERTY_FIELDS: Final = ("type", "description", "enum", "items", "properties", "required", "anyOf")
NESTED: Final = 2
"""How deep objects may lie in the parameters of a tool whose JSON is indented; deeper ones are written in one line"""


def literal(text: str) -> str:
    """Return ``text`` so that the template writes it: delimiters of actions, and a brace before one, are quoted."""
    quoted = text.replace("{{", '{{ "{{" }}')
    return f'{quoted[:-1]}{{{{ "{{" }}}}' if quoted.endswith("{") else quoted


def quoted(text: str) -> str:
    """Return ``text`` as a string constant of Go."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped.replace(chr(9), chr(92) + "t")}"'


def joined(items: str, variables: str, body: str, between: str) -> str:
    """Return a loop over ``items`` that writes ``between`` in the middle; it needs ``$n`` for itself."""
    once = f"{when('$n', between)}{{{{ $n = true }}}}{body}"
    return f"{{{{ $n := false }}}}{{{{ range {variables} := {items} }}}}{once}{{{{ end }}}}"


def when(condition: str, text: str, otherwise: str = "") -> str:
    """Return ``text`` (template text, not a literal) under a condition."""
    last = f"{{{{ else }}}}{otherwise}" if otherwise else ""
    return f"{{{{ if {condition} }}}}{text}{last}{{{{ end }}}}"


def call(name: str, value: str) -> str:
    """Return the call of a definition."""
    return f'{{{{ template "{name}" {value} }}}}'


def define(name: str, body: str) -> str:
    """Return a definition."""
    return f'{{{{ define "{name}" }}}}{body}{{{{ end }}}}'


def date() -> str:
    """Return today's date as ``%d %b %Y``, of ``currentDate``'s 2006-01-02."""
    months = "".join(
        f'{{{{ {"else if" if number else "if"} eq $m "{number + 1:02}" }}}}{name}'
        for number, name in enumerate(_MONTHS)
    )
    day, year = "{{ $m := slice $d 5 7 }}{{ slice $d 8 10 }}", "{{ slice $d 0 4 }}"
    return f"{{{{ $d := currentDate }}}}{day} {months}{{{{ end }}}} {year}"


def without_thoughts(first: str, last: str) -> str:
    """Return what makes of ``$c``, an answer in the history, what LLaMA-Factory's ``remove_thought`` makes of it.

    Only an answer that begins with a thought is looked through for more of them: that goes byte by byte, and a prompt
    is rendered at every request.
    """
    line = when('eq (slice $c 0 1) "\\n"', "{{ $c = slice $c 1 }}", "{{ break }}")
    lines = "{{ range $j := len $c }}" + line + "{{ end }}"
    opens, closes = _starts("$s", first), _starts("$s", last)
    # There is no sum in a template: where a word ends is the length of all up to there.
    opened = f"{{{{ $at = $j }}}}{{{{ $skip = len (print (slice $t 0 $j) {quoted(first)}) }}}}" + _awaits(last, "true")
    closed = (
        "{{ $c = print $c (slice $t $from $at) }}"
        f"{{{{ $from = len (print (slice $t 0 $j) {quoted(last)}) }}}}{{{{ $skip = $from }}}}" + _awaits(first, "false")
    )
    byte = "{{ $s := slice $t $j }}" + when("$in", when(closes, closed), when(opens, opened))
    scan = (
        '{{ $t := $c }}{{ $c = "" }}{{ $from := 0 }}{{ $at := 0 }}{{ $skip := 0 }}'
        f"{{{{ $in := false }}}}{{{{ $b := {first.encode()[0]} }}}}"
        "{{ range $j := len $t }}" + when("and (ge $j $skip) (eq (index $t $j) $b)", byte) + "{{ end }}"
        "{{ $c = print $c (slice $t $from) }}"
    )
    return lines + when(_starts("$c", first), scan + lines)


def _starts(variable: str, word: str) -> str:
    size = len(word.encode())
    return f"and (ge (len {variable}) {size}) (eq (slice {variable} 0 {size}) {quoted(word)})"


def _awaits(word: str, inside: str) -> str:
    return f"{{{{ $in = {inside} }}}}{{{{ $b = {word.encode()[0]} }}}}"


def text_definition() -> str:
    """Return "text": a string as JSON. What ``js`` leaves alone needs no look; else byte by byte."""
    escape = "{{ $q := json $x }}" + when("eq (len $q) 4", "{{ slice $q 1 3 }}", "{{ slice $q 1 7 }}")
    byte = (
        "{{ $c := index $s $i }}{{ $x := slice (slice $s $i) 0 1 }}"
        f"{when('or (lt $c 32) (eq $c 34 92)', escape, '{{ $x }}')}"
    )
    loop = '"{{ $s := . }}{{ range $i := len $s }}' + byte + '{{ end }}"'
    return define("text", when("eq (js .) .", '"{{ . }}"', loop))


class Layout:
    """Where the values of a JSON stand: all in one line, or each in its own, indented by four."""

    def __init__(self, depth: int | None) -> None:
        self.depth = depth

    @property
    def inner(self) -> Layout:
        """The layout of what lies inside."""
        return Layout(None if self.depth is None else self.depth + 1)

    @property
    def suffix(self) -> str:
        """What tells the definitions of this depth from others."""
        return "" if self.depth is None else str(self.depth)

    @property
    def between(self) -> str:
        """Between two values that lie in this one."""
        return ", " if self.depth is None else f",{self._line(self.depth + 1)}"

    def around(self, brackets: str, body: str) -> str:
        """Return ``body`` in its brackets, which are never empty."""
        if self.depth is None:
            return f"{literal(brackets[0])}{body}{brackets[1]}"
        return f"{brackets[0]}{self._line(self.depth + 1)}{body}{self._line(self.depth)}{brackets[1]}"

    @staticmethod
    def _line(depth: int) -> str:
        return "\n" + " " * 4 * depth


def list_of(layout: Layout, items: str, body: str) -> str:
    """Return a JSON list of ``items``, which may be none, each as ``body`` writes ``$v``."""
    loop = joined(items, "$i, $v", body, layout.between)
    return when(items, layout.around("[]", loop), "[]")


def object_of(layout: Layout, items: str, body: str) -> str:
    """Return a JSON object of ``items`` with ``$k`` as the keys and ``body`` for ``$v``."""
    loop = joined(items, "$k, $v", f"{call('text', '$k')}: {body}", layout.between)
    return when(items, layout.around("{}", loop), literal("{") + "}")


def json_definition(depth: int | None, deepest: int | None = None) -> str:
    """Return "json" (or "json7"): any value that was read from JSON; keys come sorted."""
    layout = Layout(depth)
    inner = layout.inner.suffix if depth is None or depth != deepest else ""
    value = call(f"json{inner}", "$v")
    cases: list[tuple[str, str]] = [
        ('eq $t "string"', call("text", ".")),
        ('eq $t "map[string]interface {}" "template.templateArgs"', object_of(layout, ".", value)),
        ('eq $t "[]interface {}" "[]string"', list_of(layout, ".", value)),
    ]
    chain = "".join(
        f"{{{{ {'else if' if number else 'if'} {test} }}}}{body}" for number, (test, body) in enumerate(cases)
    )
    return define(
        f"json{layout.suffix}", f'{{{{ $t := printf "%T" . }}}}{chain}{{{{ else }}}}{{{{ json . }}}}{{{{ end }}}}'
    )


def property_definition(depth: int | None, deepest: int | None = None) -> str:
    """Return "property" (or "property4"): an ``api.ToolProperty``, its fields in the order that people like."""
    layout = Layout(depth)
    inner, value = layout.inner, Layout(None if depth is None else depth + 2)
    nested = "" if depth == deepest else value.suffix
    fields: dict[str, Callable[[], str]] = {
        "type": lambda: when(
            "eq (len .Type) 1", call("text", "(index .Type 0)"), list_of(inner, ".Type", call("text", "$v"))
        ),
        "description": lambda: call("text", ".Description"),
        "enum": lambda: list_of(inner, ".Enum", call(f"json{value.suffix}", "$v")),
        "items": lambda: call(f"json{inner.suffix}", ".Items"),
        "properties": lambda: object_of(inner, ".Properties.ToMap", call(f"property{nested}", "$v")),
        "required": lambda: list_of(inner, ".Required", call("text", "$v")),
        "anyOf": lambda: list_of(inner, ".AnyOf", call(f"property{nested}", "$v")),
    }
    written = "".join(
        when(
            f".{name[0].upper()}{name[1:]}",
            f'{when("$p", layout.between)}{{{{ $p = true }}}}"{name}": {fields[name]()}',
        )
        for name in _PROPERTY_FIELDS
    )
    body = f"{{{{ $p := false }}}}{layout.around('{}', written)}"
    return define(f"property{layout.suffix}", body)
