"""``paddock deploy``: a GGUF, a model or what a training left gets a name in Ollama, as a chain of jobs."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from backend.convert.names import AUTO
from backend.deploy.request import Deployment, modelfile_at, read_modelfile
from backend.deploy.storage import Storage
from backend.deploy.written import check_sources, check_template, check_written
from backend.export.plan import OWN_TYPE, ExportPlan, draft, renamed
from backend.export.proving import UNPROVEN
from backend.export.source import Source, read_source, training_of
from backend.lf import yamlform
from backend.lf.find import find
from backend.lf.peft import ADAPTER_CONFIG
from backend.ollama.name import ModelName, model_name, parse_name
from backend.parity.template import templates_for
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.library import Job
from data.size import size
from data.text import shell_word
from tui import exporting
from tui.commands.console import Console
from tui.commands.convert import (
    OUT_TYPES,
    chosen_type,
    converter_option,
    imatrix_option,
)
from tui.commands.form import argument, command, cutoff_option, flag, option, plain_option, thinking_option, wait_option
from tui.commands.session import Session
from tui.commands.start import run_jobs
from tui.exporting import Prospect
from tui.proving import in_brief
from tui.services import Services
from tui.wording import kind_word, work_word

_TEMPLATE_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words asked for; field names are those of the parameters."""

    weights: Path
    name: str
    template: str | None
    system: str | None
    thinking: str | None
    cutoff_len: int | None
    parameter: tuple[str, ...]
    modelfile: str | None
    outtype: str | None
    imatrix: Path | None
    converter: str
    quantize: str | None
    host: str | None
    unproven: bool
    dry_run: bool
    yes: bool
    wait: bool


@command(
    "deploy",
    _(
        "Put a model into Ollama under a name.\n\nWEIGHTS is a GGUF, a model in Hugging Face's form, which is "
        "converted first, or an output_dir, checkpoint or adapter of a training, which is merged and checked before "
        "that. Template, system prompt, stop words and context length are those of the training, where it is known; "
        "else those of a Modelfile in such a folder (LLaMA-Factory's export writes one). The new model gets the name "
        "only when it is proven that Ollama sends it what it was trained on."
    ),
    argument("weights", path=True),
    argument("name"),
    option(
        "--template",
        metavar="T",
        about=_("LLaMA-Factory's template by its name, or a file in Ollama's template language."),
    ),
    option("--system", metavar="TEXT", about=_("System prompt.")),
    thinking_option(),
    cutoff_option(),
    option("--parameter", "-p", multiple=True, metavar="KEY=VALUE", about=_("A parameter, as temperature=0.7.")),
    option("--modelfile", metavar="FILE", about=_("Take template, system prompt and parameters from this Modelfile.")),
    option(
        "--outtype",
        type=click.Choice(OUT_TYPES, case_sensitive=False),
        metavar="TYPE",
        about=_("Type of the GGUF's weights, as in `paddock convert`; by default their own 16 bits."),
    ),
    imatrix_option(),
    converter_option(),
    option("--quantize", metavar="TYPE", about=_("Let Ollama quantise it: q8_0, q4_K_M …")),
    option("--host", metavar="HOST", about=_("Ollama server, as in OLLAMA_HOST.")),
    flag("--unproven", about=_("Publish the model even if Ollama sends it something else than it was trained on.")),
    flag("--dry-run", about=_("Show the steps and the room that they take on each disk; start nothing.")),
    flag("--yes", "-y", about=_("Replace a model of that name without asking.")),
    wait_option(default=True),
    plain_option(),
)
def deploy(session: Session, **words: object) -> int:
    """Deploy one model."""
    wish = Wish(**words)  # type: ignore[arg-type] - click has checked the types
    console, services = session.console, session.services(adopt=True)
    name = parse_name(wish.name)
    plan = _plan(wish, services)
    there, stored = asyncio.run(_there(services, plan))
    prospect = exporting.look_ahead(
        services.paths, services.settings, services.environ, plan, stored, replaces=bool(there)
    )
    if wish.dry_run:
        return _show(console, prospect)
    prospect.check()
    for warning in prospect.warnings:
        console.tell(f"{console.paint('!', 'warn')} {warning}")
    if there and not wish.yes and not _agreed(console, name, there):
        return 1
    status = run_jobs(console, services, prospect.specs, wait=wish.wait)
    if status == 0 and wish.wait:
        job = services.job(prospect.specs[-1].id)
        _say_proof(console, job)
        console.say(_("{model} is on {host}.", model=str(name), host=str(job.state.result.get("host"))))
        console.say(_("`paddock chat {model}` talks with it.", model=" ".join(_chat_words(wish))))
    return status


