"""What an export is asked to do, as values; what a person probably wants; and the chain of jobs that it becomes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backend.convert.names import AUTO
from backend.convert.naming import file_name, title_of
from backend.convert.quants import BITS
from backend.deploy.request import Deployment
from backend.export import check
from backend.export.checked import TITLE
from backend.export.push import push_spec
from backend.export.source import Source, training_of
from backend.lf.find import LlamaFactory
from backend.lf.hub import local_model
from backend.lf.schema import Schema
from backend.ollama.name import model_name
from backend.train.pushing import push_checks
from backend.train.spec import export_spec, refuse
from data.errors import RequestError
from data.i18n import _
from data.jobs.spec import Chain, JobSpec, new_chain_id, now

Step = Literal["export", "check", "push", "gptq", "convert", "deploy"]
Device = Literal["cpu", "auto"]

OWN_TYPE: Final = "auto"
"""The type of a GGUF with the weights' own 16 bits"""
GPTQ_BITS: Final = (8, 4, 3, 2)
_FOLDER: Final = "models"
_ASIDE: Final = ("push", "gptq")
"""A model for others: nothing that follows needs it, or should fail with it"""


@dataclass(frozen=True, slots=True)
class Merge:
    """Arguments of LLaMA-Factory's export, under its names."""

    export_dir: Path
    export_size: int = 5
    """Gigabytes a shard"""
    infer_dtype: str = "auto"
    export_device: Device = "cpu"
    export_hub_model_id: str = ""
    """Push it there once its merge is checked; the token comes from HF_TOKEN"""
    is_named: bool = False
    """A person chose the folder: another is not taken instead"""
    is_there: bool = False
    """This very merge lies in the folder already: it is used again"""
    lacks_base: bool = False
    """It is there, and the base to compare it with is not on this machine any more"""


@dataclass(frozen=True, slots=True)
class Gptq:
    """A second export of the merged model, quantised with calibration; nothing of it goes into the GGUF."""

    export_dir: Path
    bits: int
    dataset: str
    """A file, absolute, or a name on a hub: what the quantisation is calibrated with"""
    nsamples: int = 128
    """Samples of the calibration set"""
    maxlen: int = 1024
    """Tokens a sample"""
    is_named: bool = False
    """A person chose the folder: another is not taken instead"""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """An export: None for each step that is left out. Paths are absolute."""

    source: Source
    workspace: Path
    """Relative paths count from here"""
    adapters: tuple[Path, ...] = ()
    """Merged in this order; those that come before ``source`` too"""
    base: str = ""
    """The model under the adapters: a folder, or owner/name on a hub"""
    template: str = ""
    thinking: bool | None = None
    system: str = ""
    cutoff_len: int = 0
    """Becomes num_ctx: what is longer was never trained on; 0 where nobody recorded it"""
    merge: Merge | None = None
    prompt: str = check.PROMPT
    """The question of the check; empty compares tensors only"""
    gptq: Gptq | None = None
    gguf: Path | None = None
    outtype: str = OWN_TYPE
    imatrix: Path | None = None
    """An importance matrix, for a type that llama-quantize makes"""
    converter: str = AUTO
    """Who makes the GGUF: paddock, llama.cpp (its script), or auto"""
    gguf_name: str = ""
    """``general.name``"""
    deployment: Deployment | None = None
    written_for: Mapping[str, object] | None = None
    """Of an edited Modelfile: ``training_params`` when its draft was written; None where nobody has noted them"""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in the order in which they run."""
        wanted: dict[Step, bool] = {
            "export": self.merge is not None and not self.merge.is_there,
            "check": bool(self.adapters) and self.merge is not None and not self.merge.lacks_base,
            "push": self.merge is not None and bool(self.merge.export_hub_model_id),
            "gptq": self.gptq is not None,
            "convert": self.gguf is not None and self.source.kind != "gguf",
            "deploy": self.deployment is not None,
        }
        return tuple(step for step, is_wanted in wanted.items() if is_wanted)

    @property
    def default_system(self) -> str | None:
        """The system prompt of the training; None for the template's own, empty for a run that had none at all."""
        return self.system or ("" if self.source.prompt.default_system == "" else None)

    @property
    def model_folder(self) -> Path:
        """The folder in Hugging Face's form that the GGUF is made of."""
        return self.merge.export_dir if self.merge else self.source.path


