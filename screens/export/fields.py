"""The form of an export: an ``ExportPlan`` as fields. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from backend.convert.names import AUTO, LLAMA_CPP, OLLAMA, OURS
from backend.convert.quants import BITS, NEED_IMATRIX, USUAL, WITH_IMATRIX
from backend.export.plan import ExportPlan, draft, usual_file
from data.i18n import Message, _
from data.text import inert
from screens.export.model_fields import again_fields, gptq_fields, merge_fields, shown
from tui.widgets.form import OFF, ON, Field

QUANTIZATIONS: Final = ("", "q8_0", "q4_K_M", "q4_K_S")
OUTTYPES: Final = ("auto", "bf16", "f16", "f32", "q8_0", *USUAL, *WITH_IMATRIX)
_THINKING: Final = ("", ON, OFF)


def fields(plan: ExportPlan, *, unlocked: Collection[str], problems: Mapping[str, Message], home: str) -> list[Field]:
    """Return the form of ``plan``; ``unlocked`` are facts that may be changed all the same."""
    usual = draft(plan.source, plan.workspace)
    made = [*_facts(plan, unlocked)]
    if plan.source.kind == "adapter" and plan.merge is not None:
        made += merge_fields(plan.merge, plan, usual, home)
    if plan.source.kind == "model":
        made += again_fields(plan, home)
    if plan.source.kind != "gguf":
        made += gptq_fields(plan, home)
        made += _gguf(plan, usual, home)
    made += _ollama(plan, usual)
    return [dataclasses.replace(field, problem=problems.get(field.key)) for field in made]


def _facts(plan: ExportPlan, unlocked: Collection[str]) -> list[Field]:
    facts = plan.source.facts
    recorded: dict[str, str] = {}
    if facts.origin:
        recorded = {
            "template": facts.template or "",
            "thinking": _switch(facts.enable_thinking),
            "system": facts.default_system or "",
            "cutoff_len": str(facts.cutoff_len or ""),
        }
    now = {
        "template": plan.template,
        "thinking": _switch(plan.thinking),
        "system": plan.system,
        "cutoff_len": str(plan.cutoff_len or ""),
    }
    reason = _(
        "The training decided this ({file}); another value makes the model answer worse. u unlocks it.",
        file=Path(facts.origin).name,
    )

    def fact(key: str, label: Message, name: str, text: Message, **more: object) -> Field:
        is_locked = bool(facts.origin) and key not in unlocked
        return dataclasses.replace(
            Field(key, label, now[key], name=name, default=recorded.get(key, ""), help=text),
            locked=reason if is_locked else None,
            **more,  # type: ignore[arg-type] - fields of Field
        )

    return [
        Field("facts", _("Prompt, as it was trained"), kind="heading"),
        fact(
            "template",
            _("Template"),
            "template",
            _("LLaMA-Factory's name of the chat template; enter lists them."),
            kind="asked",
            empty=_("not known: choose the one that the model was trained with"),
        ),
        fact(
            "thinking",
            _("Thinking"),
            "enable_thinking",
            _("Whether replies begin with a thought; for templates that know thoughts."),
            kind="choice",
            choices=_THINKING,
            empty=_("as the template does"),
        ),
        fact(
            "system",
            _("System prompt"),
            "default_system",
            _("The system prompt when a conversation brings none."),
            empty=_("the template's own, if it has one"),
        ),
        fact(
            "cutoff_len",
            _("Longest prompt"),
            "cutoff_len",
            _("In tokens; it becomes num_ctx, since nothing longer was ever trained on."),
            empty=_("not known: 4096"),
        ),
    ]


def _gguf(plan: ExportPlan, usual: ExportPlan, home: str) -> list[Field]:
    made = [
        Field("gguf", _("GGUF"), kind="heading"),
        Field(
            "convert",
            _("Convert"),
            ON if plan.gguf else OFF,
            "switch",
            default=ON,
            help=_("Turns the model into the file that Ollama and llama.cpp read."),
        ),
    ]
    if plan.gguf is not None:
        made += [
            Field(
                "outtype",
                _("Type"),
                plan.outtype,
                "choice",
                "outtype",
                default=usual.outtype,
                choices=OUTTYPES,
                help=_(
                    "auto keeps the weights' own 16 bits. From q6_k on, llama-quantize makes it; Ollama's are below."
                ),
            ),
            *(_imatrix(plan, home) if plan.outtype in BITS or plan.imatrix else ()),
            Field(
                "converter",
                _("Converter"),
                "" if plan.converter == AUTO else plan.converter,
                "choice",
                "converter",
                choices=("", OURS, LLAMA_CPP, OLLAMA),
                empty=_("Paddock's, else llama.cpp's or Ollama's"),
                help=_(
                    "llama.cpp: its convert_hf_to_gguf.py (llama_cpp_dir) runs, with the code that a folder brings. "
                    "ollama: its import of safetensors."
                ),
            ),
            Field(
                "file",
                _("File"),
                shown(plan.gguf, plan, home),
                default=shown(usual_file(plan), plan, home),
                help=_about_file(plan.gguf, plan),
            ),
        ]
    return made


def _about_file(file: Path, plan: ExportPlan) -> Message:
    """Return the help of the file with its name, which the row may have no room for."""
    if file.name != usual_file(plan).name:
        return _(
            "{name}: your own name, whatever the type. An older file stays until the new one is whole.",
            name=inert(file.name),
        )
    return _(
        "{name}: it follows the type until you write another. An older file stays until the new one is whole.",
        name=inert(file.name),
    )


def _imatrix(plan: ExportPlan, home: str) -> list[Field]:
    needed = plan.outtype in NEED_IMATRIX
    return [
        Field(
            "imatrix",
            _("Importance matrix"),
            shown(plan.imatrix, plan, home) if plan.imatrix else "",
            name="imatrix",
            empty=_("none, and this type needs one") if needed else _("none"),
            help=_("Says which weights matter most; llama.cpp's llama-imatrix makes the file from texts like yours."),
        )
    ]


def _ollama(plan: ExportPlan, usual: ExportPlan) -> list[Field]:
    deployment = plan.deployment
    made = [
        Field("ollama", _("Ollama"), kind="heading"),
        Field(
            "deploy",
            _("Deploy"),
            ON if deployment else OFF,
            "switch",
            default=ON,
            help=_("Puts the GGUF into Ollama under a name."),
        ),
    ]
    if deployment is not None:
        made += [
            Field(
                "name",
                _("Name"),
                deployment.name,
                default=usual.deployment.name if usual.deployment else "",
                help=_("What you will type after `ollama run`; a model of that name stays until the new one is whole."),
            ),
            Field(
                "modelfile",
                _("Modelfile"),
                str(_("edited")) if deployment.edited else "",
                empty=_("what the training says") if plan.template else _("none: Ollama chooses by the GGUF"),
                help=_("TEMPLATE, SYSTEM, PARAMETER, LICENSE and MESSAGE that go with the weights."),
                locked=_("e shows it, in an editor."),
            ),
            Field(
                "quantize",
                _("Quantise"),
                deployment.quantize,
                "choice",
                "quantize",
                choices=QUANTIZATIONS,
                empty=_("no: as the GGUF is"),
                help=_("Ollama makes it smaller: q8_0 loses almost nothing, q4_K_M is the usual small one."),
            ),
            Field(
                "host",
                _("Server"),
                deployment.host,
                empty=_("the one that runs here, else Paddock's own"),
                help=_("An address as in OLLAMA_HOST, for a server elsewhere."),
            ),
            Field(
                "unproven",
                _("Publish unproven"),
                ON if deployment.unproven else OFF,
                "switch",
                "--unproven",
                default=OFF,
                help=_(
                    "On: the name is given even where Ollama sends something else than was trained on. Off: a former "
                    "model keeps it."
                ),
            ),
        ]
    return made


def _switch(value: bool | None) -> str:
    return "" if value is None else ON if value else OFF