def _chat_words(wish: Wish) -> list[str]:
    """Return what follows ``paddock chat``."""
    return [wish.name, *(["--host", shell_word(wish.host)] if wish.host else [])]


def _say_proof(console: Console, job: Job) -> None:
    """Say what the proof of a deployment has come to."""
    result = job.state.result
    brief, unproven = in_brief(result.get("proof")), UNPROVEN.get(str(result.get("unproven")))
    if brief is not None:
        role, words = brief
        mark = {"done": ("✓", "good"), "warn": ("!", "warn"), "failed": ("✗", "bad")}[role]
        console.say(f"{console.paint(*mark)} {words}")
    if unproven is not None:
        console.say(f"{console.paint('!', 'warn')} {_('Not proven: {why}', why=unproven)}")


def _plan(wish: Wish, services: Services) -> ExportPlan:
    """Return what the words ask for; raises RequestError before anything is started."""
    workspace = services.workspace
    path = (workspace / wish.weights.expanduser()).absolute()
    source = read_source(_gguf_in(path))
    plan = draft(source, workspace, name=model_name(wish.name) if source.kind == "adapter" else "")
    plan = renamed(dataclasses.replace(plan, **_conversion(wish, source, workspace)), plan)
    plan = dataclasses.replace(plan, **_facts(wish, source, services))
    written = _template_file(wish, services)
    file = (workspace / Path(wish.modelfile).expanduser()).absolute() if wish.modelfile else source.path / "Modelfile"
    deployment = Deployment(
        gguf=str(plan.gguf),
        name=wish.name,
        template=_read(written) if written else "",
        system="" if plan.template else wish.system or "",
        parameters=_parameters(wish.parameter),
        quantize=wish.quantize or "",
        modelfile=str(file) if wish.modelfile or file.is_file() else "",
        host=wish.host or "",
        unproven=wish.unproven,
    )
    deployment.check()
    if deployment.modelfile:
        deployment = _with_modelfile(deployment, wish, source.path, is_trained=bool(plan.template))
    return dataclasses.replace(plan, deployment=deployment)


def _conversion(wish: Wish, source: Source, workspace: Path) -> dict[str, object]:
    """Return what the words say of the conversion; raises RequestError where there is none."""
    if source.kind == "gguf":
        if wish.outtype or wish.imatrix or wish.converter != AUTO:
            raise RequestError(
                _("{file} is a GGUF already", file=source.path.name),
                _("It is not converted, so nothing can be said about its conversion."),
                _("Leave --outtype, --imatrix and --converter out, or name the model's folder."),
            )
        return {}
    words: dict[str, object] = {"converter": wish.converter}
    if wish.imatrix:
        words["imatrix"] = (workspace / wish.imatrix.expanduser()).absolute()
    if source.kind == "model":
        words["outtype"] = chosen_type(source.path, wish.outtype or OWN_TYPE)
    elif wish.outtype:
        words["outtype"] = wish.outtype.lower()
    return words


def _gguf_in(path: Path) -> Path:
    """Return the one GGUF of a folder that holds nothing else to deploy, else ``path``; raises RequestError."""
    if not path.exists():
        raise RequestError(
            _("There is no such GGUF or folder"), str(path), _("`paddock convert` makes a GGUF of a model's folder.")
        )
    is_model = any((path / name).is_file() for name in ("config.json", ADAPTER_CONFIG))
    found = sorted(path.glob("*.gguf")) if path.is_dir() and not is_model else []
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise RequestError(_("There are several GGUFs in this folder"), names, _("Name one of them."))
    return found[0] if found else path


def _facts(wish: Wish, source: Source, services: Services) -> dict[str, object]:
    """Return the plan's facts of the training: the words win over its record, and over what the GGUF was made with."""
    template = None if _template_file(wish, services) else wish.template
    training = training_of(source.prompt, template)
    if training is None and (wish.thinking or wish.cutoff_len):
        raise RequestError(
            _("It is not known with which template {model} was trained", model=source.path.name),
            _("--thinking and --cutoff-len tell more of a training, and of this one nothing is known."),
            _("Name the template, too: --template T."),
        )
    if training is None:
        return {}
    if template:
        lf = find(services.settings, services.paths, services.workspace, services.environ)
        templates_for(lf, services.paths).get(template)
    return {
        "template": training.template,
        "thinking": training.enable_thinking if wish.thinking is None else wish.thinking == "on",
        "system": wish.system if wish.system is not None else training.default_system or "",
        "cutoff_len": wish.cutoff_len or training.cutoff_len,
    }


def _template_file(wish: Wish, services: Services) -> Path | None:
    path = services.workspace / Path(wish.template or "").expanduser()
    return path if wish.template and path.is_file() else None


