"""``paddock`` itself: its commands, its way into the app, and the one place where every error ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from data.errors import RequestError
from data.i18n import _
from tui.commands.form import Group, argument, command, common_options, option, refused
from tui.commands.opening import open_workspace
from tui.commands.session import Session

_COMMANDS: Final = {
    "demo": ("tui.commands.demo:demo", _("Train, merge, convert, deploy and ask a small real model.")),
    "setup": ("tui.commands.setup:setup", _("Install what is missing: LLaMA-Factory, Ollama.")),
    "doctor": ("tui.commands.doctor:doctor", _("Say what is there, what is missing, and the remedy.")),
    "gpus": ("tui.commands.gpus:gpus", _("Show the GPUs, and who uses them.")),
    "jobs": ("tui.commands.jobs:jobs", _("List, watch, stop, resume and remove jobs.")),
    "train": ("tui.commands.train:train", _("Train with LLaMA-Factory's own YAML.")),
    "export": ("tui.commands.train:export", _("Merge an adapter into its model.")),
    "convert": ("tui.commands.convert:convert", _("Convert a Hugging Face model to GGUF, without torch.")),
    "templates": ("tui.commands.templates:templates", _("List the chat templates of LLaMA-Factory.")),
    "gguf": ("tui.commands.gguf:gguf", _("Look into GGUF files, and check them.")),
    "deploy": ("tui.commands.deploy:deploy", _("Put a model into Ollama.")),
    "verify": ("tui.commands.verify:verify", _("Prove that Ollama sends a model what it was trained on.")),
    "models": ("tui.commands.models:models", _("List, show, fetch, copy, remove and unload models of Ollama.")),
    "chat": ("tui.commands.chat:chat", _("Talk with a model.")),
}
_ABOUT: Final = _(
    "One terminal for the life of a fine-tuned language model: dataset, training with LLaMA-Factory, merge, GGUF, "
    "Ollama, chat.\n\n"
    "Without a command the app opens. WORKSPACE is the directory that holds data/ and saves/; the default is the "
    "current one."
)


class Root(Group):
    """The group that also takes a directory: ``paddock WORKSPACE`` opens the app there."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line."""
        return [str(_("[OPTIONS] [WORKSPACE | COMMAND …]"))]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a first word that is no command for the workspace, if it looks like a path."""
        word = args[0]
        if word not in self.table and (Path(word).is_dir() or os.sep in word or word in (os.curdir, os.pardir)):
            return "open", open_app, args
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, word: str) -> RequestError:
        """Return the error for a word that is neither a command nor a directory."""
        near = super().unknown(ctx, word)
        return RequestError(
            _("{word} is neither a command nor a directory", word=word),
            near.detail,
            near.hint,
        )


@command("open", _("Open the app in a workspace."), argument("workspace", path=True))
def open_app(session: Session, workspace: Path) -> int:
    """Open the app in ``workspace``."""
    return open_workspace(session, workspace)


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - asked for rarely

        number = version("llama-paddock")
        console = ctx.ensure_object(Session).console
        console.emit({"version": number})
        console.say(f"paddock {number}")
        ctx.exit(0)


def _main(ctx: click.Context) -> int | None:
    if ctx.invoked_subcommand is None:
        return open_workspace(ctx.ensure_object(Session))
    return None


ROOT: Final = Root(
    "paddock",
    _COMMANDS,
    about=_ABOUT,
    invoke_without_command=True,
    callback=click.pass_context(_main),
    params=[
        option("--version", is_flag=True, expose_value=False, callback=_version, about=_("Show the version.")),
        *common_options(),
    ],
)


def run(words: Sequence[str]) -> int:
    """Run the command that ``words`` ask for; every error ends here as text or JSON, and as an exit status."""
    session = Session()
    session.choose_language()
    _look_ahead(words, session)
    return session.end(lambda: _invoke(words, session))


def _invoke(words: Sequence[str], session: Session) -> int:
    """Let click find the command and call it; its own complaints become ours."""
    try:
        # Not ROOT.main: that turns a closed pipe into status 1, and prints errors in forms of its own.
        with ROOT.make_context("paddock", list(words), obj=session) as context:
            status: object = ROOT.invoke(context)
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.UsageError as error:
        raise refused(error) from error
    except click.ClickException as error:
        raise RequestError(error.format_message()) from error
    return status if isinstance(status, int) else 0


def _look_ahead(words: Sequence[str], session: Session) -> None:
    """Note --json and --lang before click reads the words, so that its help and complaints have the right form."""
    known = list(words)[: list(words).index("--")] if "--" in words else list(words)
    session.console.as_json = "--json" in known
    for position, word in enumerate(known):
        name, equals, value = word.partition("=")
        if name == "--lang":
            value = value if equals else next(iter(known[position + 1 :]), "")
            if value.lower() in ("en", "zh", "zh_cn"):
                session.use_language(value)
