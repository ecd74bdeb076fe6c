"""Render a Jinja template as llama.cpp does for Ollama from 0.30 on.

Source: llama.cpp `common/chat.cpp` (common_chat_templates_apply_jinja, common_chat_template_direct_apply_impl),
`common/jinja/`. Its engine follows the one of transformers; what it does besides is done here: a leading BOS is taken
off where the runner adds one, and a system prompt that the template does not use is put before the next message.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from types import GeneratorType
from typing import TYPE_CHECKING, Final, NoReturn, cast

from backend.parity.govalue import Json, tool_for_llama_cpp
from backend.parity.vocabulary import Vocabulary
from data.errors import AppError
from data.i18n import _

if TYPE_CHECKING:  # late at run time: only a prediction needs it
    from jinja2 import Template
    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from jinja2.runtime import Context

CHATML: Final = (
    "{%- for message in messages -%}\n"
    "  {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "  {{- '<|im_start|>assistant\n' -}}\n"
    "{%- endif -%}"
)
"""llama.cpp's own template, for a GGUF that has none (``CHATML_TEMPLATE_SRC``)"""
_PROBE: Final = "a system prompt that is looked for"


class JinjaChat:
    """A template of a GGUF, for one vocabulary; raises AppError where it cannot be read."""

    def __init__(self, source: str, vocabulary: Vocabulary, *, adds_bos: bool) -> None:
        self._vocabulary = vocabulary
        self._adds_bos = adds_bos
        self._template = _compiled(source)
        self._source = source

    def prompt(self, messages: Sequence[Json], tools: Sequence[Json], *, think: bool | None) -> str:
        """Return the prompt; raises AppError where the template refuses the conversation."""
        made = [_message(message) for message in messages]
        if made and made[0]["role"] == "system" and not self._uses_system:
            system = made.pop(0)
            if made:
                made[0]["content"] = f"{system['content']}\n{made[0]['content']}"
        text = self._render(made, tools, think)
        bos = self._vocabulary.text(self._vocabulary.bos)
        text = text.removeprefix(bos) if self._adds_bos and bos else text
        eos = self._vocabulary.text(self._vocabulary.eos)
        return text.removesuffix(eos) if self._vocabulary.adds_eos and eos else text

    @functools.cached_property
    def _uses_system(self) -> bool:
        probe: list[dict[str, object]] = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "user"}]
        try:
            return _PROBE in self._render(probe, (), None)
        except AppError:
            return False

    def _render(self, messages: Sequence[Json], tools: Sequence[Json], think: bool | None) -> str:
        from jinja2 import TemplateError  # noqa: PLC0415 - late, see above

        now = dt.datetime.now().astimezone()
        values: dict[str, object] = {
            "messages": copy.deepcopy(list(messages)),
            "bos_token": self._vocabulary.text(self._vocabulary.bos),
            "eos_token": self._vocabulary.text(self._vocabulary.eos),
            "enable_thinking": True if think is None else think,
            "add_generation_prompt": True,
            "date_string": f"{now:%d %b %Y}",
            "datetime": f"{now:%b %d %Y}",
        }
        if tools:
            values["tools"] = [tool_for_llama_cpp(tool) for tool in tools]
            _refuse_without_properties(tools)
        try:
            return self._template.render(**values)
        except (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise AppError(
                _("The GGUF's own template refuses this conversation"), str(error), _("Deploy it with a TEMPLATE.")
            ) from error


def _message(message: Json) -> dict[str, object]:
    """Return a message as Ollama's and llama.cpp's ways give it to a template: without thoughts and empty ids."""
    made: dict[str, object] = {"role": message["role"], "content": message.get("content") or ""}
    for theirs, ours in (("name", "tool_name"), ("tool_call_id", "tool_call_id")):
        if message.get(ours):
            made[theirs] = message[ours]
    calls = cast("Sequence[Json]", message.get("tool_calls") or ())
    if calls:
        made["tool_calls"] = [
            {
                "type": "function",
                "function": dict(cast("Json", call["function"])),
                **({"id": call["id"]} if call.get("id") else {}),
            }
            for call in calls
        ]
    return made


def _refuse_without_properties(tools: Sequence[Json]) -> None:
    """Raise AppError for a tool that llama.cpp finds malformed: Ollama writes null where nothing was said."""
    for tool in tools:
        function = cast("Json", tool.get("function") or {})
        if cast("Json", function.get("parameters") or {}).get("properties") is None:
            raise AppError(
                _("A tool without properties cannot be given to the GGUF's own template"),
                _("{tool}: Ollama makes null of them, and most requests with that fail.", tool=function.get("name")),
                _('Give its parameters "properties": {}, or deploy the model with a TEMPLATE.'),
            )


def _written(value: object) -> object:
    """Return what llama.cpp writes of a value: nothing of none and of an object, of a list its entries."""
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple | GeneratorType):
        return "".join(str(_written(one)) for one in cast("Iterable[object]", value))
    return value


@functools.lru_cache(maxsize=16)
def _compiled(source: str) -> Template:
    from jinja2 import TemplateError, Undefined  # noqa: PLC0415 - late, see above
    from jinja2.exceptions import TemplateError as Refusal  # noqa: PLC0415
    from jinja2.ext import Extension, loopcontrols  # noqa: PLC0415
    from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment  # noqa: PLC0415

    def refuse(why: str) -> NoReturn:
        raise Refusal(why)

    def now(form: str) -> str:
        return dt.datetime.now().astimezone().strftime(form)

    def as_json(value: object, indent: int | None = None, **_options: object) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=list)

    class Generation(Extension):
        """The part of an answer that a training learns: a prompt is the same without the mark."""

        tags = {"generation"}  # noqa: RUF012 - as its base has it

        def parse(self, parser: Parser) -> list[Node]:
            """Return what stands between the marks."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    class Environment(ImmutableSandboxedEnvironment):
        """Adds whatever is put to a text as text, and nothing as none (llama.cpp ``common/jinja/runtime.cpp``)."""

        intercepted_binops = frozenset({"+"})

        def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
            """Allow lists to grow and shrink, as llama.cpp does; ``call`` has an eye on how far."""
            return (isinstance(obj, list) and attr in ("append", "pop")) or super().is_safe_attribute(obj, attr, value)

        def call(self, context: Context, obj: object, *args: object, **kwargs: object) -> object:
            """Call ``obj``; raises TemplateError for a list that grows without an end."""
            held = getattr(obj, "__self__", None)
            if isinstance(held, list) and len(cast("list[object]", held)) > MAX_RANGE:
                raise Refusal(str(_("A list of the template grows beyond {count} entries.", count=MAX_RANGE)))
            return cast("object", super().call(context, obj, *args, **kwargs))

        def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
            """Return the sum."""
            if isinstance(left, str) or isinstance(right, str):
                return "".join("" if one is None or isinstance(one, Undefined) else str(one) for one in (left, right))
            return cast("object", super().call_binop(context, operator, left, right))

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation], finalize=_written
    )
    cast("dict[str, object]", environment.filters)["tojson"] = as_json
    cast("dict[str, object]", environment.globals).update({"raise_exception": refuse, "strftime_now": now})
    try:
        return environment.from_string(source)
    except (TemplateError, RecursionError) as error:
        raise AppError(
            _("The GGUF's own template cannot be read"),
            str(error),
            _("Deploy it with a TEMPLATE, or convert it again."),
        ) from error
