"""The form of an export: an ``ExportPlan`` as fields, and a field's new value back into the plan. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, cast

from backend.deploy.request import Deployment
from backend.export.plan import GPTQ_BITS, Device, ExportPlan, Gptq, Merge, draft
from backend.ollama.name import parse_name
from data.errors import AppError, RequestError
from data.i18n import Message, _
from tui.widgets.form import OFF, ON, Field
from tui.wording import home_relative

FACTS: Final = ("template", "thinking", "system", "cutoff_len")
"""What the training decided: locked where its record says so"""
QUANTIZATIONS: Final = ("", "q8_0", "q4_K_M", "q4_K_S")
OUTTYPES: Final = ("auto", "bf16", "f16", "f32", "q8_0")
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
        made += _gptq(plan)
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
            _("LLaMA-Factory's name of the chat template."),
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
            default=_shown(default.export_dir, plan, home),
            help=_("Where the merged model is written; it must be empty or not exist."),
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


def _gptq(plan: ExportPlan) -> list[Field]:
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
                "gptq_dataset",
                _("Calibrate with"),
                gptq.dataset,
                name="export_quantization_dataset",
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
                help=_("auto keeps the weights' own 16 bits; smaller types for Ollama are chosen below."),
            ),
            Field(
                "file",
                _("File"),
                _shown(plan.gguf, plan, home),
                default=_shown(usual.gguf, plan, home) if usual.gguf else "",
                help=_("Where the GGUF is written; an older one is replaced when the new one is whole."),
            ),
        ]
    return made


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
        ]
    return made


def apply(plan: ExportPlan, key: str, value: str, *, home: str) -> ExportPlan:
    """Return ``plan`` with the field ``key`` set to ``value``; raises RequestError for a value that cannot be meant."""
    change = _CHANGES.get(key)
    if change is None:
        raise RequestError(_("There is no field {name}", name=key), "", "")
    return change(plan, value, home)


def problems(plan: ExportPlan) -> dict[str, Message]:
    """Return what is wrong with the values, by field: what can be told without looking anywhere."""
    found: dict[str, Message] = {}
    if plan.deployment is not None:
        try:
            parse_name(plan.deployment.name)
        except AppError as error:
            found["name"] = _("{title}. {detail}", title=error.title, detail=error.detail)
    if plan.source.kind == "adapter" and not plan.base:
        found["base"] = _("The adapter names no base model; name the one it was trained on.")
    if plan.gptq is not None and not plan.gptq.dataset:
        found["gptq_dataset"] = _("GPTQ needs texts to calibrate with; name a file or a dataset.")
    return found


def _shown(path: Path, plan: ExportPlan, home: str) -> str:
    """Return a path as short as it can be written in the form: from the workspace, else from the home directory."""
    if path.is_relative_to(plan.workspace):
        return str(path.relative_to(plan.workspace))
    return home_relative(str(path), home)


def _switch(value: bool | None) -> str:
    return "" if value is None else ON if value else OFF


def _path(value: str, home: str, workspace: Path) -> Path:
    if not value:
        raise RequestError(_("A path is needed here"), "", _("Write one, or press escape."))
    expanded = home + value[1:] if home and (value == "~" or value.startswith("~/")) else value
    return (workspace / expanded).absolute()


def _whole(value: str, low: int, high: int) -> int:
    if not value.isdecimal() or not low <= int(value) <= high:
        raise RequestError(
            _("{value} does not fit here", value=value or "–"),
            _("A whole number from {low} to {high} is needed.", low=low, high=high),
            "",
        )
    return int(value)


def _set_merge(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.merge is None:
        return plan
    merge = dataclasses.replace(plan.merge, **changes)  # type: ignore[arg-type] - fields of Merge
    return dataclasses.replace(plan, merge=merge)


def _set_gptq(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.gptq is None:
        return plan
    return dataclasses.replace(plan, gptq=dataclasses.replace(plan.gptq, **changes))  # type: ignore[arg-type] - fields of Gptq


def _set_deployment(plan: ExportPlan, **changes: object) -> ExportPlan:
    if plan.deployment is None:
        return plan
    made = dataclasses.replace(plan.deployment, **changes)  # type: ignore[arg-type] - fields of Deployment
    return dataclasses.replace(plan, deployment=made)


def _set_export_dir(plan: ExportPlan, value: str, home: str) -> ExportPlan:
    folder = _path(value, home, plan.workspace)
    moved = _set_merge(plan, export_dir=folder)
    if plan.merge and plan.gguf and plan.gguf.parent == plan.merge.export_dir:  # the file moves with its folder
        return _set_file(moved, folder / plan.gguf.name)
    return moved


def _set_file(plan: ExportPlan, file: Path) -> ExportPlan:
    return _set_deployment(dataclasses.replace(plan, gguf=file), gguf=str(file))


def _set_convert(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    usual = draft(plan.source, plan.workspace)
    if value != ON:
        return dataclasses.replace(plan, gguf=None, deployment=None)
    made = dataclasses.replace(plan, gguf=usual.gguf)
    return _set_file(made, usual.gguf) if usual.gguf else made


def _set_deploy(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    if value != ON:
        return dataclasses.replace(plan, deployment=None)
    usual = draft(plan.source, plan.workspace)
    file = plan.gguf or usual.gguf
    name = usual.deployment.name if usual.deployment else ""
    return dataclasses.replace(plan, gguf=file, deployment=Deployment(gguf=str(file), name=name))


def _set_bits(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    if not value:
        return dataclasses.replace(plan, gptq=None)
    if plan.gptq is not None:
        return _set_gptq(plan, bits=int(value))
    folder = plan.model_folder
    return dataclasses.replace(
        plan, gptq=Gptq(folder.with_name(f"{folder.name}-gptq"), int(value), "data/c4_demo.jsonl")
    )


def _set_thinking(plan: ExportPlan, value: str, _home: str) -> ExportPlan:
    return dataclasses.replace(plan, thinking=None if not value else value == ON)


_Change = Callable[[ExportPlan, str, str], ExportPlan]
_CHANGES: Final[Mapping[str, _Change]] = {
    "template": lambda plan, value, _home: dataclasses.replace(plan, template=value),
    "thinking": _set_thinking,
    "system": lambda plan, value, _home: dataclasses.replace(plan, system=value),
    "cutoff_len": lambda plan, value, _home: dataclasses.replace(plan, cutoff_len=_whole(value or "0", 0, 10_000_000)),
    "base": lambda plan, value, _home: dataclasses.replace(plan, base=value),
    "export_dir": _set_export_dir,
    "export_size": lambda plan, value, _home: _set_merge(plan, export_size=_whole(value, 1, 1000)),
    "infer_dtype": lambda plan, value, _home: _set_merge(plan, infer_dtype=value),
    "export_device": lambda plan, value, _home: _set_merge(plan, export_device=cast("Device", value)),
    "export_hub_model_id": lambda plan, value, _home: _set_merge(plan, export_hub_model_id=value),
    "prompt": lambda plan, value, _home: dataclasses.replace(plan, prompt=value),
    "gptq_bits": _set_bits,
    "gptq_dataset": lambda plan, value, _home: _set_gptq(plan, dataset=value),
    "gptq_nsamples": lambda plan, value, _home: _set_gptq(plan, nsamples=_whole(value, 1, 100_000)),
    "convert": _set_convert,
    "outtype": lambda plan, value, _home: dataclasses.replace(plan, outtype=value),
    "file": lambda plan, value, home: _set_file(plan, _path(value, home, plan.workspace)),
    "deploy": _set_deploy,
    "name": lambda plan, value, _home: _set_deployment(plan, name=value),
    "quantize": lambda plan, value, _home: _set_deployment(plan, quantize=value),
    "host": lambda plan, value, _home: _set_deployment(plan, host=value),
}