def draft(source: Source, workspace: Path, *, name: str = "") -> ExportPlan:
    """Return what a person most likely wants of ``source``: merge, check, GGUF and a model of its name in Ollama.

    Everything can be changed with ``dataclasses.replace``. ``name`` is that of the model; it names folders, too.
    """
    facts = source.prompt
    title = name or (source.path.stem if source.kind == "gguf" else title_of(source.path, source.base))
    plan = ExportPlan(
        source=source,
        workspace=workspace,
        adapters=(source.path,) if source.kind == "adapter" else (),
        base=source.base,
        template=facts.template or "",
        thinking=facts.enable_thinking,
        system=facts.default_system or "",
        cutoff_len=facts.cutoff_len or 0,
        merge=Merge(usual_folder(workspace, title)) if source.kind == "adapter" else None,
        gguf_name=title,
    )
    file = usual_file(plan)
    return dataclasses.replace(plan, gguf=file, deployment=Deployment(gguf=str(file), name=model_name(title)))


def with_folder(plan: ExportPlan, folder: Path) -> ExportPlan:
    """Return ``plan`` with its merge in ``folder``, and the GGUF, too, where it lay beside the merge."""
    if plan.merge is None:
        return plan
    moved = dataclasses.replace(plan, merge=dataclasses.replace(plan.merge, export_dir=folder, is_there=False))
    if plan.gguf is None or plan.gguf.parent != plan.merge.export_dir:
        return moved
    return with_file(moved, folder / plan.gguf.name)


def saved_again(plan: ExportPlan, *, wanted: bool) -> ExportPlan:
    """Return ``plan`` of a whole model with LLaMA-Factory writing it once more first, or not.

    The GGUF is made of what was written; it goes along, where it has its usual place.
    """
    merge = Merge(usual_folder(plan.workspace, plan.gguf_name)) if wanted else None
    changed = dataclasses.replace(plan, merge=merge)
    return with_file(changed, usual_file(changed)) if plan.gguf == usual_file(plan) else changed


def with_file(plan: ExportPlan, file: Path) -> ExportPlan:
    """Return ``plan`` with ``file`` as its GGUF, which is what is deployed, too."""
    deployment = plan.deployment and plan.deployment.of(str(file))
    return dataclasses.replace(plan, gguf=file, deployment=deployment)


def usual_file(plan: ExportPlan) -> Path:
    """Return where the GGUF goes, unless a person says otherwise: beside its model, under llama.cpp's name for it."""
    source = plan.source
    if source.kind == "gguf":
        return source.path
    counts = source.counts if plan.base == source.base else None
    return plan.model_folder / file_name(plan.gguf_name, written_type(plan), counts)


def written_type(plan: ExportPlan) -> str | None:
    """Return the type that the GGUF will have; None where only the merge will tell what ``auto`` stands for."""
    if plan.outtype != OWN_TYPE:
        return plan.outtype
    if plan.merge is not None and plan.merge.infer_dtype != "auto":
        return "bf16" if plan.merge.infer_dtype == "bfloat16" else "f16"  # which 32 bits become, too
    if plan.merge is not None and not plan.adapters and plan.source.own_type != "bf16":
        return None  # LLaMA-Factory takes the type that config.json names, and makes 16 bits of 32 where it can
    return (plan.source.own_type or None) if plan.base == plan.source.base else None


