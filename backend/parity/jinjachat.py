"""Render a Jinja template as llama.cpp does for Ollama from 0.30 on.

Source: llama.cpp `common/chat.cpp` (common_chat_templates_apply_jinja, common_chat_template_direct_apply_impl). What it
does besides rendering is done here: a leading BOS is taken off where the runner adds one, and a system prompt that the
template does not use is put before the next message.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
from collections.abc import Sequence
from typing import Final, cast

from backend.parity.govalue import Json, tool_for_llama_cpp
from backend.parity.vocabulary import Vocabulary
from data.errors import AppError
from data.i18n import _

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
        from backend.parity import jinja_engine  # noqa: PLC0415 - jinja2 is late: only a prediction needs it

        self._vocabulary = vocabulary
        self._adds_bos = adds_bos
        self._rendered = jinja_engine.renderer(source)
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
            values["tools"] = _given(tools)
        return self._rendered(values)


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


def _given(tools: Sequence[Json]) -> list[Json]:
    """Return the tools; raises AppError for one without properties: Ollama writes null, which llama.cpp refuses."""
    made = [tool_for_llama_cpp(tool) for tool in tools]
    for function in (cast("Json", tool["function"]) for tool in made):
        if cast("Json", function["parameters"])["properties"] is None:
            raise AppError(
                _("A tool without properties cannot be given to the GGUF's own template"),
                _("{tool}: Ollama makes null of them, and most requests with that fail.", tool=function["name"]),
                _('Give its parameters "properties": {}, or deploy the model with a TEMPLATE.'),
            )
    return made
