"""Messages in the reader's language: gettext from the standard library, templates filled late.

A message is a template (English, the gettext id) and its values, never a filled f-string: so that it can be
stored in a job folder in English and still be shown in Chinese by whoever reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

DOMAIN: Final = "paddock"
LOCALE_DIR: Final = Path(__file__).parent / "locale"
LANGUAGES: Final = {"en": "English", "zh_CN": "中文"}
_CHINESE: Final = ("zh", "中", "chinese")
_ENGLISH: Final = ("en", "英")

_translated: Callable[[str], str] = str
"""Gives a template in the active language; in English it is itself"""
_language: str = "en"


def language_from_environment(environ: Mapping[str, str] = os.environ) -> str:
    """Return the key of ``LANGUAGES`` that the locale variables ask for; "en" where they ask for none of them."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environ.get(name, "")
        if value:
            return "zh_CN" if value.lower().startswith("zh") else "en"
    return "en"


def normalise(language: str) -> str:
    """Return the key of ``LANGUAGES`` for what a person writes ("zh", "zh-CN", "中文", "en_GB.UTF-8")."""
    return "zh_CN" if language.lower().startswith(_CHINESE) else "en"


def is_known(language: str) -> bool:
    """Say whether what a person writes means one of ``LANGUAGES``."""
    return language.lower().startswith((*_CHINESE, *_ENGLISH))


def activate(language: str) -> str:
    """Make ``language`` the one that messages are shown in from now on; return its key in ``LANGUAGES``."""
    global _translated, _language  # noqa: PLW0603 - one language a process, like the locale itself
    _language = normalise(language)
    if _language == "en":
        _translated = str
    else:
        import gettext  # noqa: PLC0415 - English starts without

        _translated = gettext.translation(DOMAIN, LOCALE_DIR, languages=[_language], fallback=True).gettext
    return _language


def active_language() -> str:
    """Return the key of the language in use."""
    return _language


class Message:
    """A template with its values; ``str()`` gives it in the active language, ``english()`` as it is stored.

    Values that are messages themselves are shown in the same language.
    """

    __slots__ = ("template", "values")

    def __init__(self, template: str, values: Mapping[str, object] | None = None) -> None:
        self.template = template
        self.values: dict[str, object] = dict(values or {})

    def __str__(self) -> str:
        return self._fill(_translated(self.template) if self.template else "")

    def __repr__(self) -> str:
        return f"Message({self.template!r}, {self.values!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.template, self.values) == (other.template, other.values)

    def __hash__(self) -> int:
        return hash(self.template)

    def __bool__(self) -> bool:
        return bool(self.template)

    def english(self) -> str:
        """Return the message as it goes into files and JSON."""
        values = {k: v.english() if isinstance(v, Message) else v for k, v in self.values.items()}
        return _format(self.template, values)

    def _fill(self, text: str) -> str:
        return _format(text, self.values)

    def as_json(self) -> dict[str, object]:
        """Return ``{"template": str, "values": {name: text}}``, which ``from_json`` reads back."""
        values: dict[str, object] = {
            k: v.as_json() if isinstance(v, Message) else v if isinstance(v, (int, float)) else str(v)
            for k, v in self.values.items()
        }
        return {"template": self.template, "values": values}

    @classmethod
    def from_json(cls, value: object) -> Message:
        """Read what ``as_json`` wrote; a plain string becomes a message without a translation."""
        if isinstance(value, str):
            return verbatim(value)
        if not isinstance(value, dict):
            return cls("")
        entry = cast("dict[str, object]", value)
        template, values = entry.get("template"), entry.get("values")
        if not isinstance(template, str) or not isinstance(values, dict):
            return cls("")
        named = cast("dict[str, object]", values)
        return cls(template, {k: cls.from_json(v) if _is_message(v) else v for k, v in named.items()})


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "template" in value


def _format(template: str, values: Mapping[str, object]) -> str:
    if not values:
        return template
    try:
        return template.format_map(values)
    except (KeyError, ValueError, IndexError, AttributeError):
        return template  # a wrong translation must not hide the message itself


def _(template: str, **values: object) -> Message:
    """Mark ``template`` for translation and return the message; ``{name}`` in it takes ``values[name]``."""
    return Message(template, values)


def verbatim(text: str) -> Message:
    """Return a message that is shown as it is: a path, a log line, an answer of another program."""
    return Message("{text}", {"text": text}) if text else Message("")


def lines_of(messages: Sequence[Message]) -> Message:
    """Join ``messages`` by line ends, so that each can still be translated."""
    values: dict[str, object] = {f"m{index}": message for index, message in enumerate(messages)}
    return Message("\n".join(f"{{{name}}}" for name in values), values)
