"""The Go text of tools, and of calls, in the way of a tool format."""

from __future__ import annotations

from typing import Final

from backend.parity.go_text import (
    NESTED,
    Layout,
    call,
    date,
    define,
    joined,
    json_definition,
    list_of,
    literal,
    object_of,
    property_definition,
    text_definition,
    when,
)
from backend.parity.template import DATE
from backend.parity.toolshape import NAME, NAMES, CallShape, Pairs, ToolShape

# api.Tool knows the types of JSON schema, and templates have no function for capitals.
_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")
_QUOTE: Final = '<|"|>'


def tools_text(shape: ToolShape) -> str:
    """Return the text of ``.Tools``, from a place where ``$`` is the whole input."""
    head = when("$i", _named(shape.between), _named(shape.head))
    loop = f"{{{{ range $i, $tool := $.Tools }}}}{head}{call('tool', '$tool.Function')}{{{{ end }}}}"
    names = "{{ range $i, $tool := $.Tools }}" + when("$i", ", ") + "{{ $tool.Function.Name }}{{ end }}"
    return loop + _dated(shape.tail, {NAMES: names})


def _named(text: str) -> str:
    return _dated(text, {NAME: "{{ $tool.Function.Name }}"})


def _dated(text: str, places: dict[str, str]) -> str:
    """Return literal text with the places in it filled."""
    for mark, action in {**places, DATE: date()}.items():
        if mark in text:
            return action.join(_dated(part, places) for part in text.split(mark))
    return literal(text)


def calls_text(shape: CallShape) -> str:
    """Return the text of the calls of ``$m``, a message of the assistant."""
    one = (
        f"{literal(shape.before)}{{{{ .Function.Name }}}}{literal(shape.middle)}"
        f"{_arguments(shape.arguments)}{literal(shape.after)}"
    )
    loop = "{{ range $i, $call := $m.ToolCalls }}" + when("$i", literal(shape.between))
    loop += "{{ with $call }}" + one + "{{ end }}{{ end }}"
    if shape.many != ("", ""):
        several = "gt (len $m.ToolCalls) 1"
        loop = when(several, literal(shape.many[0])) + loop + when(several, literal(shape.many[1]))
    return literal(shape.head) + loop + literal(shape.tail)


def _arguments(pairs: Pairs | None) -> str:
    if pairs is None:
        return call("json", ".Function.Arguments")
    value = call("value", "$v")
    body = f"{literal(pairs.before)}{{{{ $k }}}}{literal(pairs.middle)}{value}{literal(pairs.after)}"
    if not pairs.between:
        return f"{{{{ range $k, $v := .Function.Arguments }}}}{body}{{{{ end }}}}"
    return joined(".Function.Arguments", "$k, $v", body, literal(pairs.between))


def definitions(tools: ToolShape | None, calls: CallShape | None) -> str:
    """Return what the texts of both call by name."""
    found = [text_definition(), json_definition(None)]
    if calls is not None and calls.arguments is not None:
        found.append(_own_value(calls.arguments) if calls.arguments.own else _value(calls.arguments))
    if tools is not None:
        match tools.body:
            case "lines":
                found.append(define("tool", _lines()))
            case "declaration":
                found += [define("capitals", _capitals()), define("tool", _declaration())]
            case "bare" | "wrapped":
                found += [property_definition(None), _json_tool(Layout(None), wrapped=tools.body == "wrapped")]
            case "bare4" | "wrapped4":
                wrapped = tools.body == "wrapped4"
                found += _indented(4 if wrapped else 3)
                found.append(_json_tool(Layout(0), wrapped=wrapped))
    return "".join(found)


def _indented(depth: int) -> list[str]:
    """Return the definitions of properties at ``depth``, and of what lies in them."""
    deepest = depth + 2 * NESTED
    found = [property_definition(None)]
    found += [property_definition(level, deepest) for level in range(depth, deepest + 1, 2)]
    found += [json_definition(level, deepest + 2) for level in range(depth + 1, deepest + 3)]
    return found


def _value(pairs: Pairs) -> str:
    """Return "value": a text as it is, in quotes where the format wants them; anything else as JSON."""
    quote = literal(pairs.quote)
    return define("value", when('eq (printf "%T" .) "string"', f"{quote}{{{{ . }}}}{quote}", call("json", ".")))


