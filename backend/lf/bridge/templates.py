"""Print, as JSON, every chat template of the installed LLaMA-Factory: runs in LLaMA-Factory's own Python.

Standard library and packages of that environment only; nothing of Paddock is imported, and nothing imports this.
Output: ``{llamafactory, templates: {name: {classes, slots: {user, …}, formatters, tool_formats, …}}, tool_formats:
{name: {tools: [one, two], calls: [text…]}}}``. A slot is a text, ``{"token": text}`` or ``{"set": [text…]}``.
A tool format is shown by what it makes of fixed tools and calls; today's date in it is written as NUL, date, NUL.
"""

import contextlib
import datetime as dt
import importlib.metadata
import json
import sys

TOOLS = [
    {
        "name": "probe_alpha",
        "description": "First probe.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "A city."}},
            "required": ["city"],
        },
    },
    {
        "name": "probe_beta",
        "description": "Second probe.",
        "parameters": {"type": "object", "properties": {"count": {"type": "integer", "description": "How many."}}},
    },
]
CALLS = [
    [["probe_alpha", {"city": "Oslo"}]],
    [["probe_beta", {"city": "Bergen", "count": 2, "deep": {"flags": [True, None, "x"]}}]],
    [["probe_alpha", {"city": "Oslo"}], ["probe_beta", {"count": 3}]],
]
ROLES = ("user", "assistant", "system", "function", "observation", "tools", "prefix")
DATE = "\x00date\x00"


def slot(value: object) -> object:
    """Return a slot as JSON can hold it."""
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(value)}
    return value


def described(template: object) -> "dict[str, object]":
    """Return one template's own values."""
    formatters = {role: getattr(template, f"format_{role}") for role in ROLES}
    return {
        "classes": [cls.__name__ for cls in type(template).__mro__ if cls is not object],
        "slots": {role: [slot(item) for item in one.slots] for role, one in formatters.items()},
        "formatters": {role: type(one).__name__ for role, one in formatters.items()},
        "function_format": formatters["function"].tool_format,
        "tool_format": formatters["tools"].tool_format,
        "default_system": template.default_system,
        "stop_words": list(template.stop_words),
        "thought_words": list(template.thought_words),
        "tool_call_words": list(getattr(template, "tool_call_words", ())),
        "efficient_eos": template.efficient_eos,
        "replace_eos": template.replace_eos,
        "replace_jinja": template.replace_jinja_template,
        "enable_thinking": template.enable_thinking,
        "preserve_thinking": getattr(template, "preserve_thinking", False),
        "media": type(template.mm_plugin).__name__ != "BasePlugin",
    }


def tool_format(tools: object, function_call: type) -> "dict[str, object]":
    """Return what a tool format makes of the probes; None where it refuses one (parallel calls)."""
    today = dt.datetime.now().strftime("%d %b %Y")  # noqa: DTZ005 - the local date, as LLaMA-Factory takes it
    texts = [tools.tool_formatter(TOOLS[: count + 1]).replace(today, DATE) for count in range(len(TOOLS))]
    calls = []
    for probe in CALLS:
        text = None
        with contextlib.suppress(ValueError):
            text = tools.function_formatter([function_call(n, json.dumps(a, ensure_ascii=False)) for n, a in probe])
        calls.append(text)
    return {"tools": texts, "calls": calls}


def main() -> None:
    """Write the templates to stdout; whatever the imports print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    from llamafactory.data.template import TEMPLATES
    from llamafactory.data.tool_utils import TOOLS as FORMATS
    from llamafactory.data.tool_utils import FunctionCall

    answer = {
        "llamafactory": importlib.metadata.version("llamafactory"),
        "templates": {name: described(template) for name, template in TEMPLATES.items()},
        "tool_formats": {name: tool_format(tools, FunctionCall) for name, tools in FORMATS.items()},
    }
    json.dump(answer, out, ensure_ascii=False, sort_keys=True)
    out.write("\n")


if __name__ == "__main__":
    main()
