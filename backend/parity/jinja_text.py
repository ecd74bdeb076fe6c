"""Pieces of Jinja: literal text, and the tools and calls of a tool format.

All text stands in expressions, so that neither ``trim_blocks`` nor ``lstrip_blocks`` (transformers and llama.cpp set
both) finds a blank to take away. JSON keeps the keys that are there, with those that a schema has in their usual
order: Ollama hands on ``required`` before ``properties``.
"""

from __future__ import annotations

from typing import Final

from backend.parity.template import DATE
from backend.parity.toolshape import NAME, NAMES, CallShape, Pairs, ToolShape

_FIELDS: Final = "['type', 'description', 'enum', 'items', 'properties', 'required', 'anyOf']"
_BETWEEN: Final = "{{ ',' + inner if pad else ', ' }}"
_MACROS: Final = (
    # Any value; pad is the line end with the blanks before the closing bracket, or '' for one line.
    "{% macro dump(v, pad) %}{% if not pad or v is string or v is number or v is boolean or v is none %}"
    "{{ v | tojson }}{% else %}{% set inner = pad + '    ' %}{% if v is mapping %}{% if v %}{{ '{' + inner }}"
    "{% for k, one in v.items() %}{% if not loop.first %}" + _BETWEEN + "{% endif %}"
    "{{ k | tojson }}{{ ': ' }}{{ dump(one, inner) }}{% endfor %}{{ pad + '}' }}{% else %}{{ '{}' }}{% endif %}"
    "{% elif v %}{{ '[' + inner }}{% for one in v %}{% if not loop.first %}" + _BETWEEN + "{% endif %}"
    "{{ dump(one, inner) }}{% endfor %}{{ pad + ']' }}{% else %}{{ '[]' }}{% endif %}{% endif %}{% endmacro %}"
    # A schema: its fields in their usual order, then what else is there.
    "{% macro schema(v, fields, pad) %}{% set inner = pad + '    ' if pad else pad %}"
    "{% set at = namespace(some=false) %}{{ '{' + inner }}"
    "{% for k in fields %}{% if k in v and v[k] is not none %}{% if at.some %}" + _BETWEEN + "{% endif %}"
    "{% set at.some = true %}{{ k | tojson }}{{ ': ' }}"
    "{% if k == 'properties' %}{% if v[k] %}{% set deep = inner + '    ' if pad else pad %}{{ '{' + deep }}"
    "{% for name, one in v[k].items() %}{% if not loop.first %}{{ ',' + deep if pad else ', ' }}{% endif %}"
    "{{ name | tojson }}{{ ': ' }}{{ schema(one, " + _FIELDS + ", deep) }}{% endfor %}{{ inner + '}' }}"
    "{% else %}{{ '{}' }}{% endif %}"
    "{% elif k == 'items' and v[k] is mapping or k == 'parameters' %}{{ schema(v[k], " + _FIELDS + ", inner) }}"
    "{% else %}{{ dump(v[k], inner) }}{% endif %}{% endif %}{% endfor %}"
    "{% for k, one in v.items() %}{% if k not in fields %}{% if at.some %}" + _BETWEEN + "{% endif %}"
    "{% set at.some = true %}{{ k | tojson }}{{ ': ' }}{{ dump(one, inner) }}{% endif %}{% endfor %}"
    "{{ pad + '}' }}{% endmacro %}"
)  # fmt: skip


def quoted(text: str) -> str:
    """Return ``text`` as a string constant."""
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def write(text: str) -> str:
    """Return the expression that writes ``text``; nothing for none."""
    return f"{{{{ {quoted(text)} }}}}" if text else ""


def when(condition: str, text: str, otherwise: str = "") -> str:
    """Return ``text`` (template text) under a condition."""
    last = f"{{% else %}}{otherwise}" if otherwise else ""
    return f"{{% if {condition} %}}{text}{last}{{% endif %}}"