def renamed(plan: ExportPlan, former: ExportPlan) -> ExportPlan:
    """Return ``plan``, which was ``former``, with its file's name as usual for it: one that a person gave stays."""
    if plan.gguf is None or plan.gguf.name != usual_file(former).name:
        return plan
    return with_file(plan, plan.gguf.with_name(usual_file(plan).name))


def usual_gptq_folder(plan: ExportPlan) -> Path:
    """Return where the quantised model goes when nobody says otherwise: beside the model that it is made of."""
    return plan.model_folder.with_name(f"{plan.model_folder.name}-gptq")


def usual_folder(workspace: Path, title: str) -> Path:
    """Return where the merge of that title goes, unless a person says otherwise."""
    return workspace / _FOLDER / title


def chain(
    plan: ExportPlan,
    *,
    lf: LlamaFactory | None,
    schema: Schema | None = None,
    environ: Mapping[str, str] = os.environ,
) -> list[JobSpec]:
    """Return the jobs of ``plan``, parents first; nothing is started.

    Raises RequestError for the first thing that would make one of them fail.
    """
    steps = plan.steps
    if not steps:
        raise RequestError(_("There is nothing to do"), "", _("Choose at least one step."))
    chain_id = new_chain_id(TITLE, now())
    title = plan.deployment.name if plan.deployment else plan.model_folder.name
    specs: list[JobSpec] = []
    last: tuple[str, ...] = ()
    for index, step in enumerate(steps):
        place = Chain(chain_id, f"{TITLE} {title}", index, len(steps))
        made = _spec(plan, step, lf=lf, schema=schema, after=last, place=place, environ=environ)
        specs.append(made)
        if step not in _ASIDE:
            last = (made.id,)
    return specs


def _spec(
    plan: ExportPlan,
    step: Step,
    *,
    lf: LlamaFactory | None,
    schema: Schema | None,
    after: Sequence[str],
    place: Chain,
    environ: Mapping[str, str],
) -> JobSpec:
    workspace = plan.workspace
    match step:
        case "export" | "gptq":
            args = merge_args(plan) if step == "export" else gptq_args(plan)
            merged = "merge" if plan.adapters else "save again"
            name = merged if step == "export" else f"GPTQ {args['export_quantization_bit']} bit"
            return export_spec(
                args, workspace=workspace, lf=lf, schema=schema, name=name, after=after, chain=place, environ=environ
            )
        case "check":
            params = check_params(plan, lf)
            return JobSpec.new(
                check.KIND, "merge check", workspace=str(workspace), params=params, after=tuple(after), chain=place
            )
        case "push":
            assert plan.merge is not None  # noqa: S101 - it is among the steps
            repository = plan.merge.export_hub_model_id
            refuse(push_checks(repository, environ))
            return push_spec(plan.model_folder, repository, workspace=workspace, after=tuple(after), chain=place)
        case "convert":
            _refuse_quantising_twice(plan)
            return JobSpec.new(
                "convert",
                plan.gguf.name if plan.gguf else "GGUF",
                workspace=str(workspace),
                params=convert_params(plan),
                after=tuple(after),
                chain=place,
            )
        case "deploy":
            assert plan.deployment is not None  # noqa: S101 - it is among the steps
            deployment = dataclasses.replace(plan.deployment, training=training_params(plan))
            return deployment.spec(workspace=workspace, after=tuple(after), chain=place)


def _refuse_quantising_twice(plan: ExportPlan) -> None:
    if plan.deployment and plan.deployment.quantize and plan.outtype in (*BITS, "q8_0"):
        raise RequestError(
            _("The model would be quantised twice"),
            _(
                "The GGUF gets the type {type}, and Ollama is to make {quantize} of it; it takes 16 or 32 bits only.",
                type=plan.outtype,
                quantize=plan.deployment.quantize,
            ),
            _("Leave one of the two out: the GGUF's type auto, or no type for Ollama."),
        )


