"""Jinja as llama.cpp's engine reads it (``common/jinja/``): that of transformers, but for what is told here.

Values are written otherwise, ``+`` puts anything to a text, lists may change, and the marks of what a training learns
are known. Templates are strangers': they render in Jinja's sandbox.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from types import GeneratorType
from typing import NoReturn, cast

from jinja2 import Template, TemplateError, Undefined
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment

from data.errors import AppError
from data.i18n import _

_REFUSALS = (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError)


@functools.lru_cache(maxsize=16)
def renderer(source: str) -> Callable[[Mapping[str, object]], str]:
    """Return what renders the template ``source`` with values, and raises AppError where it refuses them.

    Raises AppError where the template cannot be read.
    """
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], finalize=_written
    )
    cast("dict[str, object]", environment.filters)["tojson"] = _as_json
    cast("dict[str, object]", environment.globals).update({"raise_exception": _refuse, "strftime_now": _now})
    try:
        return functools.partial(_rendered, environment.from_string(source))
    except (TemplateError, RecursionError) as error:
        raise AppError(
            _("The GGUF's own template cannot be read"),
            str(error),
            _("Deploy it with a TEMPLATE, or convert it again."),
        ) from error


def _rendered(template: Template, values: Mapping[str, object]) -> str:
    try:
        return template.render(**values)
    except _REFUSALS as error:
        raise AppError(
            _("The GGUF's own template refuses this conversation"), str(error), _("Deploy it with a TEMPLATE.")
        ) from error


class _Generation(Extension):
    """The part of an answer that a training learns: a prompt is the same without the mark."""

    tags = {"generation"}  # noqa: RUF012 - as its base has it

    def parse(self, parser: Parser) -> list[Node]:
        """Return what stands between the marks."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """Adds whatever is put to a text as text, and nothing as none; lets lists change."""

    intercepted_binops = frozenset({"+"})

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Allow lists to grow and shrink; ``call`` has an eye on how far."""
        return (isinstance(obj, list) and attr in ("append", "pop")) or super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: object, *args: object, **kwargs: object) -> object:
        """Call ``obj``; raises TemplateError for a list that grows without an end."""
        held = getattr(obj, "__self__", None)
        if isinstance(held, list) and len(cast("list[object]", held)) > MAX_RANGE:
            raise TemplateError(str(_("A list of the template grows beyond {count} entries.", count=MAX_RANGE)))
        return cast("object", super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Return the sum."""
        if isinstance(left, str) or isinstance(right, str):
            return "".join("" if one is None or isinstance(one, Undefined) else str(one) for one in (left, right))
        return cast("object", super().call_binop(context, operator, left, right))


def _written(value: object) -> object:
    """Return what is written of a value: nothing of none and of an object, of a list its entries."""
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple | GeneratorType):
        return "".join(str(_written(one)) for one in cast("Iterable[object]", value))
    return value


def _as_json(value: object, indent: int | None = None, **_options: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=list)


def _refuse(why: str) -> NoReturn:
    raise TemplateError(why)


def _now(form: str) -> str:
    return dt.datetime.now().astimezone().strftime(form)
