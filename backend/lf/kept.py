"""Answers of bridge scripts, kept as files: what was asked once is not asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backend.lf.bridged import ask
from backend.lf.find import LlamaFactory
from data.errors import AppError
from data.files import write_atomic
from data.i18n import Message, _
from data.jsontext import parse_json

Made = TypeVar("Made")


def recall(file: Path, parse: Callable[[object], Made]) -> Made | None:
    """Return what ``parse`` makes of a kept answer; None where there is none, or one that it does not understand."""
    try:
        return parse(parse_json(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def ask_and_keep(
    lf: LlamaFactory,
    script: str,
    what: Message,
    file: Path,
    parse: Callable[[object], Made],
    question: object = None,
) -> Made:
    """Ask ``bridge/SCRIPT`` (10 to 30 s), keep its answer in ``file`` and return what ``parse`` makes of it.

    Raises AppError with the title ``what``; then nothing is kept.
    """
    raw = ask(lf, script, what, question)
    try:
        made = parse(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AppError(what, f"{lf.python}: {error}", _("paddock doctor checks the installation.")) from error
    write_atomic(file, json.dumps(raw, ensure_ascii=False, sort_keys=True))
    return made
