"""``paddock convert``: a Hugging Face folder becomes a GGUF, as a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from backend.convert.llama_cpp import quantizer_for
from backend.convert.names import AUTO, CONVERTERS, FOREIGN
from backend.convert.naming import counts_of, file_name, title_of
from backend.convert.overwrite import refuse_foreign_sidecar, refuse_own_files
from backend.convert.quants import BITS
from backend.convert.target import real_target, refuse_narrow, refuse_taken
from backend.export.plan import OWN_TYPE
from backend.export.source import training_of
from backend.lf.find import find
from backend.lf.peft import ADAPTER_CONFIG, base_of
from backend.parity.template import templates_for
from backend.parity.training import Training, gguf_facts
from backend.train.record import read_facts
from data.errors import RequestError
from data.i18n import Message, _
from data.jobs.spec import Chain, JobSpec
from data.text import shell_word
from tui.commands.form import Option, argument, command, flag, option, plain_option, wait_option
from tui.commands.session import Session
from tui.commands.start import run_jobs
from tui.services import Services

if TYPE_CHECKING:
    from backend.convert.road import Road

OUT_TYPES: Final = (OWN_TYPE, "bf16", "f16", "f32", "q8_0", *BITS)


def imatrix_option() -> Option:
    """Return the option --imatrix."""
    return option(
        "--imatrix",
        type=click.Path(path_type=Path),
        metavar="FILE",
        about=_("An importance matrix of llama.cpp's llama-imatrix, for a type that llama-quantize makes."),
    )


def converter_option() -> Option:
    """Return the option --converter."""
    return option(
        "--converter",
        type=click.Choice(CONVERTERS),
        default=AUTO,
        show_default=True,
        metavar="NAME",
        about=_(
            "Who makes the GGUF: paddock; llama.cpp, whose convert_hf_to_gguf.py (setting llama_cpp_dir) runs in "
            "LLaMA-Factory's Python, with the code that a folder may bring; ollama, by its import of safetensors; or "
            "auto: the second for what the first does not know, the third where there is no second."
        ),
    )


@command(
    "convert",
    _(
        "Convert a model in Hugging Face's form to GGUF, without torch.\n\nMODEL_DIR holds config.json, tokenizer and "
        "safetensors. An adapter is merged first (`paddock export`), or becomes a GGUF adapter with --adapter. The "
        "chat template and the tokens that end an answer are those of the training, where it is known."
    ),
    argument("model_dir", path=True),
    option(
        "--output",
        "-o",
        type=click.Path(path_type=Path),
        metavar="FILE",
        about=_("The GGUF; by default in MODEL_DIR, under llama.cpp's name for it: NAME-SIZE-TYPE.gguf."),
    ),
    option(
        "--outtype",
        type=click.Choice(OUT_TYPES, case_sensitive=False),
        default=OUT_TYPES[0],
        show_default=True,
        metavar="TYPE",
        about=_(
            "Type of the weights: auto (their own 16 bits), {ours}; or one that llama-quantize makes where it is "
            "found: {theirs}.",
            ours="bf16, f16, f32, q8_0",
            theirs=", ".join(BITS),
        ),
    ),
    imatrix_option(),
    converter_option(),
    option(
        "--template",
        metavar="NAME",
        about=_("LLaMA-Factory's template; by default what the folder's record of its training says."),
    ),
    option(
        "--model-name",
        metavar="NAME",
        about=_("The name that the GGUF bears (general.name); by default what README.md and the folder's name say."),
    ),
    flag("--adapter", about=_("MODEL_DIR is a LoRA adapter; make an adapter of GGUF, to be loaded beside its base.")),
    option(
        "--base",
        type=click.Path(path_type=Path),
        metavar="DIR",
        about=_("The adapter's base model; by default the folder that the adapter names. Implies --adapter."),
    ),
    flag("--force", about=_("Replace a file of that name.")),
    wait_option(default=True),
    plain_option(),
)
def convert(
    session: Session,
    model_dir: Path,
    output: Path | None,
    outtype: str,
    *,
    imatrix: Path | None,
    converter: str,
    template: str | None,
    model_name: str | None,
    adapter: bool,
    base: Path | None,
    force: bool,
    wait: bool,
) -> int:
    """Convert one model, or one adapter."""
    console, services = session.console, session.services(adopt=True)
    place = services.workspace / model_dir.expanduser()
    adapter = adapter or base is not None
    source = check_adapter_folder(place) if adapter else check_model_folder(place)
    outtype = chosen_type(source, outtype)
    target = (
        services.workspace / output.expanduser() if output else default_target(source, outtype, base, adapter=adapter)
    )
    check_target(target, source, replace=force)
    matrix = (services.workspace / imatrix.expanduser()).absolute() if imatrix else None
    if adapter and outtype in BITS:
        raise RequestError(
            _("An adapter cannot have the type {type}", type=outtype),
            _("llama-quantize takes whole models only."),
            _("Leave --outtype out: an adapter is small."),
        )
    quantizer_for(outtype, matrix, services.paths, services.settings, services.environ)
    if adapter and converter in FOREIGN:
        raise RequestError(
            _("An adapter is converted by Paddock's own converter only"),
            _("The others take whole models only."),
            _("Leave --converter out, or merge the adapter first (paddock export)."),
        )
    if adapter and template:
        raise RequestError(
            _("A GGUF adapter has no template"),
            _("The prompt is the base model's: its GGUF or Modelfile has the template."),
            _("Leave --template out, or merge the adapter first (paddock export)."),
        )
    training = None if adapter else recorded_training(source, template, services)
    if training is not None and (note := departure(source, training)) is not None:
        console.tell(f"{console.paint('!', 'warn')} {note}")
    if adapter:
        road = check_adapter(source, services.workspace / base.expanduser() if base else None, target, outtype)
    else:
        road = foresee(source, converter, outtype, services, training)
        check_room(source, target, outtype, converter, is_changed=training is not None)
    for note in road.notes():
        console.tell(f"{console.paint('!', 'warn')} {note}")
    spec = conversion(
        source,
        target,
        outtype,
        workspace=services.workspace,
        training=training,
        imatrix=matrix,
        converter=converter,
        name=model_name,
        adapter=adapter,
        base=services.workspace / base.expanduser() if base else None,
        replace=force,
    )
    status = run_jobs(console, services, [spec], wait=wait)
    if status == 0 and wait:
        console.say(
            _(
                "Ollama loads it beside its base: `ollama create NAME -f FILE`, where FILE holds the lines FROM (the "
                "base: a model of that Ollama, or its GGUF) and ADAPTER {file}.",
                file=target.absolute(),
            )
            if adapter
            else _("`paddock deploy {file} NAME` puts it into Ollama.", file=shell_word(target))
        )
    return status


def conversion(
    source: Path,
    target: Path,
    outtype: str,
    *,
    workspace: Path,
    training: Training | None = None,
    imatrix: Path | None = None,
    converter: str = AUTO,
    chain: Chain | None = None,
    name: str | None = None,
    adapter: bool = False,
    base: Path | None = None,
    replace: bool = True,
) -> JobSpec:
    """Return the job that converts ``source`` to ``target``.

    ``training`` decides what the GGUF says of prompts, ``name`` is what it calls itself, ``converter`` who makes it
    (``CONVERTERS``). An ``adapter`` has its ``base``, where it is not the folder that the adapter names. Without
    ``replace``, a file that has the target's name when the new one is whole stays, and the job fails.
    """
    params: dict[str, object] = {"source": str(source), "target": str(target), "outtype": outtype.lower()}
    if imatrix is not None:
        params["imatrix"] = str(imatrix)
    if converter != AUTO:
        params["converter"] = converter
    if adapter:
        params["adapter"] = True
    if base is not None:
        params["base"] = str(base)
    if not replace:
        params["replace"] = False
    if training is not None:
        params["training"] = training.as_params()
    if name:
        params["name"] = name
    return JobSpec.new("convert", source.name, workspace=str(workspace), params=params, chain=chain)


def foresee(source: Path, converter: str, outtype: str, services: Services, training: Training | None) -> Road:
    """Say who will make the GGUF; raises RequestError where nobody can, or the model lacks what ``training`` had."""
    from backend.convert.road import others, road_of  # noqa: PLC0415 - all families come with it

    around = services.workspace, services.environ
    known = templates_for(find(services.settings, services.paths, *around), services.paths)
    facts = gguf_facts(training.of(known), source) if training is not None and known.exact else None
    elsewhere = others(services.paths, services.settings, *around)
    return road_of(source, converter, elsewhere, outtype=outtype, facts=facts)


def recorded_training(folder: Path, template: str | None, services: Services) -> Training | None:
    """Return what the training behind ``folder`` decided about prompts; None where nobody says which template.

    ``template`` wins over the record. Raises RequestError where LLaMA-Factory has no such template.
    """
    training = training_of(read_facts(folder), template)
    if training is None:
        return None
    lf = find(services.settings, services.paths, services.workspace, services.environ)
    training.of(templates_for(lf, services.paths))
    return training


def departure(folder: Path, training: Training) -> Message | None:
    """Return that the template of ``training`` is not the one that ``folder`` was trained with; None where it is."""
    trained = read_facts(folder).template
    if trained in (None, training.template):
        return None
    return _(
        "Not as it was trained: {names}. The model will answer worse.",
        names=f"template ({trained} → {training.template})",
    )


def chosen_type(source: Path, outtype: str) -> str:
    """Return the type that ``outtype`` stands for with the weights in ``source``, as the job gets it."""
    from backend.convert.planning import own_type  # noqa: PLC0415 - numpy comes with it

    chosen = outtype.lower()
    return own_type(source) if chosen == OWN_TYPE else chosen


def default_target(source: Path, outtype: str, base: Path | None = None, *, adapter: bool = False) -> Path:
    """Return a file in ``source`` under llama.cpp's name for it; an ``adapter``'s says its ``base``'s, too."""
    if adapter:
        return source / file_name(title_of(source, str(base or base_of(source))), outtype, is_adapter=True)
    return source / file_name(title_of(source), outtype, counts_of(source))


