"""Go's template language: what templates of Ollama are made of, the place of every mistake, and the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given

from backend.gotemplate import TemplateError, parse, render
from backend.gotemplate.value import Printed, Record, UnknowableError, Value, encoded
from tests.gotemplates import NAMES, broken, data, ours

MESSAGES: list[Value] = [
    {"Role": "system", "Content": "S"},
    {"Role": "user", "Content": "Hi"},
    {"Role": "assistant", "Content": "é\n"},
    {"Role": "user", "Content": " bye "},
]


def made(template: str, values: Value = None) -> str:
    return render(parse(template, NAMES), values, {"json": lambda values: encoded(values[0])})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain } { text", "plain } { text"),
        ("a {{- 1 -}} b", "a1b"),
        ("a {{ 1 }} b", "a 1 b"),
        ("a {{-1}} b", "a -1 b"),
        ("a {{- /* note */ -}} b", "ab"),
        ("{{ .System }}|{{ .No }}", "Sys|<no value>"),
        ("{{ range .Messages }}{{ .Role }};{{ end }}", "system;user;assistant;user;"),
        ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }}{{ end }}", "0system1user2assistant3user"),
        ("{{ range .Messages }}{{ if eq .Role `user` }}{{ break }}{{ end }}{{ .Role }}{{ end }}", "system"),
        ("{{ range .Messages }}{{ if ne .Role `user` }}{{ continue }}{{ end }}{{ .Content }}{{ end }}", "Hi bye "),
        ("{{ range .No }}x{{ else }}none{{ end }}", "none"),
        ("{{ $last := false }}{{ range $i, $_ := .Messages }}{{ $last = eq $i 3 }}{{ end }}{{ $last }}", "true"),
        ("{{ with .System }}[{{ . }}]{{ else }}-{{ end }}", "[Sys]"),
        ("{{ if .No }}a{{ else if .System }}b{{ else }}c{{ end }}", "b"),
        ("{{ if and .System (or .No `x`) }}yes{{ end }}", "yes"),
        ("{{ len .Messages }}{{ len (index .Messages 2).Content }}", "43"),
        ("{{ (index .Messages 1).Role | printf `%-6s|` }}", "user  |"),
        ("{{ slice .System 1 }}{{ slice .Messages 4 }}", "ys[]"),
        ("{{ printf `%q %v %d %5.1f %t` .System 1.5 7 2.25 true }}", '"Sys" 1.5 7   2.2 true'),
        ("{{ .Map }}", "map[a:1 b:[x y]]"),
        ("{{ range $k, $v := .Map }}{{ $k }}={{ $v }};{{ end }}", "a=1;b=[x y];"),
        ('{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .System }}', "<Sys>"),
        ("{{ '\\n' }}{{ \"\\u00e9\\t\" }}{{ `\\n` }}", "10é\t\\n"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ $ | len }}{{ $.System }}", "3Sys"),
        ("{{ html .No }}{{ print .No }}", "&lt;no value&gt;<nil>"),
        ("{{ .System | }}{{ if (.System |) }}!{{ end }}", "Sys!"),  # Go 1.26 asks for nothing behind the |
    ],
)
def test_a_template_renders_as_go_renders_it(template: str, text: str) -> None:
    assert made(template, {"System": "Sys", "Messages": MESSAGES, "Map": {"b": ["x", "y"], "a": 1}}) == text


@pytest.mark.parametrize(
    ("template", "line", "column", "why"),
    [
        ("a\n{{ .System", 2, 1, "not closed"),
        ("{{ if .A }}x", 1, 13, "end is missing"),
        ("x\n y {{ end }}", 2, 7, "nothing to end"),
        ("{{ .A }}\n{{ foo }}", 2, 4, "no function foo"),
        ("{{ $x }}", 1, 4, "no variable $x"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", 1, 39, "no variable $x"),
        ('{{ "a\n" }}', 1, 4, "quote"),
        ("{{ 1x }}", 1, 4, "no number"),
        ("{{ (.A }}", 1, 8, "parenthesis"),
        ("{{ .A | | }}", 1, 9, "| is not expected in command"),
        ("{{ .A | 1 }}", 1, 9, "Only a function"),
        ("{{ break }}", 1, 4, "outside of a range"),
        ("{{ range $a, $b, $c := . }}{{ end }}", 1, 14, "too many variables"),
        ("{{ é+ }}", 1, 5, "'+' is not allowed"),
        ("{{ if }}{{ end }}", 1, 7, "value of if is missing"),
        ("{{/* open", 1, 3, "comment is not closed"),
        ("{{ .A }}{{ else }}", 1, 12, "nothing to end"),
    ],
)
def test_a_mistake_is_told_with_its_place(template: str, line: int, column: int, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(template, NAMES)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert why in str(caught.value.why)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ index .Messages 9 }}", "out of range"),
        ("{{ .System.Deep }}", "string has no field Deep"),
        ("{{ .No.Deep }}", "asked of nothing"),
        ("{{ .Map.No.Deep }}", "asked of nothing"),
        ("{{ eq .System 1 }}", "cannot be compared"),
        ("{{ lt .Messages 1 }}", "have no order"),
        ("{{ range .System }}{{ end }}", "cannot go over string"),
        ("{{ len 3 }}", "no length"),
        ("{{ .System 1 }}", "Only a function"),
        ("{{ nil }}", "nil"),
        ('{{ template "no" . }}', "no template"),
    ],
)
def test_what_go_refuses_when_it_renders_is_refused_with_its_place(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        made(template, {"System": "Sys", "Messages": MESSAGES, "Map": {}})
    assert caught.value.line == 1
    assert why in str(caught.value.why)


@pytest.mark.parametrize(
    "template",
    [
        '{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}',
        "{{ range 900 }}{{ range 900 }}{{ range 900 }}{{ end }}{{ end }}{{ end }}",
        "{{ range 99999999999 }}{{ end }}",
        "{{ range 5000 }}{{ range 100 }}" + "x" * 100 + "{{ end }}{{ end }}",
    ],
)
def test_a_template_from_elsewhere_cannot_run_or_grow_without_end(template: str) -> None:
    with pytest.raises(TemplateError):
        made(template)


def test_blocks_in_each_other_without_end_are_refused_not_followed() -> None:
    with pytest.raises(TemplateError, match="mistake"):
        parse("{{ if true }}" * 5000 + "{{ end }}" * 5000, NAMES)
    with pytest.raises(TemplateError, match="mistake"):
        parse("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", NAMES)


def test_a_type_with_a_text_of_its_own_prints_that_and_still_has_its_fields() -> None:
    tool = Record("tool", {"Name": "look"}, '{"name":"look"}')
    tools = Printed([tool], '[{"name":"look"}]')
    assert made("{{ .Tools }}{{ range .Tools }}{{ .Name }}{{ end }}{{ len .Tools }}", {"Tools": tools}) == (
        '[{"name":"look"}]look1'
    )
    assert made("{{ index .Tools 0 }}", {"Tools": tools}) == "{look}"


def test_a_struct_prints_its_fields_in_their_order_and_its_address_is_not_foretold() -> None:
    inner: Value = Record("inner", {"Text": "a b", "Nothing": None, "Own": Printed({}, "{}")}, "{}")
    values: Value = {"S": Record("outer", {"N": 0, "Inner": inner}, "{}"), "P": Record("*outer", {"N": 1}, "{}")}
    assert made("{{ .S }}|{{ print .S }}|{{ .P }}", values) == "{0 {a b <nil> {}}}|{0 {a b <nil> {}}}|{1}"
    for template in ("{{ print .P }}", "{{ . }}", "{{ printf `%s` .S }}"):
        with pytest.raises(UnknowableError):
            made(template, values)


BYTES = "{{ range $i := len . }}{{ slice (slice $ $i) 0 1 }}{{ end }}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (BYTES, "é<\n世"),
        (
            "{{ $a := slice . 0 1 }}{{ $b := slice . 1 }}{{ eq (print $a $b) . }}{{ len $a }}{{ index $a 0 }}",
            "true1195",
        ),
        ("{{ printf `%s%s|%x` (slice . 0 1) (slice . 1 3) (slice . 0 1) }}", "é<|c3"),
        ("{{ json (slice . 1 3) }}{{ js (slice . 0 2) }}", '"\\ufffd\\u003c"é'),
        ("{{ slice . 4 6 }}", "\udce4\udcb8"),
        ("{{ printf `%c%c` 55296 1114112 }}", "\ufffd\ufffd"),
    ],
)
def test_texts_are_bytes_that_make_letters_where_they_meet(template: str, text: str) -> None:
    assert made(template, "é<\n世") == text


@given(broken, data)
def test_any_text_is_rendered_or_refused(template: str, values: dict[str, object]) -> None:
    try:
        verdict, text = ours(template, values)
    except UnknowableError:
        return
    assert verdict in ("text", "parse", "execute")
    assert isinstance(text, str)
