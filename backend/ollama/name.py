"""Names of models as Ollama writes them: [host/][namespace/]model[:tag]."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final

from data.errors import RequestError
from data.i18n import _

DEFAULT_HOST: Final = "registry.ollama.ai"
DEFAULT_NAMESPACE: Final = "library"
DEFAULT_TAG: Final = "latest"
# Ollama types/model/name.go: the first character, then which others, and at most how many.
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9_.-]+")
_DASHES: Final = re.compile(r"-{2,}")
_TAG: Final = 5
"""Hexadecimal digits: one in a million for two titles of the same letters"""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A valid name of a model with nothing left out."""

    model: str
    tag: str = DEFAULT_TAG
    namespace: str = DEFAULT_NAMESPACE
    host: str = DEFAULT_HOST

    def __str__(self) -> str:
        """Return the shortest form that means the same, with its tag, as ``ollama list`` shows it."""
        parts: list[str] = []
        if self.host.lower() != DEFAULT_HOST:
            parts = [self.host, self.namespace]
        elif self.namespace.lower() != DEFAULT_NAMESPACE:
            parts = [self.namespace]
        return "/".join([*parts, f"{self.model}:{self.tag}"])

    def tagged(self, tag: str) -> ModelName:
        """Return the same model under another tag."""
        return replace(self, tag=tag)

    def same_as(self, other: str) -> bool:
        """Say whether ``other`` names the same model; Ollama does not distinguish capitals."""
        try:
            return str(parse_name(other)).lower() == str(self).lower()
        except RequestError:
            return False


def parse_name(text: str) -> ModelName:
    """Read a name and check each part as Ollama does; raises RequestError that says which part is wrong."""
    name = text.strip()
    tag = DEFAULT_TAG
    if name.rfind(":") > name.rfind("/"):
        name, _colon, tag = name.rpartition(":")
    parts = name.split("/")
    if len(parts) > 3:
        raise _wrong(text, _("It has more than three parts between slashes."))
    model = parts[-1]
    namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
    host = parts[0] if len(parts) > 2 else DEFAULT_HOST
    for part, form, what in (
        (host, _HOST, _("host")),
        (namespace, _NAMESPACE, _("namespace")),
        (model, _PART, _("model")),
        (tag, _PART, _("tag")),
    ):
        if form.fullmatch(part) is None:
            raise _wrong(text, _("{part} cannot be the {what}.", part=repr(part), what=what))
    return ModelName(model, tag, namespace, host)


def model_name(title: str) -> str:
    """Return ``title`` as a name that Ollama takes, which is of ASCII alone.

    Letters lose their marks. Where whole letters or digits are lost, as of Chinese, a short tag of ``title`` stands
    for them, the same each time: no two titles get one name by that.
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", title) if not unicodedata.combining(one))
    name = _DASHES.sub("-", _NOT_IN_A_NAME.sub("-", plain.lower())).strip("-.")
    if any(one.isalnum() and not one.isascii() for one in plain) or not name:
        known = unicodedata.normalize("NFC", title).encode("utf-8", "surrogateescape")
        name = f"{name or 'model'}-{hashlib.sha256(known).hexdigest()[:_TAG]}"
    return name


def _wrong(text: str, why: object) -> RequestError:
    return RequestError(
        _("{text} is not a name that Ollama accepts", text=repr(text)),
        _("{why}", why=why),
        _(
            "Write [namespace/]model[:tag]: letters, digits, - and _ (in model and tag also dots), each part beginning "
            "with a letter or digit, at most 80 long."
        ),
    )
