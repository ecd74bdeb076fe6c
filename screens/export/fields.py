"""The form of an export: an ``ExportPlan`` as fields. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from backend.convert.names import AUTO, LLAMA_CPP, OLLAMA, OURS
from backend.convert.quants import BITS, NEED_IMATRIX, USUAL, WITH_IMATRIX
from backend.export.plan import GPTQ_BITS, ExportPlan, Merge, draft, usual_file, usual_gptq_folder
from backend.train.gptq import is_file_name
from data.i18n import Message, _
from data.text import inert
from tui.widgets.form import OFF, ON, Field
from tui.wording import home_relative

QUANTIZATIONS: Final = ("", "q8_0", "q4_K_M", "q4_K_S")
OUTTYPES: Final = ("auto", "bf16", "f16", "f32", "q8_0", *USUAL, *WITH_IMATRIX)
_DTYPES: Final = ("auto", "bfloat16", "float16", "float32")
_DEVICES: Final = ("cpu", "auto")
_THINKING: Final = ("", ON, OFF)


def fields(plan: ExportPlan, *, unlocked: Collection[str], problems: Mapping[str, Message], home: str) -> list[Field]:
    """Return the form of ``plan``; ``unlocked`` are facts that may be changed all the same."""
    usual = draft(plan.source, plan.workspace)
    made = [*_facts(plan, unlocked)]
    if plan.source.kind == "adapter" and plan.merge is not None:
        made += _merge(plan.merge, plan, usual, home)
    if plan.source.kind != "gguf":
        made += _gptq(plan, home)
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


def _merge(merge: Merge, plan: ExportPlan, usual: ExportPlan, home: str) -> list[Field]:
    default = usual.merge or merge
    usual_dir = default.export_dir if merge.is_named else merge.export_dir
    place = _("Where the merged model is written; it must be empty or not exist.")
    if merge.is_there:
        place = _("This very merge is there already, and is used again. Another folder merges anew.")
    return [
        Field("merge", _("Merge"), kind="heading"),
        Field(
            "base",
            _("Base model"),
            plan.base,
            name="model_name_or_path",
            default=usual.base,
            help=_("The very model that the adapter was trained on: a folder, or owner/name on a hub."),
        ),
        Field(
            "export_dir",
            _("Folder"),
            _shown(merge.export_dir, plan, home),
            name="export_dir",
            default=_shown(usual_dir, plan, home),
            help=place,
        ),
        Field(
            "export_size",
            _("Shard size, GB"),
            str(merge.export_size),
            name="export_size",
            default=str(default.export_size),
            help=_("The weights are split into files of at most so many gigabytes."),
        ),
        Field(
            "infer_dtype",
            _("Data type"),
            merge.infer_dtype,
            "choice",
            "infer_dtype",
            default=default.infer_dtype,
            choices=_DTYPES,
            help=_("Type of the merged weights; auto keeps the base's own."),
        ),
        Field(
            "export_device",
            _("Device"),
            merge.export_device,
            "choice",
            "export_device",
            default=default.export_device,
            choices=_DEVICES,
            help=_("cpu needs memory for the whole model; auto uses the GPUs, and is faster."),
        ),
        Field(
            "prompt",
            _("Question of the check"),
            plan.prompt,
            default=usual.prompt,
            empty=_("none: compare the tensors only"),
            help=_("Asked with the adapter beside its base, and of the merged model: the answers should be the same."),
        ),
        Field(
            "export_hub_model_id",
            _("Push to the hub"),
            merge.export_hub_model_id,
            name="export_hub_model_id",
            empty=_("no"),
            help=_("owner/name; the token comes from HF_TOKEN in the environment, and is written nowhere."),
        ),
    ]


def _gptq(plan: ExportPlan, home: str) -> list[Field]:
    gptq = plan.gptq
    made = [
        Field("gptq", _("GPTQ, for vLLM and others"), kind="heading"),
        Field(
            "gptq_bits",
            _("Bits"),
            str(gptq.bits) if gptq else "",
            "choice",
            "export_quantization_bit",
            choices=("", *map(str, GPTQ_BITS)),
            empty=_("none"),
            help=_("A second, quantised copy of the model in Hugging Face's form; it needs a GPU. Not for Ollama."),
        ),
    ]
    if gptq is not None:
        made += [
            Field(
                "gptq_dir",
                _("Folder"),
                _shown(gptq.export_dir, plan, home),
                name="export_dir",
                default=_shown(usual_gptq_folder(plan) if gptq.is_named else gptq.export_dir, plan, home),
                help=_("Where the quantised model is written; it must be empty or not exist."),
            ),
            Field(
                "gptq_dataset",
                _("Calibrate with"),
                _shown(Path(gptq.dataset), plan, home) if is_file_name(gptq.dataset) else gptq.dataset,
                name="export_quantization_dataset",
                empty=_("needed: a file, or a name on a hub"),
                help=_("A JSON file of texts, or a dataset on a hub; use texts like those that the model will meet."),
            ),
            Field(
                "gptq_nsamples",
                _("Samples"),
                str(gptq.nsamples),
                name="export_quantization_nsamples",
                default="128",
                help=_("How many texts the quantisation looks at."),
            ),
            Field(
                "gptq_maxlen",
                _("Tokens of each"),
                str(gptq.maxlen),
                name="export_quantization_maxlen",
                default="1024",
                help=_("So many tokens are cut out of each text; shorter texts are passed over."),
            ),
        ]
    return made


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
                empty=_("Paddock's; llama.cpp's or Ollama's for what that does not know"),
                help=_(
                    "llama.cpp: its convert_hf_to_gguf.py (llama_cpp_dir) runs, with the code that a folder brings. "
                    "ollama: its import of safetensors."
                ),
            ),
            Field(
                "file",
                _("File"),
                _shown(plan.gguf, plan, home),
                default=_shown(usual_file(plan), plan, home),
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
            _shown(plan.imatrix, plan, home) if plan.imatrix else "",
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


def _shown(path: Path, plan: ExportPlan, home: str) -> str:
    """Return a path as short as it can be written in the form: from the workspace, else from the home directory."""
    if path.is_relative_to(plan.workspace):
        return str(path.relative_to(plan.workspace))
    return home_relative(str(path), home)


def _switch(value: bool | None) -> str:
    return "" if value is None else ON if value else OFF