def without_thoughts(first: str, last: str) -> str:
    """Return what takes every thought out of ``content``, then line ends in front; the words are constants of Jinja.

    As LLaMA-Factory's ``remove_thought``: from each ``first`` to the nearest ``last`` behind it. Where one of them is
    missing, nothing is taken. Only what both engines of llama.cpp have, so no ``maxsplit``.
    """
    turn = (
        f"{{% set opened = cut.rest.split({first}) %}}{{% set behind = opened[1:] | join({first}) %}}"
        f"{{% set closed = behind.split({last}) %}}"
        + when(
            "closed | length > 1",
            f"{{% set cut.kept = cut.kept + opened[0] %}}{{% set cut.rest = closed[1:] | join({last}) %}}",
        )
    )
    loop = f"{{% for part in content.split({first}) %}}{turn}{{% endfor %}}"
    cut = "{% set cut = namespace(kept='', rest=content) %}" + loop + "{% set content = cut.kept + cut.rest %}"
    return when(f"{first} in content and {last} in content", cut) + "{% set content = content.lstrip('\\n') %}"


def macros(tools: ToolShape) -> str:
    """Return the macros that the text of these tools needs."""
    return _MACROS if tools.body not in ("lines", "declaration") else ""


def tools_text(shape: ToolShape) -> str:
    """Return the text of ``tools``."""
    head = when("loop.first", _filled(shape.head, "f['name']"), _filled(shape.between, "f['name']"))
    function = "{% set f = tool['function'] if tool['function'] is defined else tool %}"
    loop = "{% for tool in tools %}" + function + head + _body(shape) + "{% endfor %}"
    return loop + _filled(shape.tail, "")


def _filled(text: str, name: str) -> str:
    """Return literal text with today's date, the tool's name, or all names, in their places."""
    if DATE in text:
        return "{{ strftime_now('%d %b %Y') }}".join(_filled(part, name) for part in text.split(DATE))
    if NAME in text:
        return f"{{{{ {name} }}}}".join(_filled(part, name) for part in text.split(NAME))
    if NAMES in text:
        each = "{{ tool['function']['name'] if tool['function'] is defined else tool['name'] }}"
        names = "{% for tool in tools %}" + when("not loop.first", write(", ")) + each + "{% endfor %}"
        return names.join(_filled(part, name) for part in text.split(NAMES))
    return write(text)


def _body(shape: ToolShape) -> str:
    fields = "['name', 'description', 'parameters']"
    match shape.body:
        case "bare":
            return f"{{{{ schema(f, {fields}, '') }}}}"
        case "bare4":
            return f"{{{{ schema(f, {fields}, '\\n') }}}}"
        case "wrapped":
            return f"""{{{{ '{{"type": "function", "function": ' + schema(f, {fields}, '') + '}}' }}}}"""
        case "wrapped4":
            head = '\'{\\n    "type": "function",\\n    "function": \''
            return f"{{{{ {head} + schema(f, {fields}, '\\n    ') + '\\n}}' }}}}"
        case "lines":
            return _lines()
        case "declaration":
            return _declaration()


def _lines() -> str:
    kind = (
        "{% if p['type'] is string %}{{ p['type'] }}{% elif p['type'] %}{{ '[' }}{% for one in p['type'] %}"
        + when("not loop.first", write(", "))
        + "{{ \"'\" + one + \"'\" }}{% endfor %}{{ ']' }}{% endif %}"
    )
    return (
        "{{ '> Tool Name: ' + f['name'] + '\\nTool Description: ' }}{{ f['description'] or '' }}"
        "{{ '\\nTool Args:\\n' }}"
        "{% for k, p in (f['parameters']['properties'] or {}).items() %}{{ '  - ' + k + ' (' }}" + kind
        + when("k in (f['parameters']['required'] or [])", write(", required"))
        + "{{ '): ' }}{{ p['description'] or '' }}"
        + when("p['enum']", write(", should be one of [") + "{{ p['enum'] | join(', ') }}" + write("]"))
        + when("'items' in p and p['items']", write(", where each item should be ") + "{{ p['items']['type'] or '' }}")
        + write("\n") + "{% endfor %}" + write("\n")
    )  # fmt: skip


