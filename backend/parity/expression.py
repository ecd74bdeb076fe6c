"""What both template languages need to know of a template: its parts around the content, its BOS, its tools."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from backend.parity.template import CONTENT, Slots, Special, Template, Token
from backend.parity.toolshape import CallShape, ToolShape, call_shape, tool_shape
from data.errors import AppError
from data.i18n import Message, _

OBSERVATIONS: Final = "\n</tool_response>\n<tool_response>\n"
"""Between the results of several calls (LLaMA-Factory ``data/converter.py``, ``OpenAIDatasetConverter``)"""
_PLACEHOLDER: Final = re.compile(r"\{\{[A-Za-z_]\w*\}\}")


class InexpressibleError(AppError):
    """A template that neither language can say, and why."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the tokenizer and the GGUF say of BOS and EOS."""

    bos: str | None
    """The token's text; None where the tokenizer has none"""
    eos: str | None
    """As training had it: see ``eos_of``"""
    adds_bos: bool
    """The runner puts BOS before the text (``tokenizer.ggml.add_bos_token``)"""
    special: frozenset[str] | None = None
    """Of a tokenizer that puts a blank before every text (see ``seam``): its special tokens; None for all others"""


@dataclass(frozen=True, slots=True)
class Tools:
    """How a template writes tools: by a known shape, or in ``around`` the JSON list of the functions."""

    shape: ToolShape
    calls: CallShape


def eos_of(template: Template, tokenizer_eos: str | None) -> str | None:
    """Return the EOS that training had (LLaMA-Factory ``fix_special_tokens``)."""
    if template.replace_eos and template.stop_words:
        return template.stop_words[0]
    return tokenizer_eos or "<|endoftext|>"


def starts_with_bos(template: Template) -> Literal["prefix", "turn", ""]:
    """Say what begins every conversation with BOS: the prefix, the first turn (or system text), or nothing."""
    if template.prefix:
        return "prefix" if template.prefix[0] == Special("bos") else ""
    turns = [template.user] if template.kind == "fused" else [template.user, template.system]
    return "turn" if all(slots and slots[0] == Special("bos") for slots in turns) else ""


def adds_bos(template: Template) -> bool:
    """Say what ``tokenizer.ggml.add_bos_token`` has to be: training began with BOS, or it did not."""
    return bool(starts_with_bos(template))


def parts(slots: Slots, tokens: Tokens) -> list[str]:
    """Return the texts around the content: one more than the content occurs."""
    found = [""]
    for slot in slots:
        match slot:
            case str():
                before, mark, after = slot.partition(CONTENT)  # LLaMA-Factory fills in the first of a slot only
                found[-1] += before
                if mark:
                    found.append(after)
            case Token(text):
                found[-1] += text
            case Special("bos"):
                found[-1] += tokens.bos or ""
            case Special():
                found[-1] += tokens.eos or ""
    return found


def check(template: Template) -> None:
    """Raise InexpressibleError for a class or a placeholder of somebody's own."""
    if template.kind == "other":
        raise InexpressibleError(
            _("The template {name} cannot be written for Ollama", name=template.name),
            _("Its class {cls} encodes conversations in a way of its own.", cls=template.cls),
            _("Give a Go template of your own when you deploy: --template FILE."),
        )
    roles = (template.user, template.assistant, template.system, template.observation, template.function)
    for slot in (slot for slots in roles for slot in slots if isinstance(slot, str)):
        other = next((one for one in _PLACEHOLDER.findall(slot) if one != CONTENT), None)
        if other is not None:
            raise InexpressibleError(
                _("The template {name} cannot be written for Ollama", name=template.name),
                _("It has the placeholder {placeholder}.", placeholder=other),
                _("Give a Go template of your own when you deploy: --template FILE."),
            )


def tools_of(template: Template, tokens: Tokens) -> Tools | Message:
    """Return how ``template`` writes tools and calls, or why that is not known."""
    if template.function_format is None:
        return _("Its format of calls is not known.")
    calls = call_shape(template.function_format)
    if template.tools:  # a text formatter: the tools' JSON, as the data set has it, between two texts
        around = parts(template.tools, tokens)
        shape = ToolShape(f"{around[0]}[", "bare", ", ", f"]{around[1]}") if len(around) == 2 else None
    else:
        shape = tool_shape(template.tool_format) if template.tool_format is not None else None
    if shape is None or calls is None:
        return _("LLaMA-Factory writes tools in a way that is not known here.")
    return Tools(shape, calls)
