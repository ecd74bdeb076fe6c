"""``paddock verify``: whether Ollama sends a model what it was trained on."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from backend.deploy.request import Deployment, modelfile_at, read_modelfile
from backend.deploy.work import prompt_of
from backend.deploy.written import check_template
from backend.export.origin import deployment_of, own_rows_of, own_rows_of_gguf, trained_of, trained_of_gguf
from backend.export.proving import Prover, Said, behind, built_in, guessed, installed, summary
from backend.export.source import refuse_adapter
from backend.export.stoppable import run_stoppable
from backend.lf.find import LlamaFactory
from backend.ollama.client import Client
from backend.ollama.modelfile import Modelfile
from backend.ollama.name import parse_name
from backend.ollama.version import version_key
from backend.parity import cases, proof
from backend.parity.cases import Case
from backend.parity.mend import Outcome
from backend.parity.predict import forecast
from backend.parity.proof import Proof
from backend.parity.template import Templates
from backend.setup.ollama import VERSION
from data.errors import AppError, RequestError
from data.gguf import check
from data.i18n import Message, _
from data.text import inert, shell_word
from tui.commands.console import Console
from tui.commands.form import argument, command, cutoff_option, flag, option, thinking_option
from tui.commands.model_servers import server_with, tell_passed_over
from tui.commands.parting import lines
from tui.commands.session import Session
from tui.proving import mend_words, reached
from tui.services import Services

_SOURCES: Final = {
    "asked": _("as asked for"),
    "record": _("recorded by its training"),
    "guess": _("a guess by its own template and tokens; --template names another"),
}


_NONE: Final[Mapping[str, object]] = {}


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
    yes: bool = False

    @property
    def said(self) -> Said:
        """What the words say of the training."""
        thinking = None if self.thinking is None else self.thinking == "on"
        return Said(self.template, self.system, thinking, self.cutoff_len)

    def mending(
        self, template: str, *, is_file: bool, is_guess: bool = False, parameters: Mapping[str, object] = _NONE
    ) -> Message:
        """Say how to mend what this has shown, for a training with ``template``; ``is_file``: no server has it yet.

        A file is deployed with ``parameters``, those of its Modelfile that Paddock does not write itself.
        """
        words = ["paddock", *(["deploy", self.name, "NAME"] if is_file else ["verify", self.name])]
        told = {
            "--template": "T" if is_guess else template,
            "--system": self.system,
            "--thinking": self.thinking,
            "--cutoff-len": self.cutoff_len,
            "--cases": None if is_file else self.cases,
            "--host": self.host,
        }
        for option_name, value in told.items():
            words += [option_name, str(value)] if value is not None else []
        for name, value in parameters.items() if is_file else ():
            words += ["-p", f"{name}={value}"]
        if is_file and is_guess:
            return _naming(words)
        if is_file:
            return _("→ Let Paddock write its Modelfile and prove it: {command}", command=inert(shlex.join(words)))
        if is_guess:
            return _naming([*words, "--mend"])
        command = inert(shlex.join([*words, "--mend"]))
        return _("→ Let Paddock write the template anew and prove it again: {command}", command=command)


def _naming(words: list[str]) -> Message:
    """Say how to mend a model whose template is a guess."""
    command = inert(shlex.join(words))
    return _("→ Name the template T that it was trained with, and let Paddock write it: {command}", command=command)


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
    thinking_option(),
    cutoff_option(),
    option("--cases", metavar="FILE", about=_("Also the first rows of this data set (JSON or JSONL).")),
    flag("--mend", about=_("Write a Modelfile that is right, prove it, and put it in place of the old one.")),
    flag("--yes", "-y", about=_("With --mend: do not ask where the template is a guess.")),
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
    coming = coming_of(services, wish) if wish.offline else None
    if coming is None:
        _refuse_offline_words(wish)
        _refuse_file(services, wish)
    lf, known = installed(services.settings, services.paths, services.workspace, services.environ)
    if wish.template:
        known.get(wish.template)  # a wrong name is the request's fault, and is told before anything is asked
    if coming is not None:
        outcome = Outcome(_foretell(session, services, wish, coming, lf, known, extra), takes=False, changes=())
    else:
        stopped = AppError(_("The proof was stopped"), _("The server's models are as before."))
        prover, found = run_stoppable(_verify(session, services, wish, lf, known, extra), stopped)
        outcome = Outcome(found, takes=False, changes=())
        if wish.mend and not found.ok:
            outcome = outcome._replace(declined=_declined(session.console, wish, found))
            if not outcome.declined:
                outcome = run_stoppable(_mend(prover, found), stopped)
    done = outcome.proof
    session.console.end_update()
    warnings = coming.warnings if coming is not None else ()
    more: dict[str, object] = {}
    if wish.mend:
        more = {"mended": outcome.takes, "changes": [change.english() for change in outcome.changes]}
        more["attempt"] = summary(outcome.attempt) if outcome.attempt is not None else None
        more["declined"] = outcome.declined.english() or None
    if coming is not None:
        more["warnings"] = [warning.english() for warning in warnings]
    session.console.emit({**done.as_json(), **more})
    for warning in warnings:
        session.console.say(f"{session.console.paint('!', 'warn')} {inert(str(warning))}")
    is_file = coming is not None and coming.deployed is None
    written = coming.modelfile if coming is not None else Modelfile(())
    ours = ("stop", *(["num_ctx"] if done.trained.cutoff_len else []))
    kept = {name: value for name, value in written.parameters.items() if name not in ours}
    how = functools.partial(wish.mending, is_file=is_file, is_guess=bool(done.trained.guess), parameters=kept)
    # An adapter is not deployed beside its base, so no command makes of the two what is foretold.
    mend = None if outcome.attempt is not None or outcome.declined or (is_file and written.adapter) else how
    for line in lines(done, session.console, source=_SOURCES[done.trained.source], mend=mend):
        session.console.say(line)
    if outcome.changes:
        come_to = reached(more.get("attempt"))
        session.console.say(mend_words(outcome.changes, takes=outcome.takes, reached=come_to))
    if outcome.declined:
        session.console.say(outcome.declined)
    return 0 if done.ok else 1


def _declined(console: Console, wish: Wish, found: Proof) -> Message:
    """Return why the mend is not begun: for a guess somebody has to agree, on a terminal or before; empty if it is."""
    guess = found.trained.guess
    if not guess or found.expected.unknown or wish.yes:
        return Message("")
    if sys.stdin.isatty() and not console.as_json:
        console.end_update()
        console.tell(_("That {model} was trained with the template {name} is a guess.", model=found.model, name=guess))
        if click.confirm(str(_("Mend it for that template?")), default=False):
            return Message("")
    return _(
        "Nothing was mended: the template {name} is a guess. Name the one that it was trained with: --template T. Or "
        "agree to the guess: --yes.",
        name=guess,
    )


def _refuse_offline_words(wish: Wish) -> None:
    for word, value in (("--ollama-version", wish.ollama_version), ("--modelfile", wish.modelfile)):
        if value:
            raise RequestError(_("{word} goes with --offline only", word=word), "", _("A server knows its own."))


def _refuse_file(services: Services, wish: Wish) -> None:
    """Raise RequestError where NAME is a file, or cannot be a model's name."""
    path = services.workspace / Path(wish.name).expanduser()
    if path.is_file() and (path.suffix == ".gguf" or Path(wish.name).name != wish.name):
        raise RequestError(
            _("{name} is a file, and not a model of a server", name=wish.name),
            "",
            _("Foretell it: paddock verify --offline {name}. Or deploy it first: paddock deploy {name} NAME.",
              name=shell_word(wish.name)),
        )  # fmt: skip
    parse_name(wish.name)


