"""Go's own template engine as a program, and templates at random from the language's grammar."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from hypothesis import strategies as st

from backend.gotemplate import TemplateError, parse, render
from backend.gotemplate.function import BUILTIN, SHORT_CIRCUIT
from backend.gotemplate.value import UnknowableError, encoded, received
from backend.setup.tools import gather
from data.jobs.report import Reporter
from data.paths import Paths
from tests.support import PROGRAMS

NAMES = [*BUILTIN, *SHORT_CIRCUIT, "json"]
Verdict = tuple[str, str]
"""("text", what was rendered), ("parse", "") or ("execute", "")"""


class GoEngine:
    """The program, built into ``folder`` by the Go that builds Ollama, and kept running; use it with ``with``."""

    def __init__(self, folder: Path) -> None:
        binary = folder / "go-template"
        tools = gather(Paths.default(), os.environ, Reporter.from_environment())
        environ = {**tools.env, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOCACHE": str(folder / "go-cache")}
        subprocess.run(
            [tools.go, "build", "-o", str(binary), "."], cwd=PROGRAMS / "go_template", env=environ, check=True
        )
        self._process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def render(self, template: str, data: object) -> Verdict:
        """Return what Go makes of the template."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"template": template, "data": data}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return (answer["stage"], "") if "stage" in answer else ("text", answer["text"])


def ours(template: str, data: object) -> Verdict:
    """Return what backend.gotemplate makes of the template; UnknowableError passes through."""
    try:
        parsed = parse(template, NAMES)
    except TemplateError:
        return ("parse", "")
    try:
        return ("text", received(render(parsed, _as_go(data), {"json": lambda values: encoded(values[0])})))
    except TemplateError:
        return ("execute", "")


