"""Click's commands, groups and options, with texts that are translated when they are shown, not when declared."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from data.errors import RequestError
from data.i18n import Message, _
from tui.commands.help_page import HelpPage
from tui.commands.session import Session

P = ParamSpec("P")
R = TypeVar("R")
_JSON_HELP: Final = _("Print JSON for programs instead of text.")
_LANGUAGE_HELP: Final = _("Language of what is printed.")
_PLAIN_HELP: Final = _("Print line by line, without colours; automatic where there is no terminal.")


class Option(click.Option):
    """An option whose help is a message."""

    def __init__(self, *declarations: Any, about: Message, **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*declarations, **settings)
        self.about = about

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the two columns of the help."""
        self.help = str(self.about)
        return super().get_help_record(ctx)


class _Context(click.Context):
    """Writes help pages in our own form."""

    formatter_class = HelpPage


class _Texts(click.Command):
    """What commands and groups share: translated help, extra words refused in our own form."""

    context_class = _Context
    about: Message = Message("")

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line."""
        self.options_metavar = str(_("[OPTIONS]"))
        return super().collect_usage_pieces(ctx)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return --help, with our words."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = str(_("Show this help."))
        return option

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the line in a group's list of commands."""
        return str(self.about)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how the words go together."""
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix=str(_("Usage:")) + " ")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does."""
        with formatter.indentation():
            for paragraph in str(self.about).split("\n\n"):
                formatter.write_paragraph()
                formatter.write_text(paragraph)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and the commands of a group."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = [record for each in options if (record := each.get_help_record(ctx)) is not None]
        if records:
            with formatter.section(str(_("Options"))):
                formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Command(_Texts):
    """A command; words that it has no use for are an error in our own form."""

    def __init__(self, name: str | None, *, about: Message, **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(name, **settings)
        self.about = about

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first paragraph."""
        return str(self.about).split("\n\n", maxsplit=1)[0]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words behind the command."""
        ctx.allow_extra_args = True
        try:
            super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser does not always say which command it was
            raise
        if ctx.args and not ctx.resilient_parsing:
            raise RequestError(
                _("{words} is too much here", words=" ".join(ctx.args)),
                "",
                _("`{command} --help` shows how it is used.", command=ctx.command_path),
            )
        return ctx.args


class Group(_Texts, click.Group):
    """A group whose commands are imported when they are called: ``table`` has module:attribute and the help line."""

    def __init__(
        self,
        name: str | None,
        table: Mapping[str, tuple[str, Message]],
        *,
        about: Message,
        **settings: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(name, **settings)
        self.about = about
        self.table = table

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line."""
        self.subcommand_metavar = str(_("COMMAND [ARGUMENTS]…"))
        return super().collect_usage_pieces(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in self.table:
            return None
        module, _colon, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands from the table, so that help imports none of them."""
        with formatter.section(str(_("Commands"))):
            formatter.write_dl([(name, str(about)) for name, (_module, about) in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names."""
        if self.get_command(ctx, args[0]) is None:
            raise self.unknown(ctx, args[0])
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, word: str) -> RequestError:
        """Return the error for a word that is no command."""
        close = difflib.get_close_matches(word, self.table, n=1)
        return RequestError(
            _("There is no command {command} {word}", command=ctx.command_path, word=word),
            _("Did you mean {name}?", name=close[0]) if close else "",
            _("`{command} --help` lists the commands.", command=ctx.command_path),
        )


Decorator = Callable[[Callable[P, R]], Callable[P, R]]


def _use_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).console.as_json = True


def _use_plain(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).console.plain = True


def _use_language(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value:
        ctx.ensure_object(Session).use_language(value)


def common_options() -> list[click.Parameter]:
    """Return --json and --lang, which every command has."""
    return [
        Option(["--json"], is_flag=True, expose_value=False, is_eager=True, callback=_use_json, about=_JSON_HELP),
        Option(
            ["--lang"],
            type=click.Choice(["en", "zh", "zh_CN"], case_sensitive=False),
            metavar="[en|zh]",  # zh_CN is understood, too; click would show it in small letters
            expose_value=False,
            is_eager=True,
            callback=_use_language,
            about=_LANGUAGE_HELP,
        ),
    ]


def plain_option() -> click.Parameter:
    """Return --plain, of the commands that follow something."""
    return Option(["--plain"], is_flag=True, expose_value=False, is_eager=True, callback=_use_plain, about=_PLAIN_HELP)


def command(name: str, about: Message, *parameters: click.Parameter) -> Callable[[Callable[..., int | None]], Command]:
    """Turn a function into a command; it gets the session and then its parameters, and returns the exit status."""

    def decorate(function: Callable[..., int | None]) -> Command:
        return Command(name, about=about, callback=click.pass_obj(function), params=[*parameters, *common_options()])

    return decorate


def argument(
    name: str, *, many: bool = False, optional: bool = False, path: bool = False, label: str = ""
) -> click.Argument:
    """Return an argument: a text, or with ``path`` a path; ``many`` takes one or more of them."""
    settings: dict[str, Any] = {"nargs": -1} if many else {}
    if path:
        settings["type"] = click.Path(path_type=Path)
    return click.Argument([name], required=not optional, metavar=label or name.upper(), **settings)


def option(*declarations: str, about: Message, **settings: Any) -> Option:  # noqa: ANN401 - click's own
    """Return an option with its help; ``settings`` are those of ``click.Option``."""
    return Option(declarations, about=about, **settings)


def flag(*declarations: str, about: Message) -> Option:
    """Return an option without a value."""
    return Option(declarations, is_flag=True, about=about)


def wait_option(*, default: bool) -> Option:
    """Return --wait/--no-wait: follow what was started, or return at once."""
    about = _("Follow it to its end (the default), or return at once.")
    if not default:
        about = _("Follow it to its end, or return at once (the default).")
    return Option(["--wait/--no-wait"], default=default, about=about)


def thinking_option() -> Option:
    """Return --thinking: what the training had for enable_thinking; None where nobody said."""
    about = _("Whether the training had enable_thinking; by default as recorded, else on.")
    return Option(["--thinking"], type=click.Choice(["on", "off"]), about=about)


def cutoff_option() -> Option:
    """Return --cutoff-len: that of the training; None where nobody said."""
    about = _("cutoff_len of the training: num_ctx must not be smaller.")
    return Option(["--cutoff-len"], type=click.IntRange(min=1), metavar="N", about=about)


def check_option() -> Option:
    """Return --check/--no-check: see whether a merge has taken; None where nobody said."""
    about = _(
        "See whether the merge has taken, as a job behind it (the default where an adapter is merged), or do not."
    )
    return Option(["--check/--no-check"], default=None, about=about)


def refused(error: click.UsageError) -> RequestError:
    """Return click's own complaint in the form of all our errors."""
    path = error.ctx.command_path if error.ctx else "paddock"
    hint = _("`{command} --help` shows how it is used.", command=path)
    match error:
        case click.NoSuchOption():
            near = _("Did you mean {name}?", name=error.possibilities[0]) if error.possibilities else ""
            return RequestError(_("There is no option {name}", name=error.option_name), near, hint)
        case click.MissingParameter():
            return RequestError(_("{name} is missing", name=_name(error)), "", hint)
        case click.BadOptionUsage():
            return RequestError(_("The option {name} needs a value", name=error.option_name), "", hint)
        case click.BadParameter():
            return RequestError(_("{name} has a wrong value", name=_name(error)), _expected(error), hint)
        case _:
            return RequestError(_("The command line is not understood"), error.message, hint)


def _name(error: click.BadParameter) -> str:
    param = error.param
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return str(error.param_hint or (param.human_readable_name if param else ""))


def _expected(error: click.BadParameter) -> Message | str:
    kind = error.param.type if error.param else None
    choices: Sequence[object] = kind.choices if isinstance(kind, click.Choice) else ()
    if choices:
        return _("It has to be one of: {names}", names=", ".join(map(str, choices)))
    if isinstance(kind, (click.IntRange, click.FloatRange)) and kind.min is not None:
        return _("It has to be a number of at least {least}.", least=f"{kind.min:g}")
    return _("It has to be a number.") if kind in (click.INT, click.FLOAT) else error.message