def merge_args(plan: ExportPlan) -> dict[str, object]:
    """Return LLaMA-Factory's arguments of the merge (or of a plain export of a full model)."""
    merge = plan.merge
    if merge is None:
        raise RequestError(_("There is nothing to merge"), "", _("Name a folder for the merged model."))
    args: dict[str, object] = {
        "model_name_or_path": plan.base if plan.adapters else str(plan.source.path),
        **_template_args(plan),
        "infer_dtype": merge.infer_dtype,
        "trust_remote_code": False,
        "export_dir": str(merge.export_dir),
        "export_size": merge.export_size,
        "export_device": merge.export_device,
        "export_legacy_format": False,
    }
    if plan.adapters:
        args |= {"adapter_name_or_path": ",".join(map(str, plan.adapters)), "finetuning_type": "lora"}
    return args


def gptq_args(plan: ExportPlan) -> dict[str, object]:
    """Return LLaMA-Factory's arguments of the quantised export."""
    gptq = plan.gptq
    if gptq is None:
        raise RequestError(_("There is nothing to quantise"), "", _("Choose the bits and a dataset to calibrate with."))
    return {
        "model_name_or_path": str(plan.model_folder),
        **_template_args(plan),
        "trust_remote_code": False,
        "export_dir": str(gptq.export_dir),
        "export_size": plan.merge.export_size if plan.merge else 5,
        "export_device": "auto",
        "export_legacy_format": False,
        "export_quantization_bit": gptq.bits,
        "export_quantization_dataset": gptq.dataset,
        "export_quantization_nsamples": gptq.nsamples,
        "export_quantization_maxlen": gptq.maxlen,
    }


def _template_args(plan: ExportPlan) -> dict[str, object]:
    args: dict[str, object] = {"template": plan.template} if plan.template else {}
    if plan.thinking is not None:
        args["enable_thinking"] = plan.thinking
    if plan.default_system is not None:
        args["default_system"] = plan.default_system
    return args


def check_params(plan: ExportPlan, lf: LlamaFactory | None) -> dict[str, object]:
    """Return the params of the check of the merge."""
    return {
        "base": plan.base,
        "merged": str(plan.model_folder),
        "adapters": [str(adapter) for adapter in plan.adapters],
        "python": str(lf.python) if lf else "",
        "template": plan.template,
        "thinking": plan.thinking,
        "system": plan.system,
        "device": plan.merge.export_device if plan.merge else "cpu",
        "prompt": plan.prompt or check.PROMPT,
        "answers": bool(plan.prompt and plan.template),
    }


def convert_params(plan: ExportPlan) -> dict[str, object]:
    """Return the params of the conversion."""
    params: dict[str, object] = {
        "source": str(plan.model_folder),
        "target": str(plan.gguf),
        "outtype": written_type(plan) or OWN_TYPE,  # never another than the file's name says
    }
    if plan.imatrix:
        params["imatrix"] = str(plan.imatrix)
    if plan.converter != AUTO:
        params["converter"] = plan.converter
    if plan.gguf_name:
        params["name"] = plan.gguf_name
    if plan.template:
        params["training"] = training_params(plan)
    return params


def training_params(plan: ExportPlan) -> dict[str, object]:
    """Return what the GGUF and the Modelfile take over of the run; empty where its template is not known."""
    recorded = training_of(plan.source.prompt, plan.template) if plan.template else None
    if recorded is None:
        return {}
    return dataclasses.replace(
        recorded, default_system=plan.default_system, enable_thinking=plan.thinking, cutoff_len=plan.cutoff_len
    ).as_params()


def base_folder(plan: ExportPlan) -> Path | None:
    """Return where the weights lie now whose shapes the GGUF will have: the merge where it is there, else its base."""
    if plan.merge is not None and plan.merge.is_there:
        return plan.merge.export_dir
    return local_model(plan.base) if plan.adapters else plan.source.path