def _as_go(value: Any) -> Any:
    """Return JSON's values as Go decodes them: every number is a float64."""
    if isinstance(value, dict):
        return {name: _as_go(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_go(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


# -- templates at random ------------------------------------------------------------------------------------------

_texts = st.sampled_from(["", " ", "\n", "a", "<|im_start|>", "ü ", " \n\t", "{", "}", "世界", "-", "it's"])
_trims = st.sampled_from(["{{%s}}", "{{- %s}}", "{{%s -}}", "{{- %s -}}"])
_fields = st.sampled_from(
    [".", ".Role", ".Messages", ".System", "$.System", "$", ".No", ".Map.k", ".No.No", ".N", ".T"]
)
_constants = st.sampled_from(
    ['"user"', "`raw\\n`", '"\\u00e9\\n"', "1", "0", "-2", "1.5", "0x10", "true", "false", "nil", "'x'"]
)
_variables = st.sampled_from(["$x", "$i", "$m.Role", "$x.Role"])


def _calls(operand: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.sampled_from(
        ["eq", "ne", "lt", "le", "gt", "ge", "and", "or", "index", "slice", "print", "printf", "println"]
    )
    one = st.sampled_from(["not", "len", "json", "print", "html", "js", "urlquery", 'printf "%v|%s"', 'printf "%5q"'])
    return st.one_of(
        st.builds("{} {} {}".format, two, operand, operand),
        st.builds("{} {}".format, one, operand),
        st.builds("and {} {} {}".format, operand, operand, operand),
        st.builds("slice {} {} {}".format, operand, operand, operand),
    )


_operands = st.recursive(
    st.one_of(_fields, _constants, _variables),
    lambda inner: st.one_of(_calls(inner).map("({})".format), _calls(inner).map("({}).Role".format)),
    max_leaves=4,
)
_sound = st.sampled_from(
    [
        ".Messages", ".System", ".Role", ".N", ".Map", "$m", "$i", "$x", "len .Messages", "len .System", "json .Map",
        'eq .Role "user"', 'ne .Role "user" | not', "and .Role .System", "or .Role .System | len", "index .Map `k`",
        "slice .System 1", "lt (len .Messages) 2", "ge 1 (len .Messages)", 'printf "%s-%v-%q" .Role .N .System',
        "index .Messages 0", "(index .Messages 0).Content", ".System | printf `%10s|`", "print .N 1 .Role", "3", ".T",
        "printf `%5.2f|%g|%-8v|%t` .N .N .N .T", "printf `%d|%03d|%x|%c` 5 7 255 65",
        "urlquery .System", "html .System", "js .System", "slice .System 0 1", "json (slice .System 1 3)",
        "index .System 1", "print (slice .System 0 1) (slice .System 1)", 'printf "%x|%q" .System .System',
        "eq (print (slice .System 0 1) (slice .System 1)) .System", "len (slice .System 0 1)",
    ]
)  # fmt: skip
_pipes = st.one_of(
    _sound,
    _sound,
    _operands,
    _calls(_operands),
    st.builds("{} | {}".format, _operands, st.sampled_from(["len", "json", "not", "eq 1.0", 'printf "%v"', "or", "1"])),
)


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=3).map("".join)
    head = st.sampled_from(["if", "with", "range", "range $i, $m :=", "range $x :=", "if $x :=", "with $x :="])
    middle = st.sampled_from(["{{else}}", "{{ else -}}", "{{- else if .Role}}", "{{else with .System}}", ""])
    return st.one_of(
        st.builds("{{{{{} {}}}}}{}{}{}{{{{end}}}}".format, head, _pipes, body, middle, body),
        st.builds("{{{{- {} {} -}}}}{}{{{{- end -}}}}".format, head, _pipes, body),
        st.builds(
            "{{{{range {}}}}}{}{{{{if {}}}}}{}{{{{end}}}}{}{{{{end}}}}".format,
            st.one_of(st.just("$i, $e := .Messages"), _pipes),
            body,
            _pipes,
            st.sampled_from(["{{break}}", "{{ continue }}"]),
            body,
        ),
        st.builds('{{{{define "t"}}}}{}{{{{end}}}}{{{{template "t" {}}}}}'.format, body, _pipes),
        st.builds('{{{{block "b" {}}}}}{}{{{{end}}}}'.format, _pipes, body),
    )


_actions = st.one_of(
    st.builds(lambda form, pipe: form % pipe, _trims, _pipes),
    st.builds(lambda form, pipe: form % f" $x := {pipe} ", _trims, _pipes),
    st.builds(lambda form, pipe: form % f"$x = {pipe}", _trims, _pipes),
    st.sampled_from(["{{/* a comment */}}", "{{- /* trims */ -}}"]),
)
_DECLARED = "{{ $x := .Messages }}{{ $i := 1 }}{{ $m := .Map }}"  # so that what follows may name them
templates = st.lists(st.recursive(st.one_of(_texts, _actions), _blocks, max_leaves=8), min_size=1, max_size=4).map(
    lambda pieces: _DECLARED + "".join(pieces)
)
_junk = st.text(alphabet=st.sampled_from(list("{}.$|()\"'` -/*:=,axé01+%\n")), max_size=24)
_STRAY = ["{{", "}}", "-", ".", "|", "(", ")", '"', " ", ",", "$", ":=", "é", "{{end}}"]


def _cut(text: str, at: int, extra: str, lost: int) -> str:
    at %= len(text) + 1
    return text[:at] + extra + text[at + lost :]


broken = st.one_of(
    _junk,
    st.builds(_cut, templates, st.integers(0, 200), st.sampled_from(_STRAY), st.just(0)),
    st.builds(_cut, templates, st.integers(0, 200), st.just(""), st.just(1)),
)  # fmt: skip
data = st.fixed_dictionaries(
    {
        "System": st.sampled_from(["", "S", "<&>\n", "é", "é<\n世\u2028", "\x07\b🦙"]),
        "Role": st.sampled_from(["", "user"]),
        "N": st.sampled_from([0, 1, 3, 1.5, -2, 1e21, 1e-7, 123456789]),
        "T": st.booleans(),
        "Messages": st.lists(
            st.fixed_dictionaries(
                {"Role": st.sampled_from(["user", "assistant", "system"]), "Content": st.text(max_size=5)}
            ),
            max_size=3,
        ),
        "Map": st.dictionaries(
            st.sampled_from(["k", "a", "Z", "ü"]),
            st.one_of(st.none(), st.text(max_size=3), st.integers(0, 9)),
            max_size=3,
        ),
    }
)  # fmt: skip

__all__ = ["GoEngine", "UnknowableError", "broken", "data", "ours", "templates"]
