"""What a training run decided about its prompts, and what a GGUF and a Modelfile take over from it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from backend.lf.find import find
from backend.parity.expression import Tokens, eos_of, starts_with_bos
from backend.parity.go_template import go_template
from backend.parity.jinja_template import jinja_template
from backend.parity.stops import end_of_turn, stops
from backend.parity.template import Template, Templates, refresh, templates_for
from backend.parity.vocabulary import Vocabulary, from_header
from data.errors import RequestError
from data.gguf import Header
from data.i18n import _
from data.jsontext import parse_json
from data.paths import Paths
from data.settings import Settings

_TOKENIZER_FILES: Final = ("tokenizer_config.json", "special_tokens_map.json")
_METASPACE: Final = re.compile(
    r'"type": "Metaspace"[^}]*"(?:prepend_scheme": "(?:first|always)"|add_prefix_space": true)'
)


@dataclass(frozen=True, slots=True)
class Training:
    """LLaMA-Factory's arguments that decide the prompt. Fields are the ``training`` params of a job."""

    template: str
    default_system: str | None = None
    """None: the template's own"""
    enable_thinking: bool | None = True
    preserve_thinking: bool = False
    tool_format: str | None = None
    cutoff_len: int = 0
    """0 where nobody recorded it"""

    def as_params(self) -> dict[str, object]:
        """Return the fields that are not as usual, for a job's spec."""
        usual = {field.name: field.default for field in dataclasses.fields(Training)}
        return {name: getattr(self, name) for name, default in usual.items() if getattr(self, name) != default}

    @classmethod
    def read(cls, params: object) -> Training | None:
        """Read what ``as_params`` wrote; None for nothing. Raises RequestError."""
        if not params:
            return None
        kinds: dict[str, type | tuple[type, ...]] = {
            "cutoff_len": int, "preserve_thinking": bool, "enable_thinking": (bool, type(None))
        }  # fmt: skip
        value: Mapping[str, object] = cast("Mapping[str, object]", params) if isinstance(params, Mapping) else {}
        known = {field.name for field in dataclasses.fields(cls)}
        said = repr(cast("object", params))
        right = all(name in known and isinstance(one, kinds.get(name, str)) for name, one in value.items())
        if not right or not value.get("template"):
            raise RequestError(_("The job's training facts make no sense"), said, _("Start the job anew."))
        return cls(**cast("Any", dict(value)))

    def arguments(self) -> dict[str, object]:
        """Return LLaMA-Factory's arguments besides the template, without what it is to choose itself."""
        values = {
            "default_system": self.default_system,
            "enable_thinking": self.enable_thinking,
            "preserve_thinking": self.preserve_thinking,
            "tool_format": self.tool_format,
        }
        return {name: value for name, value in values.items() if value is not None}

    def resolve(self, settings: Settings, paths: Paths) -> Template:
        """Return the run's template, asking the installed LLaMA-Factory where it may differ; raises AppError."""
        lf = find(settings, paths)
        known = templates_for(lf, paths)
        if lf is not None and (not known.exact or self.template not in known.by_name):
            known = refresh(lf, paths)
        return self.of(known)

    def of(self, known: Templates) -> Template:
        """Return the run's template of these; raises RequestError where there is none."""
        return known.of_run(
            self.template,
            default_system=self.default_system,
            tool_format=self.tool_format,
            enable_thinking=self.enable_thinking,
            preserve_thinking=self.preserve_thinking,
        )


