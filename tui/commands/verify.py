"""``paddock verify``: whether Ollama sends a model what it was trained on."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from backend.deploy.request import read_modelfile
from backend.deploy.server import Server
from backend.export.origin import deployment_of, trained_of, trained_of_gguf
from backend.lf.find import LlamaFactory, find
from backend.ollama.client import Client
from backend.ollama.modelfile import Modelfile
from backend.ollama.version import version_key
from backend.parity import asked, cases, proof
from backend.parity.cases import Case
from backend.parity.expected import Trained
from backend.parity.guess import guess
from backend.parity.mend import mend
from backend.parity.proof import Proof
from backend.parity.template import Template, Templates, templates_for
from backend.parity.vocabulary import from_header
from backend.setup.ollama import VERSION
from data.errors import AppError, RequestError
from data.gguf import read_header
from data.i18n import _
from tui.commands.form import argument, command, flag, option
from tui.commands.models import server_with
from tui.commands.parting import lines
from tui.commands.session import Session
from tui.services import Services

_SOURCES: Final = {
    "asked": _("as asked for"),
    "record": _("recorded by its training"),
    "guess": _("a guess by its own template and tokens; --template names another"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words asked for; field names are those of the parameters."""

    name: str
    template: str | None
    system: str | None
    thinking: str | None
    cutoff_len: int | None
    cases: str | None
    mend: bool
    offline: bool
    ollama_version: str | None
    modelfile: str | None
    host: str | None


@command(
    "verify",
    _(
        "Prove that Ollama sends a model exactly what it was trained on.\n\nNAME is a model of an Ollama server, from "
        "wherever it came. Conversations are encoded by LLaMA-Factory as for a training and rendered by the server; "
        "the token ids are compared. Where they differ, the first place is shown with its cause and the remedy, and "
        "the exit status is 1."
    ),
    argument("name"),
    option("--template", metavar="T", about=_("Template of the training; by default what the training recorded.")),
    option("--system", metavar="TEXT", about=_("Default system prompt of the training.")),
    option(
        "--thinking",
        type=click.Choice(["on", "off"]),
        about=_("Whether the training had enable_thinking; by default as recorded, else on."),
    ),
    option(
        "--cutoff-len",
        type=click.IntRange(min=1),
        metavar="N",
        about=_("cutoff_len of the training: num_ctx must not be smaller."),
    ),
    option("--cases", metavar="FILE", about=_("Also the first rows of this data set (JSON or JSONL).")),
    flag("--mend", about=_("Write a Modelfile that is right, prove it, and put it in place of the old one.")),
    flag("--offline", about=_("Foretell it without a server; NAME is a GGUF, or a model that Paddock deployed.")),
    option(
        "--ollama-version",
        metavar="V",
        about=_("With --offline: the version of Ollama, as 0.24.0; by default the one that Paddock installs."),
    ),
    option("--modelfile", metavar="FILE", about=_("With --offline: the Modelfile that goes with the GGUF.")),
    option("--host", metavar="HOST", about=_("Ollama server, as in OLLAMA_HOST.")),
)
def verify(session: Session, **words: object) -> int:
    """Prove one model."""
    wish = Wish(**words)  # type: ignore[arg-type] - click has checked the types
    services = session.services(adopt=True)
    extra = cases.read_cases(services.workspace / Path(wish.cases).expanduser()) if wish.cases else ()
    lf = find(services.settings, services.paths, services.workspace, services.environ)
    if lf is None:
        raise AppError(
            _("There is no LLaMA-Factory to say what was trained"),
            _("The proof asks it to encode the conversations as in a training."),
            _("Run: paddock setup llamafactory"),
        )
    known = templates_for(lf, services.paths)
    if wish.template:
        known.get(wish.template)  # a wrong name is the request's fault, and is told before anything is asked
    if wish.offline:
        done, was_mended = _foretell(session, services, wish, lf, known, extra), False
    else:
        _refuse_offline_words(wish)
        done, was_mended = asyncio.run(_verify(session, services, wish, lf, known, extra))
    session.console.end_update()
    session.console.emit({**done.as_json(), **({"mended": was_mended} if wish.mend else {})})
    for line in lines(done, session.console, source=_SOURCES[done.trained.source]):
        session.console.say(line)
    return 0 if done.ok else 1


def _refuse_offline_words(wish: Wish) -> None:
    for word, value in (("--ollama-version", wish.ollama_version), ("--modelfile", wish.modelfile)):
        if value:
            raise RequestError(_("{word} goes with --offline only", word=word), "", _("A server knows its own."))