def _with_modelfile(deployment: Deployment, wish: Wish, weights: Path, *, is_trained: bool) -> Deployment:
    """Read the Modelfile now: one that cannot be used is the request's fault, and nothing has been started.

    One that was named stands for what the training says, which still serves the proof.
    """
    try:
        file = modelfile_at(Path(deployment.modelfile))
        written = read_modelfile(file)
        if wish.modelfile:
            check_written(written, str(file))
            check_sources(written, str(file), [weights, Path(deployment.gguf)], file.parent)
        elif not (is_trained or deployment.template):
            check_template(written, str(file))
        values = deployment.values()
        edited = str(values) if wish.modelfile and is_trained else ""
    except AppError as error:
        raise RequestError(error.title, error.detail, error.hint) from error
    return dataclasses.replace(deployment, edited=edited, modelfile="" if edited else deployment.modelfile)


async def _there(services: Services, plan: ExportPlan) -> tuple[str, Storage | None]:
    """Return where a model of that name is already, empty where there is none, and the server's disk. Starts none."""
    around = services.paths, services.settings, services.environ
    return await exporting.taken(*around, plan), await exporting.storage(*around, plan)


def _agreed(console: Console, name: ModelName, place: str) -> bool:
    """Ask on a terminal; without one, nothing is replaced unasked."""
    if sys.stdin.isatty() and not console.as_json:
        console.tell(_("There is a model {name} on {host}.", name=str(name), host=place))
        return click.confirm(str(_("Replace it when the new one is proven?")), default=False)
    raise RequestError(
        _("There is a model {model} already", model=str(name)),
        _("{host}; there is no terminal to ask on.", host=place),
        _("Choose another name, or add --yes: it is replaced when the new one is proven."),
    )


def _show(console: Console, prospect: Prospect) -> int:
    """Print what would run; the status is 2 when it would be refused, and why is said."""
    refusal = _refusal(prospect)
    console.emit(
        {
            "ok": refusal is None,
            "steps": [{"kind": spec.kind, "name": spec.name, "params": dict(spec.params)} for spec in prospect.specs],
            "disks": [disk.as_json() for disk in prospect.disks],
            "room_unknown": prospect.unseen or None,
            "replaces": prospect.replaces,
            "warnings": [warning.english() for warning in prospect.warnings],
            "refused": refusal.as_json() if refusal is not None else None,
        }
    )
    console.say(_("Steps: {steps}", steps=" → ".join(work_word(spec) for spec in prospect.specs)))
    for line in _lines(prospect):
        console.say(line)
    if refusal is None:
        return 0
    console.say(f"{console.paint('✗', 'bad')} {refusal.title}")
    for words in (refusal.detail, refusal.hint):
        if words:
            console.say(f"    {words}")
    return refusal.exit_status


def _refusal(prospect: Prospect) -> RequestError | None:
    """Return what would keep a start from starting anything."""
    try:
        prospect.check()
    except RequestError as error:
        return error
    return None


def _lines(prospect: Prospect) -> Sequence[str]:
    lines: list[str] = []
    for disk in prospect.disks:
        told = _(
            "{folder}: {needed} at most, while the step {step} runs; {free} free",
            folder=str(disk.folders[0]),
            needed=size(disk.needed_bytes),
            step=kind_word(disk.worst),
            free=size(disk.free_bytes),
        )
        lines.append(f"{'✓' if disk.has_room else '✗'} {told}")
    if prospect.unseen:
        lines.append("? " + str(_("{host}: room not known", host=prospect.unseen)))
    if prospect.replaces:
        lines.append("! " + str(_("A model of that name is replaced when the new one is proven.")))
    return [*lines, *(f"! {warning}" for warning in prospect.warnings)]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_TEMPLATE_LIMIT_BYTES).decode()
    except (OSError, ValueError) as error:
        raise RequestError(
            _("The template cannot be read"),
            f"{path}: {error}",
            _("Name a file in Ollama's template language, or a template of LLaMA-Factory."),
        ) from error


def _parameters(words: tuple[str, ...]) -> dict[str, object]:
    """Read KEY=VALUE; a key that comes again (stop) becomes a list."""
    found: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise RequestError(_("{text} is not a parameter", text=word), "", _("Write it as temperature=0.7."))
        try:
            value = text if key == "stop" else yamlform.load(text)
        except yamlform.YamlError:
            value = text
        if key in found:
            old = found[key]
            found[key] = [*old, value] if isinstance(old, list) else [old, value]  # pyright: ignore[reportUnknownVariableType] - values
        else:
            found[key] = value
    return found
