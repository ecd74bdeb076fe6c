"""Whether a Modelfile that a person wrote can go to Ollama: what Ollama itself would find only after hours of work."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from backend.gotemplate import TemplateError
from backend.ollama.modelfile import NOT_TAKEN, Modelfile, mistake
from backend.parity.gochat import GoChat
from data.errors import RequestError
from data.i18n import _


def check_written(written: Modelfile, name: str) -> None:
    """Raise RequestError with the place in the Modelfile ``name`` of the first thing that cannot be deployed."""
    if not written.commands:
        raise mistake(name, 1, 1, _("There is no command in it."), _("Write one, or leave the Modelfile out."))
    wrong = next((command for command in written.commands if command.name in NOT_TAKEN), None)
    if wrong is not None:
        raise mistake(
            name,
            wrong.line,
            wrong.column,
            _("{command} cannot be deployed.", command=wrong.name.upper()),
            _("Take the line out. TEMPLATE, SYSTEM, PARAMETER, LICENSE and MESSAGE go with the weights."),
        )
    check_template(written, name)


def check_sources(written: Modelfile, name: str, weights: Sequence[Path], folder: Path) -> None:
    """Raise RequestError for a second FROM, and for one that names other weights: they are not chosen here.

    It may name one of ``weights``, whose first is the one to be told, relative to ``folder``, or ``folder`` itself, as
    LLaMA-Factory writes it.
    """
    taken = {_plain(folder), *map(_plain, weights)}
    for at, command in enumerate(command for command in written.commands if command.name == "from"):
        if at:
            why = _("This is a second FROM; the weights are those of one file.")
            raise mistake(name, command.line, command.column, why, _("Take the line out."))
        # pathlib's expanduser raises where there is no such user
        if _plain(folder / os.path.expanduser(command.value)) in taken:  # noqa: PTH111
            continue
        raise mistake(
            name,
            command.line,
            command.column,
            _(
                "FROM names {source}, but the weights are those of {file}; they are not chosen here.",
                source=command.value,
                file=weights[0].name,
            ),
            _("Take the line out. `paddock deploy` names the weights as WEIGHTS; Export chooses them under From."),
        )


def moved(text: str, former: str, now: str) -> str:
    """Return the text of a Modelfile with the FROM lines that name ``former`` naming ``now``; all else stays."""
    own = re.compile(rf"^([ \t]*from[ \t]+){re.escape(former)}[ \t]*$", re.IGNORECASE | re.MULTILINE)
    return own.sub(lambda found: f"{found[1]}{now}", text)


def check_template(written: Modelfile, name: str) -> None:
    """Raise RequestError with line and column of a mistake in the TEMPLATE that counts."""
    command = next((command for command in reversed(written.commands) if command.name == "template"), None)
    if command is None:
        return
    try:
        GoChat(command.value)
    except TemplateError as error:
        line, column = command.value_line + error.line - 1, error.column
        if error.line == 1:
            column += command.value_column - 1
        raise mistake(name, line, column, error.why, error.hint) from error


def _plain(path: Path) -> str:
    return os.path.normpath(path)


def check_go(template: str) -> None:
    """Raise RequestError with line and column of a mistake in a template that stands in a file of its own."""
    try:
        GoChat(template)
    except TemplateError as error:
        raise RequestError(error.title, error.detail, error.hint) from error
