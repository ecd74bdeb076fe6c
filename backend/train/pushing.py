"""A push to a hub, looked at before anything starts: it leaves this machine, and fails only after a long merge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from backend.lf.checks import Check
from data.i18n import Message, _

HUB_TOKEN: Final = "HF_TOKEN"  # noqa: S105 - the name of a variable
_REPOSITORY: Final = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)
"""As huggingface_hub has it (utils/_validators.py, REPO_ID_REGEX)"""


def is_repository(text: str) -> bool:
    """Say whether a hub would take ``text`` as a repository: owner/name, or a name of one's own account."""
    return bool(_REPOSITORY.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def repository_words(text: str) -> tuple[Message, Message]:
    """Return what is wrong with a repository that is none, and what to do."""
    return (
        _("{name} is no repository of a hub", name=text),
        _("Write owner/name of letters, digits, -, _ and . (no - and no . at an end, no -- and no ..)."),
    )


def push_checks(repository: object, environ: Mapping[str, str]) -> Iterable[Check]:
    """Yield what a push to ``repository`` (the argument of an export) means, and what would make it fail."""
    if not repository:
        return
    text = str(repository)
    if not is_repository(text):
        yield Check("hub.name", "error", *repository_words(text))
        return
    if not environ.get(HUB_TOKEN):
        yield Check(
            "hub.token",
            "error",
            _("The push to {name} needs {variable}, which is not set", name=text, variable=HUB_TOKEN),
            _(
                "Set {variable} in the shell that starts Paddock, to a token that may write; or leave the push out.",
                variable=HUB_TOKEN,
            ),
        )
    yield Check("hub.push", "warning", push_words(text), _("Leave out export_hub_model_id to keep it here."))


def push_words(repository: str) -> Message:
    """Say that the model leaves this machine, and where to."""
    return _(
        "The model leaves this machine: it is pushed to {name} on the hub; a repository that is made new is public, "
        "unless your account says otherwise.",
        name=repository,
    )