def _declaration() -> str:
    def marked(value: str) -> str:
        return f"""{{{{ '<|"|>' + {value} + '<|"|>' }}}}"""

    return (
        "{{ 'declaration:' + f['name'] + '{description:' }}" + marked("(f['description'] or '')")
        + "{% set s = f['parameters'] or {} %}{% set at = namespace(some=false) %}"
        "{% if s['properties'] or s['required'] or s['type'] or s and 'type' not in s %}{{ ',parameters:{' }}"
        "{% if s['properties'] %}{{ 'properties:{' }}{% set at.some = true %}"
        "{% for k, p in s['properties'].items() %}" + when("not loop.first", write(",")) + "{{ k + ':{' }}"
        + when("p['description']", write("description:") + marked("p['description']"))
        + when("p['type']", when("p['description']", write(",")) + write("type:") + marked("(p['type'] | upper)"))
        + "{{ '}' }}{% endfor %}{{ '}' }}{% endif %}"
        "{% if s['required'] %}" + when("at.some", write(",")) + "{% set at.some = true %}{{ 'required:[' }}"
        "{% for one in s['required'] %}" + when("not loop.first", write(",")) + marked("one") + "{% endfor %}{{ ']' }}"
        "{% endif %}"
        + when("s['type']", when("at.some", write(",")) + write("type:") + marked("(s['type'] | upper)"))
        + "{{ '}' }}{% endif %}{{ '}' }}"
    )  # fmt: skip


def calls_text(shape: CallShape) -> str:
    """Return the text of the calls of ``message``."""
    # In one constant, llama.cpp takes it for Gemma 4's own template, and rearranges the messages (common/chat.cpp).
    before = "".join(write(part) for part in shape.before.replace(">call:", ">\0call:").split("\0"))
    one = before + "{{ call['function']['name'] }}" + write(shape.middle)
    one += "{% set args = call['function']['arguments'] %}" + _arguments(shape.arguments) + write(shape.after)
    loop = (
        "{% for call in message['tool_calls'] %}" + when("not loop.first", write(shape.between)) + one + "{% endfor %}"
    )
    several = "message['tool_calls'] | length > 1"
    if shape.many != ("", ""):
        loop = when(several, write(shape.many[0])) + loop + when(several, write(shape.many[1]))
    return write(shape.head) + loop + write(shape.tail)


def _arguments(pairs: Pairs | None) -> str:
    if pairs is None:
        return "{{ args if args is string else args | tojson }}"
    value = "{{ own(v) }}" if pairs.own else _value(pairs)
    order = "args.items() | sort" if pairs.own else "args.items()"
    between = when("not loop.first", write(pairs.between))
    body = write(pairs.before) + "{{ k }}" + write(pairs.middle) + value + write(pairs.after)
    return f"{{% for k, v in {order} %}}{between}{body}{{% endfor %}}"


def _value(pairs: Pairs) -> str:
    quote = write(pairs.quote)
    return when("v is string", f"{quote}{{{{ v }}}}{quote}", "{{ v | tojson }}")


def own_macro(shape: CallShape) -> str:
    """Return the macro of values whose keys have no quotes, where the calls need it."""
    pairs = shape.arguments
    if pairs is None or not pairs.own:
        return ""
    quote = quoted(pairs.quote)
    return (
        "{% macro own(v) %}{% if v is string %}{{ " + quote + " + v + " + quote + " }}{% elif v is mapping %}{{ '{' }}"
        "{% for k, one in v.items() | sort %}" + when("not loop.first", write(",")) + "{{ k + ':' }}{{ own(one) }}"
        "{% endfor %}{{ '}' }}{% elif v is number or v is boolean or v is none %}{{ v | tojson }}{% else %}{{ '[' }}"
        "{% for one in v %}" + when("not loop.first", write(",")) + "{{ own(one) }}{% endfor %}{{ ']' }}{% endif %}"
        "{% endmacro %}"
    )  # fmt: skip