def _own_value(pairs: Pairs) -> str:
    """Return "value" in the notation whose keys have no quotes."""
    quote = literal(pairs.quote)
    inner = call("value", "$v")
    chain = (
        f'{{{{ if eq $t "string" }}}}{quote}{{{{ . }}}}{quote}'
        '{{ else if eq $t "map[string]interface {}" }}'
        f"{literal('{')}{joined('.', '$k, $v', f'{{{{ $k }}}}:{inner}', ',')}}}"
        f'{{{{ else if eq $t "[]interface {{}}" }}}}[{joined(".", "$i, $v", inner, ",")}]'
        "{{ else }}{{ json . }}{{ end }}"
    )
    return define("value", f'{{{{ $t := printf "%T" . }}}}{chain}')


def _json_tool(layout: Layout, *, wrapped: bool) -> str:
    """Return "tool": the JSON of a tool's function, in ``{type, function}`` when ``wrapped``."""
    function = layout.inner if wrapped else layout
    parameters, properties = function.inner, function.inner.inner
    held = object_of(properties, ".Parameters.Properties", call(f"property{properties.inner.suffix}", "$v"))
    required = list_of(properties, ".Parameters.Required", call("text", "$v"))
    schema = parameters.around(
        "{}",
        f'"type": {call("text", ".Parameters.Type")}{parameters.between}"properties": {held}'
        + when(".Parameters.Required", f'{parameters.between}"required": {required}'),
    )
    text = function.around(
        "{}",
        f'"name": {call("text", ".Name")}'
        + when(".Description", f'{function.between}"description": {call("text", ".Description")}')
        + f'{function.between}"parameters": {schema}',
    )
    if wrapped:
        text = layout.around("{}", f'"type": "function"{layout.between}"function": {text}')
    return define("tool", text)


def _lines() -> str:
    """Return the body of "lines": names, descriptions, and one line an argument."""
    several = "[" + joined("$p.Type", "$i, $v", "'{{ $v }}'", ", ") + "]"
    required = "{{ range $f.Parameters.Required }}" + when("eq . $k", ", required") + "{{ end }}"
    argument = (
        "  - {{ $k }} (" + when("gt (len $p.Type) 1", several, "{{ $p.Type }}") + required + "): {{ $p.Description }}"
        + when("$p.Enum", ", should be one of [" + joined("$p.Enum", "$i, $v", "{{ $v }}", ", ") + "]")
        + when("$p.Items", ', where each item should be {{ with index $p.Items "type" }}{{ . }}{{ end }}')
        + "\n"
    )  # fmt: skip
    return (
        "{{ $f := . }}> Tool Name: {{ .Name }}\nTool Description: {{ .Description }}\nTool Args:\n"
        "{{ range $k, $p := .Parameters.Properties }}" + argument + "{{ end }}\n"
    )


def _capitals() -> str:
    chain = "".join(
        f'{{{{ {"else if" if number else "if"} eq . "{name}" }}}}{name.upper()}' for number, name in enumerate(_TYPES)
    )
    return f"{chain}{{{{ else }}}}{{{{ . }}}}{{{{ end }}}}"


def _declaration() -> str:
    """Return the body of "declaration" (LLaMA-Factory ``Gemma4ToolUtils``)."""

    def marked(value: str) -> str:
        return f"{_QUOTE}{value}{_QUOTE}"

    kind = call("capitals", "(index .Type 0)")
    fields = (
        when(".Description", f"description:{marked('{{ .Description }}')}")
        + when(".Type", when(".Description", ",") + f"type:{marked(kind)}")
    )  # fmt: skip
    properties = joined(
        ".Parameters.Properties", "$k, $v", f"{{{{ $k }}}}:{literal('{')}{{{{ with $v }}}}{fields}{{{{ end }}}}}}", ","
    )
    required = joined(".Parameters.Required", "$i, $v", marked("{{ $v }}"), ",")
    before = "or .Parameters.Properties .Parameters.Required"
    parameters = (
        when(".Parameters.Properties", f"properties:{literal('{')}{properties}}}")
        + when(".Parameters.Required", when(".Parameters.Properties", ",") + f"required:[{required}]")
        + when(".Parameters.Type", when(before, ",") + f"type:{marked(call('capitals', '.Parameters.Type'))}")
    )  # fmt: skip
    return (
        "declaration:{{ .Name }}"
        + literal("{")
        + f"description:{marked('{{ .Description }}')}"
        + when(
            "or .Parameters.Properties .Parameters.Required .Parameters.Type",
            f",parameters:{literal('{')}{parameters}}}",
        )
        + "}"
    )