@dataclass(frozen=True, slots=True)
class Coming:
    """What is foretold: a GGUF, the Modelfile that goes with it, and the version of Ollama that will have both."""

    gguf: Path
    modelfile: Modelfile
    version: str
    deployed: Deployment | None = None
    """What put the model into a server; None for a file"""

    @property
    def warnings(self) -> tuple[Message, ...]:
        """What is wrong with the file; reads its header."""
        problems = tuple(problem.message for problem in check(self.gguf))
        refused = _("No server gets this GGUF: `paddock deploy` refuses a file that contradicts itself.")
        return (*problems, refused) if problems else ()


def coming_of(services: Services, wish: Wish) -> Coming:
    """Return what the words ask to foretell; raises RequestError before anything is asked."""
    if wish.mend:
        raise RequestError(_("--mend needs a server"), "", _("Leave --offline out."))
    version = wish.ollama_version or VERSION
    if version_key(version) == (0, 0, 0, 0):
        raise RequestError(_("{text} is no version of Ollama", text=repr(version)), "", _("Write it as 0.24.0."))
    path = (services.workspace / Path(wish.name).expanduser()).absolute()
    deployed = None if path.is_file() else deployment_of(services.library, wish.name)
    if not path.is_file() and deployed is None:
        raise RequestError(
            _("There is no GGUF {name}, and Paddock deployed no such model", name=wish.name),
            "",
            _("Without a server, name a GGUF; --modelfile names what goes with it."),
        )
    if deployed is None:
        refuse_adapter(path)
    if wish.modelfile:
        try:
            file = modelfile_at((services.workspace / Path(wish.modelfile).expanduser()).absolute())
            modelfile = read_modelfile(file)
            check_template(modelfile, str(file))
        except AppError as error:
            raise RequestError(error.title, error.detail, error.hint) from error
    else:
        modelfile = deployed.values(prompt_of(deployed, services.paths)) if deployed is not None else Modelfile(())
    return Coming(path if deployed is None else Path(deployed.gguf), modelfile, version, deployed)