def _foretell(
    session: Session, services: Services, wish: Wish, lf: LlamaFactory, known: Templates, extra: tuple[Case, ...]
) -> Proof:
    if wish.mend:
        raise RequestError(_("--mend needs a server"), "", _("Leave --offline out."))
    version = wish.ollama_version or VERSION
    if version_key(version) == (0, 0, 0, 0):
        raise RequestError(_("{text} is no version of Ollama", text=repr(version)), "", _("Write it as 0.24.0."))
    path = (services.workspace / Path(wish.name).expanduser()).absolute()
    deployed = deployment_of(services.library, wish.name)
    if path.is_file():
        gguf, modelfile = path, Modelfile(())
    elif deployed is not None:
        gguf, modelfile = Path(deployed.gguf), deployed.values()
    else:
        raise RequestError(
            _("There is no GGUF {name}, and Paddock deployed no such model", name=wish.name),
            "",
            _("Without a server, name a GGUF; --modelfile names what goes with it."),
        )
    if wish.modelfile:
        modelfile = read_modelfile((services.workspace / Path(wish.modelfile).expanduser()).absolute())
    header = read_header(gguf)
    served = None if not header.text("tokenizer.chat_template") else header.text("tokenizer.chat_template")
    trained = _wished(
        wish,
        trained_of(services.library, wish.name) or trained_of_gguf(services.library, gguf),
        lambda: guess(known, from_header(header), modelfile.template or served or ""),
    )
    template = known.of_run(trained.template, enable_thinking=trained.enable_thinking)
    session.console.update(str(_("asking LLaMA-Factory for its prompts …")))
    return proof.foretell(gguf, modelfile, version, trained, (*_built_in(template), *extra), lf, services.paths)


async def _verify(
    session: Session, services: Services, wish: Wish, lf: LlamaFactory, known: Templates, extra: tuple[Case, ...]
) -> tuple[Proof, bool]:
    console = session.console
    server = await server_with(services, wish.name, wish.host or "")
    async with Client(server.host) as client:
        trained = await _trained(services, wish, server, client, known)
        template = known.of_run(trained.template, enable_thinking=trained.enable_thinking)
        wanted = (*_built_in(template), *extra)
        console.update(str(_("asking LLaMA-Factory for its prompts …")))

        def on_case(done: int, total: int, name: str) -> None:
            console.update(
                str(_("asking the server: {name} ({done} of {total})", name=name, done=done + 1, total=total))
            )

        found = await proof.prove(client, wish.name, trained, wanted, lf, services.paths, on_case=on_case)
        if not wish.mend or found.ok:
            return found, False
        template = dataclasses.replace(template, default_system=found.expected.default_system)
        return await mend(client, found, template, lf, services.paths, wanted, on_case=on_case)


def _built_in(template: Template) -> tuple[Case, ...]:
    thinks = template.kind == "reasoning" and template.enable_thinking is not False
    return cases.built_in(tools=True, thinking=thinks)


async def _trained(services: Services, wish: Wish, server: Server, client: Client, known: Templates) -> Trained:
    recorded = trained_of(services.library, wish.name, server.host)
    if wish.template or recorded is not None:
        return _wished(wish, recorded, lambda: None)
    runner, served = await asked.runner_of(client, wish.name)
    text = "" if served.is_raw else served.template
    return _wished(wish, None, lambda: guess(known, runner.vocabulary, text))


def _wished(wish: Wish, recorded: Trained | None, guessed: Callable[[], Template | None]) -> Trained:
    """Return what the words ask for, else what the training recorded, else a guess; raises RequestError."""
    if wish.template:
        base = recorded if recorded is not None and recorded.template == wish.template else Trained(wish.template)
        found = dataclasses.replace(base, source="asked")
    elif recorded is not None:
        found = recorded
    else:
        template = guessed()
        if template is None:
            raise RequestError(
                _("It is not known with which template {model} was trained", model=wish.name),
                _("No training of Paddock leads to it, and its own template and tokens give no hint."),
                _("Name it: --template T. Templates are those of LLaMA-Factory, as llama3, qwen or chatml."),
            )
        found = Trained(template.name, source="guess")
    if wish.system is not None:
        found = dataclasses.replace(found, default_system=wish.system)
    if wish.thinking is not None:
        found = dataclasses.replace(found, enable_thinking=wish.thinking == "on")
    return dataclasses.replace(found, cutoff_len=wish.cutoff_len) if wish.cutoff_len else found