@dataclass(frozen=True, slots=True)
class Trained(Training):
    """A training as far as somebody knows it: what a proof judges a model by."""

    source: str = "asked"
    """Where it is known from: asked, record, guess"""
    departs: tuple[str, ...] = ()
    """Arguments in which somebody's word took the place of another one's in the training's record"""
    miscut: str = ""
    """The folder whose tokenizer shows that the training's texts lost their spaces; empty where none does"""

    @property
    def guess(self) -> str:
        """The template where nobody knows with which one the model was trained; else empty."""
        return self.template if self.source == "guess" else ""

    @classmethod
    def by(cls, training: Training, source: str) -> Trained:
        """Return ``training`` as ``source`` says it."""
        return cls(
            **{field.name: getattr(training, field.name) for field in dataclasses.fields(Training)}, source=source
        )

    def against(self, recorded: Trained | None) -> Trained:
        """Return it with what it says otherwise than ``recorded``: then it is as asked for, else as recorded.

        A ``cutoff_len`` that nobody named, or a larger one, contradicts nothing: it is only about room.
        """
        miscut = recorded.miscut if recorded is not None else ""
        if recorded is None or recorded.source != "record":
            return dataclasses.replace(self, miscut=miscut)
        names = [field.name for field in dataclasses.fields(Training) if field.name != "cutoff_len"]
        changed = [name for name in names if getattr(self, name) != getattr(recorded, name)]
        if 0 < self.cutoff_len < recorded.cutoff_len:
            changed.append("cutoff_len")
        source = "asked" if changed else "record"
        return dataclasses.replace(self, source=source, departs=tuple(changed), miscut=miscut)


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a run changes of a GGUF's tokenizer keys."""

    chat_template: str
    add_bos: bool
    eos: str | None
    eot: str | None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a run gives to a Modelfile."""

    template: str
    system: str
    parameters: Mapping[str, object]


def gguf_facts(template: Template, folder: Path) -> GgufFacts:
    """Return what the GGUF of the model in ``folder`` has to say; raises InexpressibleError."""
    tokens = tokens_of_folder(template, folder)
    return GgufFacts(jinja_template(template, tokens), tokens.adds_bos, tokens.eos, end_of_turn(template, tokens))


def prompt(template: Template, header: Header, cutoff_len: int = 0) -> Prompt:
    """Return TEMPLATE, SYSTEM, stops and num_ctx for a GGUF; raises InexpressibleError."""
    return prompt_with(template, tokens_of_gguf(template, header), cutoff_len, header.text("tokenizer.chat_template"))


def go_text(template: Template, tokens: Tokens, jinja: str = "") -> str:
    """Return the TEMPLATE for a GGUF that holds ``jinja``; raises InexpressibleError."""
    is_own = jinja == jinja_template(template, tokens)
    return go_template(template, tokens, "" if is_own else jinja).text


def prompt_with(template: Template, tokens: Tokens, cutoff_len: int = 0, jinja: str = "") -> Prompt:
    """Return TEMPLATE, SYSTEM, stops and num_ctx for a GGUF of these ``tokens`` that holds ``jinja``.

    Raises InexpressibleError.
    """
    parameters: dict[str, object] = {"stop": list(stops(template, tokens))}
    if cutoff_len:
        parameters["num_ctx"] = cutoff_len
    return Prompt(go_text(template, tokens, jinja), template.default_system, parameters)


def tokens_of_folder(template: Template, folder: Path) -> Tokens:
    """Return BOS and EOS as training had them, from a folder in Hugging Face's form; BOS is added where it was."""
    found: dict[str, str] = {}
    for value in (_object(folder / name) for name in _TOKENIZER_FILES):
        for role in ("bos", "eos"):
            entry = value.get(f"{role}_token")
            text = cast("Mapping[str, object]", entry).get("content") if isinstance(entry, dict) else entry
            if isinstance(text, str) and text:
                found.setdefault(role, text)
    bos = found.get("bos")
    adds = bos is not None and bool(starts_with_bos(template))
    return Tokens(bos, eos_of(template, found.get("eos")), adds, _special_of_folder(folder))


def _special_of_folder(folder: Path) -> frozenset[str] | None:
    """Return the special tokens of a tokenizer that puts a blank before every text (``Tokens.special``)."""
    found = {name: _object(folder / name) for name in ("tokenizer.json", "tokenizer_config.json")}
    description, config = found["tokenizer.json"], found["tokenizer_config.json"]
    if config.get("add_prefix_space") is False:
        return None
    if description:
        steps = json.dumps([description.get("normalizer"), description.get("pre_tokenizer")], ensure_ascii=False)
        if '{"type": "Prepend", "prepend": "▁"}' not in steps and not _METASPACE.search(steps):
            return None
        added = cast("list[Mapping[str, object]]", description.get("added_tokens") or [])
    elif (folder / "tokenizer.model").is_file():
        added = list(cast("Mapping[str, Mapping[str, object]]", config.get("added_tokens_decoder") or {}).values())
    else:
        return None
    return frozenset(str(one.get("content")) for one in added)


def _object(file: Path) -> Mapping[str, object]:
    try:
        value: object = parse_json(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def tokens_of_gguf(template: Template, header: Header) -> Tokens:
    """Return BOS and EOS of a GGUF, and whether its runner adds BOS (llama.cpp's rules where no key says)."""
    return tokens_of(template, from_header(header))


def tokens_of(template: Template, vocabulary: Vocabulary, version: str = "") -> Tokens:
    """Return what a template needs to know of a vocabulary, as an Ollama of ``version`` runs it."""
    return Tokens(
        bos=vocabulary.text(vocabulary.bos) or None,
        eos=eos_of(template, vocabulary.text(vocabulary.eos) or None),
        adds_bos=vocabulary.adds_bos(version),
        special=vocabulary.seams,
    )
