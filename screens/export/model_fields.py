"""The fields of the models in Hugging Face's form that an export writes: merged, saved again, quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.export.plan import GPTQ_BITS, ExportPlan, Merge, usual_folder, usual_gptq_folder
from backend.train.gptq import is_file_name
from data.i18n import _
from tui.widgets.form import OFF, ON, Field
from tui.wording import home_relative

_DTYPES: Final = ("auto", "bfloat16", "float16", "float32")
_DEVICES: Final = ("cpu", "auto")


def merge_fields(merge: Merge, plan: ExportPlan, usual: ExportPlan, home: str) -> list[Field]:
    """Return the fields of a merge; ``usual`` is the plan that nobody has changed."""
    folder, *form, push = _written(merge, plan, usual.merge or merge, home)
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
        folder,
        *form,
        Field(
            "prompt",
            _("Question of the check"),
            plan.prompt,
            default=usual.prompt,
            empty=_("none: compare the tensors only"),
            help=_("Asked with the adapter beside its base, and of the merged model: the answers should be the same."),
        ),
        push,
    ]


def again_fields(plan: ExportPlan, home: str) -> list[Field]:
    """Return the fields of a whole model that is written once more before anything is made of it."""
    merge = plan.merge
    usual = Merge(usual_folder(plan.workspace, plan.gguf_name))
    return [
        Field("merge", _("Whole model"), kind="heading"),
        Field(
            "again",
            _("Save again"),
            ON if merge else OFF,
            "switch",
            default=OFF,
            help=_(
                "LLaMA-Factory writes the model once more: in other shards, of another data type, or to a hub. A GGUF "
                "does not need it."
            ),
        ),
        *(_written(merge, plan, usual, home) if merge else ()),
    ]


def _written(merge: Merge, plan: ExportPlan, default: Merge, home: str) -> list[Field]:
    usual_dir = default.export_dir if merge.is_named else merge.export_dir
    place = _("Where the merged model is written; it must be empty or not exist.")
    if not plan.adapters:
        place = _("Where the model is written; it must be empty or not exist.")
    if merge.is_there:
        place = _("This very merge is there already, and is used again. Another folder merges anew.")
    return [
        Field(
            "export_dir",
            _("Folder"),
            shown(merge.export_dir, plan, home),
            name="export_dir",
            default=shown(usual_dir, plan, home),
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
            "export_hub_model_id",
            _("Push to the hub"),
            merge.export_hub_model_id,
            name="export_hub_model_id",
            empty=_("no"),
            help=_("owner/name, once the merge is checked; the token comes from HF_TOKEN, and is written nowhere."),
        ),
    ]


def gptq_fields(plan: ExportPlan, home: str) -> list[Field]:
    """Return the fields of a second, quantised model."""
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
                shown(gptq.export_dir, plan, home),
                name="export_dir",
                default=shown(usual_gptq_folder(plan) if gptq.is_named else gptq.export_dir, plan, home),
                help=_("Where the quantised model is written; it must be empty or not exist."),
            ),
            Field(
                "gptq_dataset",
                _("Calibrate with"),
                shown(Path(gptq.dataset), plan, home) if is_file_name(gptq.dataset) else gptq.dataset,
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


def shown(path: Path, plan: ExportPlan, home: str) -> str:
    """Return a path as short as it can be written in the form: from the workspace, else from the home directory."""
    if path.is_relative_to(plan.workspace):
        return str(path.relative_to(plan.workspace))
    return home_relative(str(path), home)