def _foretell(
    session: Session,
    services: Services,
    wish: Wish,
    coming: Coming,
    lf: LlamaFactory,
    known: Templates,
    extra: tuple[Case, ...],
) -> Proof:
    gguf, modelfile = coming.gguf, coming.modelfile
    recorded = trained_of(services.library, coming.deployed) or trained_of_gguf(services.library, gguf)
    if wish.template or recorded is not None:
        trained = wish.said.over(recorded, lambda: None, wish.name)
    else:
        found = forecast(gguf, modelfile, coming.version)
        trained = guessed(known, found.runner.vocabulary, found.served, wish.said, wish.name)
    template = trained.of(known)
    session.console.update(str(_("asking LLaMA-Factory for its prompts …")))
    own = own_rows_of_gguf(services.library, gguf)
    wanted = (*built_in(template), *own.cases, *extra)
    found = proof.foretell(gguf, modelfile, coming.version, trained, wanted, lf, services.paths)
    return dataclasses.replace(found, left_out=own.left_out)


async def _verify(
    session: Session, services: Services, wish: Wish, lf: LlamaFactory, known: Templates, extra: tuple[Case, ...]
) -> tuple[Prover, Proof]:
    console = session.console
    server = await server_with(services, wish.name, wish.host or "")
    tell_passed_over(console, [server])

    def on_case(done: int, total: int, name: str) -> None:
        if name:
            console.update(
                str(_("asking the server: {name} ({done} of {total})", name=name, done=done + 1, total=total))
            )

    async with Client(server.host) as client:
        library = services.library
        known_of = await behind(client, library, services.paths, wish.name, server.host)
        own = await asyncio.to_thread(own_rows_of, library, known_of.deployment)
        prover = Prover(client, lf, known, services.paths, extra, own, on_case)
        trained = await prover.trained(wish.name, known_of.trained, wish.said)
        console.update(str(_("asking LLaMA-Factory for its prompts …")))
        return prover, await prover.prove(wish.name, trained)


async def _mend(prover: Prover, found: Proof) -> Outcome:
    async with Client(prover.client.address) as client:
        return await dataclasses.replace(prover, client=client).mend(found)
