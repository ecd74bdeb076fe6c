"""Foretell, without a server, what an Ollama of some version sends: from the GGUF's keys and the Modelfile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.gotemplate import TemplateError
from backend.gotemplate.value import UnknowableError
from backend.ollama.modelfile import Modelfile
from backend.parity import room
from backend.parity.asked import RAW, Sent, Served
from backend.parity.cases import Case
from backend.parity.gochat import GoChat
from backend.parity.govalue import Json
from backend.parity.jinjachat import CHATML, JinjaChat
from backend.parity.select import Way, jinja_abilities, known_for, way_of
from backend.parity.tokenizer import Runner
from backend.parity.vocabulary import from_header
from data.errors import AppError
from data.gguf import read_header
from data.i18n import Message, _

_THOUGHT: Final = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a version does with a model; raises AppError in ``send`` where that cannot be known."""

    runner: Runner
    served: Served
    way: Way
    go: GoChat
    jinja: str
    system: str
    stored: tuple[Json, ...]
    """MESSAGE commands of the Modelfile"""
    kept: int
    """How many tokens of a conversation the server keeps: num_ctx, or what the model holds where that is less"""

    def send(self, case: Case) -> Sent:
        """Return what would be sent for ``case``."""
        abilities = self._abilities()
        if case.tools and "tools" not in abilities:
            return _refused(_("The model does not support tools."), "does not support tools")
        think = case.thinking
        if think is None and "thinking" in abilities:
            think = True
        elif think and "thinking" not in abilities:
            return _refused(_("The model does not support thinking."), "does not support thinking")
        messages = self._messages(case)
        try:
            text = self._prompt(messages, case.functions(), think)
        except (TemplateError, AppError) as error:
            return Sent((), "", error=error)
        except UnknowableError as error:
            raise AppError(
                _("What Ollama sends for this model cannot be foretold"),
                error.why,
                _("Verify it on a server: leave --offline out."),
            ) from error
        return Sent(self.runner.encode(text), self.runner.whole(text))

    def _abilities(self) -> frozenset[str]:
        if self.way == "jinja":
            return jinja_abilities(self.jinja)
        return self.go.abilities()

    def _messages(self, case: Case) -> list[Json]:
        given = case.messages()
        messages: list[Json] = [*self.stored, *given]
        if self.system and given[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.system})
        if self.runner.vocabulary.architecture == "qwen3":
            messages = _without_thoughts(messages)
        return messages

    def _prompt(self, messages: Sequence[Json], tools: Sequence[Json], think: bool | None) -> str:
        match self.way:
            case "go" | "raw":
                return self.go.prompt(messages, tools, think=think, version=self.served.version)
            case "jinja" | "chatml":
                source = self.jinja if self.way == "jinja" else CHATML
                vocabulary, adds_bos = self.runner.vocabulary, self.runner.adds_bos
                return JinjaChat(source, vocabulary, adds_bos=adds_bos).prompt(messages, tools, think=think)
            case "renderer":
                why = _("It has a renderer of its own for the architecture {name}.",
                        name=self.runner.vocabulary.architecture)  # fmt: skip
                if self.served.renderer:
                    why = _("Its Modelfile has RENDERER {name}: this part of Ollama writes the prompt, not a template.",
                            name=self.served.renderer)  # fmt: skip
                raise UnknowableError(why)


def forecast(gguf: Path, modelfile: Modelfile, version: str) -> Forecast:
    """Return what an Ollama of ``version`` does with ``gguf`` under ``modelfile``; raises AppError."""
    header = read_header(gguf)
    runner = Runner(from_header(header), version)
    jinja = header.text("tokenizer.chat_template")
    known = known_for(jinja) if jinja else None
    written = modelfile.template or (known.go if known is not None else "")
    go = GoChat(written) if written else None
    way = way_of(version, header.architecture, go, jinja, modelfile.renderer)
    parameters = {name: _texts(value) for name, value in modelfile.parameters.items()}
    if known is not None and known.stops and "stop" not in parameters:
        parameters["stop"] = list(known.stops)
    context = parameters.get("num_ctx", [""])[-1]
    wanted = int(context) if context.isdecimal() else room.DEFAULT
    limit = header.whole(f"{header.architecture}.context_length") or None
    kept = wanted if limit is None else min(wanted, limit)
    in_force = {"jinja": jinja, "go": written}.get(way, RAW)
    served = Served(
        version=version,
        template=in_force,
        written=written or RAW,
        system=modelfile.system,
        stops=tuple(parameters.get("stop", ())),
        parameters=parameters,
        context=kept,
        capabilities=(),
        messages=tuple(str(one["content"]) for one in modelfile.messages),
        limit=limit,
        renderer=modelfile.renderer,
    )
    return Forecast(runner, served, way, go or GoChat(RAW), jinja, modelfile.system, modelfile.messages, kept)


def _texts(value: object) -> list[str]:
    return [str(one) for one in cast("list[object]", value)] if isinstance(value, list) else [str(value)]


def _refused(why: Message, marker: str) -> Sent:
    return Sent((), "", error=AppError(why, marker))


def _without_thoughts(messages: Sequence[Json]) -> list[Json]:
    """Return messages as Ollama gives them to qwen3: answers before the last question lose their thoughts."""
    last = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)
    return [
        {**one, "content": _spoken(str(one.get("content") or ""))} if one["role"] == "assistant" and at < last else one
        for at, one in enumerate(messages)
    ]


def _spoken(text: str) -> str:
    opening, closing = _THOUGHT
    start = text.lstrip()
    if not start.startswith(opening):
        return "" if opening.startswith(start) else text
    _thought, mark, rest = start.removeprefix(opening).partition(closing)
    return rest.lstrip() if mark else ""