def check_target(target: Path, source: Path, *, replace: bool) -> None:
    """Raise RequestError where no conversion of ``source`` may write ``target``, and what lies beside it.

    That is where it is a folder or a file of the model, and, without ``replace``, where another file is in its way.
    """
    if target.is_dir():
        raise RequestError(
            _("The target is a directory"),
            str(target),
            _("Name a file: -o {file}", file=shell_word(target / "model.gguf")),
        )
    real = real_target(target)
    refuse_own_files(real, (source,))
    if not replace:
        refuse_taken(real)
        refuse_foreign_sidecar(real)


def check_room(source: Path, target: Path, outtype: str, converter: str, *, is_changed: bool) -> None:
    """Raise RequestError where the disk of ``target`` has no room for all that the conversion writes."""
    from backend.convert.room import room_of  # noqa: PLC0415 - numpy comes with it

    room = room_of(source, outtype, converter=converter, is_changed=is_changed)
    if room is not None:
        refuse_narrow(real_target(target), room.peak_bytes)


def check_adapter(source: Path, base: Path | None, target: Path, outtype: str) -> Road:
    """Say what the GGUF of an adapter will lack; reads headers only.

    Raises RequestError for an adapter that cannot become one of GGUF, or has no room there.
    """
    from backend.convert.adapter import plan_adapter, read_adapter  # noqa: PLC0415 - numpy comes with it
    from backend.convert.road import Road  # noqa: PLC0415 - as above

    adapter, real = read_adapter(source, base), real_target(target)
    refuse_own_files(real, (adapter.base.path,))
    plan = plan_adapter(adapter, outtype)
    refuse_narrow(real, plan.data_bytes)
    return Road(left_out=plan.left_out)


