"""A chat template of LLaMA-Factory as plain values: a snapshot in the package, and a cache made by the bridge.

Source: LLaMA-Factory ``data/template.py`` (``Template`` and its children, ``register_template``,
``get_template_and_fix_tokenizer``).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

import backend.lf
from backend.lf.find import LlamaFactory
from backend.lf.kept import ask_and_keep, recall
from backend.lf.schema import template_remedy
from data.errors import RequestError
from data.i18n import _
from data.paths import Paths

_SNAPSHOT: Final = Path(backend.lf.__path__[0]) / "templates-0.9.5.json"
CONTENT: Final = "{{content}}"
"""What LLaMA-Factory writes in a slot where the message goes"""
DATE: Final = "\x00date\x00"
"""Stands for today's date, as ``%d %b %Y``, in the text of a tool format"""

Kind = Literal["plain", "fused", "reasoning", "other"]
# LLaMA-Factory's classes by what they do with a conversation; a class of somebody's own may do anything.
_KINDS: Final[Mapping[str, Kind]] = {
    "Template": "plain",
    "Llama2Template": "fused",
    "ReasoningTemplate": "reasoning",
    "Glm47ReasoningTemplate": "reasoning",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A slot that is one token, looked up in the vocabulary by its text."""

    text: str


@dataclass(frozen=True, slots=True)
class Special:
    """A slot that is the tokenizer's BOS or EOS token, or nothing where it has none."""

    role: Literal["bos", "eos"]


Slot = str | Token | Special
Slots = tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a tool format writes: what LLaMA-Factory made of the bridge's probes (bridge/templates.py)."""

    name: str
    tools: tuple[str, ...] = field(repr=False)
    """Of the first probe, and of both; today's date is ``DATE``"""
    calls: tuple[str | None, ...] = field(repr=False)
    """Of each list of calls; None where the format refuses several calls at once"""


@dataclass(frozen=True, slots=True)
class Template:
    """One template, with the names that LLaMA-Factory uses."""

    name: str
    cls: str
    """Name of LLaMA-Factory's class"""
    kind: Kind
    """plain; fused (the system text goes into the first user turn); reasoning (empty thoughts, none in the history)"""
    user: Slots
    assistant: Slots
    system: Slots
    function: Slots
    observation: Slots
    prefix: Slots
    tools: Slots
    """Empty for the usual ToolFormatter; else the slots around the tools' own JSON text"""
    function_format: ToolFormat | None
    tool_format: ToolFormat | None
    default_system: str
    stop_words: tuple[str, ...]
    thought_words: tuple[str, str]
    tool_call_words: tuple[str, ...]
    efficient_eos: bool
    replace_eos: bool
    replace_jinja: bool
    enable_thinking: bool | None
    preserve_thinking: bool
    has_media: bool
    """It also takes images, sound or video, whose tokens LLaMA-Factory puts into the text by a plugin"""

    @property
    def empty_thought(self) -> str:
        """What stands for "no thought" (``add_thought`` without content)."""
        return self.thought_words[1] if self.cls == "Glm47ReasoningTemplate" else "".join(self.thought_words)


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of one version of LLaMA-Factory."""

    llamafactory: str
    by_name: Mapping[str, Template]
    formats: Mapping[str, ToolFormat]
    exact: bool
    """False when another version is installed, which may have other templates"""

    def get(self, name: str) -> Template:
        """Return the template; raises RequestError with the nearest known names."""
        if name in self.by_name:
            return self.by_name[name]
        title = _("LLaMA-Factory {version} has no template {name}", version=self.llamafactory, name=repr(name))
        raise RequestError(title, "", template_remedy(name, self.by_name))

    def of_run(
        self,
        name: str,
        *,
        default_system: str | None = None,
        tool_format: str | None = None,
        enable_thinking: bool | None = True,
        preserve_thinking: bool = False,
    ) -> Template:
        """Return the template as a run with these arguments has it (LLaMA-Factory ``get_template_and_fix_tokenizer``).

        Raises RequestError for an unknown template or tool format.
        """
        template = self.get(name)
        if default_system is not None:
            template = dataclasses.replace(template, default_system=default_system)
        if tool_format is not None:
            if tool_format not in self.formats:
                known = ", ".join(sorted(self.formats))
                raise RequestError(_("Unknown tool format {name}", name=repr(tool_format)), "", f"{known}")
            form = self.formats[tool_format]
            slots: Slots = (CONTENT,) if template.efficient_eos else (CONTENT, Special("eos"))
            template = dataclasses.replace(template, function=slots, function_format=form, tool_format=form, tools=())
        if template.kind == "reasoning":
            template = dataclasses.replace(
                template, enable_thinking=enable_thinking, preserve_thinking=preserve_thinking
            )
        return template


@functools.cache
def snapshot() -> Templates:
    """Return the templates of the pinned version, from the package's own file."""
    return _parse(json.loads(_SNAPSHOT.read_bytes()))


def templates_for(lf: LlamaFactory | None, paths: Paths) -> Templates:
    """Return what is known of ``lf`` without waiting: its cache, else the snapshot.

    The cache is asked first: templates can also be registered by a changed installation of the pinned version.
    """
    known = snapshot()
    if lf is None:
        return known
    cached = recall(cache_file(lf, paths), _parse)
    if cached is not None and cached.llamafactory == lf.version:
        return cached
    return dataclasses.replace(known, exact=lf.version == known.llamafactory)


def load(lf: LlamaFactory | None, paths: Paths, name: str) -> Template:
    """Return the template ``name``, asking the installed LLaMA-Factory where neither cache nor snapshot has it."""
    known = templates_for(lf, paths)
    if lf is not None and (not known.exact or name not in known.by_name):
        known = refresh(lf, paths)
    return known.get(name)


def cache_file(lf: LlamaFactory, paths: Paths) -> Path:
    """Return where the answer of ``lf``'s bridge is kept: by version, path, and the state of its source."""
    source = lf.file("llamafactory", "data", "template.py")
    stamp = f"{source.stat().st_mtime_ns}" if source is not None else ""
    place = hashlib.sha256(os.fsencode(lf.python) + stamp.encode()).hexdigest()[:12]
    return paths.cache / "llamafactory" / f"templates-{lf.version}-{place}.json"


def refresh(lf: LlamaFactory, paths: Paths) -> Templates:
    """Ask the installed LLaMA-Factory for its templates (10 to 30 s), keep the answer, return it; raises AppError."""
    title = _("LLaMA-Factory could not be asked for its templates")
    return ask_and_keep(lf, "templates.py", title, cache_file(lf, paths), _parse)


_Json = Mapping[str, object]


def _parse(raw: object) -> Templates:
    value = cast("_Json", raw)
    formats = {
        name: ToolFormat(name, tuple(cast("list[str]", one["tools"])), tuple(cast("list[str | None]", one["calls"])))
        for name, one in cast("Mapping[str, _Json]", value["tool_formats"]).items()
    }
    templates = {
        name: _template(name, one, formats) for name, one in cast("Mapping[str, _Json]", value["templates"]).items()
    }
    return Templates(str(value["llamafactory"]), templates, formats, exact=True)


def _template(name: str, one: _Json, formats: Mapping[str, ToolFormat]) -> Template:
    slots = {role: _slots(items) for role, items in cast("Mapping[str, list[object]]", one["slots"]).items()}
    cls = cast("list[str]", one["classes"])[0]
    first, last = cast("list[str]", one["thought_words"])
    thinking = one["enable_thinking"]
    return Template(
        name=name,
        cls=cls,
        kind=_KINDS.get(cls, "other"),
        **slots,
        function_format=formats.get(str(one["function_format"])),
        tool_format=formats.get(str(one["tool_format"])),
        default_system=str(one["default_system"]),
        stop_words=tuple(cast("list[str]", one["stop_words"])),
        thought_words=(first, last),
        tool_call_words=tuple(cast("list[str]", one["tool_call_words"])),
        efficient_eos=bool(one["efficient_eos"]),
        replace_eos=bool(one["replace_eos"]),
        replace_jinja=bool(one["replace_jinja"]),
        enable_thinking=thinking if isinstance(thinking, bool) else None,
        preserve_thinking=bool(one["preserve_thinking"]),
        has_media=bool(one["media"]),
    )


def _slots(items: Sequence[object]) -> Slots:
    """Read slots; a set that names neither BOS nor EOS (``phi_small``) is nothing, as LLaMA-Factory encodes it."""
    found: list[Slot] = []
    for item in items:
        if isinstance(item, str):
            found.append(item)
            continue
        entry = cast("Mapping[str, object]", item)
        if "token" in entry:
            found.append(Token(str(entry["token"])))
        elif "bos_token" in cast("list[str]", entry["set"]):
            found.append(Special("bos"))
        elif "eos_token" in cast("list[str]", entry["set"]):
            found.append(Special("eos"))
    return tuple(found)
