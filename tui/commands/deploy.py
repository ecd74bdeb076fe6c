"""``paddock deploy``: a GGUF, or a folder that becomes one, gets a name in Ollama, as a job or two."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.deploy.request import Deployment
from backend.lf import yamlform
from backend.parity.training import Training
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.spec import Chain, JobSpec, now
from tui.commands.convert import OUT_TYPES, check_model_folder, conversion, default_target, training_of
from tui.commands.form import argument, command, flag, option, plain_option, wait_option
from tui.commands.session import Session
from tui.commands.start import run_jobs
from tui.services import Services

_TEMPLATE_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words asked for; field names are those of the parameters."""

    gguf_or_dir: Path
    name: str
    template: str | None
    system: str | None
    parameter: tuple[str, ...]
    modelfile: str | None
    quantize: str | None
    host: str | None
    unproven: bool
    wait: bool


@command(
    "deploy",
    _(
        "Put a model into Ollama under a name.\n\nGGUF_OR_DIR is a GGUF, or a model in Hugging Face's form, which is "
        "converted first. Template, system prompt, stop words and context length are those of the training, where it "
        "is known; else those of a Modelfile in such a folder (LLaMA-Factory's export writes one). A model of that "
        "name is replaced only when the new one is complete."
    ),
    argument("gguf_or_dir", path=True),
    argument("name"),
    option(
        "--template",
        metavar="T",
        about=_("LLaMA-Factory's template by its name, or a file in Ollama's template language."),
    ),
    option("--system", metavar="TEXT", about=_("System prompt.")),
    option("--parameter", "-p", multiple=True, metavar="KEY=VALUE", about=_("A parameter, as temperature=0.7.")),
    option("--modelfile", metavar="FILE", about=_("Take template, system prompt and parameters from this Modelfile.")),
    option("--quantize", metavar="TYPE", about=_("Let Ollama quantise it: q8_0, q4_K_M …")),
    option("--host", metavar="HOST", about=_("Ollama server, as in OLLAMA_HOST.")),
    flag("--unproven", about=_("Publish the model even if Ollama sends it something else than it was trained on.")),
    wait_option(default=True),
    plain_option(),
)
def deploy(session: Session, **words: object) -> int:
    """Deploy one model."""
    wish = Wish(**words)  # type: ignore[arg-type] - click has checked the types
    console, services = session.console, session.services(adopt=True)
    workspace = services.workspace
    source = (workspace / wish.gguf_or_dir.expanduser()).absolute()
    training, template = _template(wish, source, services)
    gguf, conversions, chain = _gguf(source, workspace, training)
    file = (workspace / Path(wish.modelfile).expanduser()).absolute() if wish.modelfile else source / "Modelfile"
    deployment = Deployment(
        gguf=str(gguf),
        name=wish.name,
        template=template,
        training=training.as_params() if training else {},
        system=wish.system or "",
        parameters=_parameters(wish.parameter),
        quantize=wish.quantize or "",
        modelfile=str(file) if wish.modelfile or file.is_file() else "",
        host=wish.host or "",
        unproven=wish.unproven,
    )
    deployment.check()
    if deployment.modelfile:
        _check_modelfile(deployment)
    last = deployment.spec(workspace=workspace, after=tuple(spec.id for spec in conversions), chain=chain)
    status = run_jobs(console, services, [*conversions, last], wait=wish.wait)
    if status == 0 and wish.wait:
        console.say(_("`paddock chat {model}` talks with it.", model=wish.name))
    return status


def _check_modelfile(deployment: Deployment) -> None:
    """Read the Modelfile now: one that cannot be read is the request's fault, and nothing has been started."""
    try:
        deployment.values()
    except AppError as error:
        raise RequestError(error.title, error.detail, error.hint) from error


def _gguf(source: Path, workspace: Path, training: Training | None) -> tuple[Path, list[JobSpec], Chain | None]:
    """Return the GGUF to deploy, and the job that makes it where ``source`` is a folder."""
    if source.is_file():
        return source, [], None
    if not source.is_dir():
        raise RequestError(
            _("There is no such GGUF or folder"), str(source), _("`paddock convert` makes a GGUF of a model's folder.")
        )
    if not (source / "config.json").is_file():
        found = sorted(source.glob("*.gguf"))
        if len(found) == 1:
            return found[0], [], None
        if found:
            names = ", ".join(path.name for path in found)
            raise RequestError(_("There are several GGUFs in this folder"), names, _("Name one of them."))
    folder = check_model_folder(source)
    target = default_target(folder, OUT_TYPES[0])
    moment = now()
    chain = Chain(f"deploy-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", "deploy", 0, 2)
    spec = conversion(folder, target, OUT_TYPES[0], workspace=workspace, training=training, chain=chain)
    return target, [spec], Chain(chain.id, chain.title, 1, 2)


def _template(wish: Wish, source: Path, services: Services) -> tuple[Training | None, str]:
    """Return what the training decided, or the text of the file that was named instead; a Modelfile stands for itself.

    Raises RequestError for what is neither a template of LLaMA-Factory nor a file.
    """
    path = services.workspace / Path(wish.template or "").expanduser()
    if wish.template and path.is_file():
        return None, _read(path)
    if wish.modelfile and not wish.template:
        return None, ""
    return training_of(source if source.is_dir() else source.parent, wish.template, services), ""


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