def check_adapter_folder(folder: Path) -> Path:
    """Return ``folder``, absolute; raises RequestError where it holds no adapter."""
    place = folder.absolute()
    if not (place / ADAPTER_CONFIG).is_file():
        raise RequestError(
            _("There is no adapter in {path}", path=place),
            _("It has no {file}.", file=ADAPTER_CONFIG),
            _("Give the folder that a LoRA training wrote."),
        )
    return place


def check_model_folder(folder: Path) -> Path:
    """Return ``folder``, absolute; raises RequestError where it holds no whole model."""
    place = folder.absolute()
    if place.is_file() and place.suffix.lower() == ".gguf":
        raise RequestError(
            _("{file} is a GGUF already", file=place.name),
            str(place),
            _("`paddock deploy {file} NAME` puts it into Ollama.", file=shell_word(place)),
        )
    if place.exists() and not place.is_dir():
        raise RequestError(
            _("This is a file, not a model's folder"), str(place), _("Name a folder with config.json and safetensors.")
        )
    if not place.is_dir():
        raise RequestError(
            _("The model's folder does not exist"), str(place), _("Name a folder with config.json and safetensors.")
        )
    if (place / ADAPTER_CONFIG).is_file() and not (place / "config.json").is_file():
        raise RequestError(
            _("This is an adapter, not a whole model"),
            str(place),
            _(
                "Merge it first: `paddock export CONFIG.yaml adapter_name_or_path={folder}`. "
                "`paddock convert --adapter` makes a GGUF adapter of it.",
                folder=shell_word(place),
            ),
        )
    if not (place / "config.json").is_file():
        raise RequestError(
            _("There is no model in this folder"),
            _("{folder} has no config.json.", folder=place),
            _("Name the folder that a training with full weights or `paddock export` wrote."),
        )
    return place
