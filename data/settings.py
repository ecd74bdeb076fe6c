"""The settings: a TOML file, then the environment; every field documented, every value with its origin.

A named tuple, not a pydantic model: the first frame needs the settings, and pydantic alone would cost a third of the
start of the app.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

from data.errors import RequestError
from data.i18n import LANGUAGES, Message, _, is_known

PREFIX: Final = "PADDOCK_"
THEMES: Final = (
    "paddock-dark",
    "paddock-light",
    "ansi-dark",
    "ansi-light",
    "atom-one-dark",
    "atom-one-light",
    "catppuccin-frappe",
    "catppuccin-latte",
    "catppuccin-macchiato",
    "catppuccin-mocha",
    "dracula",
    "flexoki",
    "gruvbox",
    "monokai",
    "nord",
    "rose-pine",
    "rose-pine-dawn",
    "rose-pine-moon",
    "solarized-dark",
    "solarized-light",
    "textual-dark",
    "textual-light",
    "tokyo-night",
)
"""Ours, then Textual's own: written down, since commands and the doctor know no Textual"""


class Settings(NamedTuple):
    """All settings. The name of the environment variable is PADDOCK_ and the field's name in capitals."""

    language: str = ""
    theme: str = "paddock-dark"
    remote: str = "auto"
    llamafactory_python: str = ""
    ollama_host: str = ""
    ollama_binary: str = ""
    llama_cpp_dir: str = ""
    ollama_idle_minutes: int = 30
    stop_grace_s: int = 120
    telemetry_interval_s: int = 2
    environment_keep: str = ""
    keys: Mapping[str, str] = MappingProxyType({})


ABOUT: Final[Mapping[str, Message]] = {
    "language": _("Language of the interface: en or zh_CN; empty follows LANG."),
    "theme": _("Theme of the app: paddock-dark, paddock-light or one of Textual's, e.g. nord or solarized-light."),
    "remote": _("Frugal drawing for slow lines: auto (when SSH_CONNECTION is set), on or off."),
    "llamafactory_python": _(
        "Python of the environment that has LLaMA-Factory; empty looks for one, the managed one first."
    ),
    "ollama_host": _("Ollama server to use, as in OLLAMA_HOST; empty looks for one or starts a private one."),
    "ollama_binary": _("The ollama program of the private server; empty takes PATH, then the managed one."),
    "llama_cpp_dir": _(
        "Folder of your own llama.cpp: its llama-quantize makes further types (empty takes PATH, then Ollama's), "
        "its convert_hf_to_gguf.py converts what Paddock's converter does not know."
    ),
    "ollama_idle_minutes": _("The private Ollama ends itself after so many idle minutes; 0 means never."),
    "stop_grace_s": _("Seconds without any progress after which a graceful stop turns into a forced one."),
    "telemetry_interval_s": _("Seconds between two samples of GPUs and host while a job runs."),
    "environment_keep": _(
        "Further environment variables that jobs may see: names or prefixes ending in *, separated by commas."
    ),
    "keys": _('Keys by action id, e.g. "job.stop" = "X"; see the help screen for the ids.'),
}
"""What each setting does"""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {"theme": THEMES, "remote": ("auto", "on", "off")}
"""The values that a setting can have, where they are few"""


class LoadedSettings(NamedTuple):
    """The settings with where each value came from: "default", "file" or the environment variable's name."""

    values: Settings
    origins: Mapping[str, str]


def load_settings(path: Path, environ: Mapping[str, str] = os.environ) -> LoadedSettings:
    """Read ``path`` (missing is fine), then the environment.

    Raises RequestError for TOML that cannot be read, an unknown key, a wrong type or a wrong choice.
    """
    raw = _read(path)
    known: Mapping[str, object] = Settings._field_defaults
    values: dict[str, object] = {}
    origins = dict.fromkeys(known, "default")
    for name, value in raw.items():
        if name not in known:
            near = _near(name, known)
            raise RequestError(
                _("Unknown setting {name}", name=name),
                _("{file}. Did you mean {name}?", file=str(path), name=near) if near else str(path),
                _("Known settings: {names}", names=", ".join(sorted(known))),
            )
        values[name] = _checked(name, value, str(path))
        origins[name] = "file"
    for name in known:
        variable = PREFIX + name.upper()
        text = environ.get(variable)
        if text is None or not isinstance(known[name], (str, int)):
            continue
        value: object = text
        if isinstance(known[name], int):
            try:
                value = int(text)
            except ValueError:
                value = text
        values[name] = _checked(name, value, variable)
        origins[name] = variable
    return LoadedSettings(Settings(**values), origins)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    import tomllib  # noqa: PLC0415 - most people never write the file, and each start is faster by that

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RequestError(
            _("The settings cannot be read"),
            f"{path}: {error}",
            _("Mend or remove the file; every setting has a default."),
        ) from error


def _near(word: str, names: Iterable[str]) -> str:
    """Return the one of ``names`` that was probably meant; "" where none is near."""
    import difflib  # noqa: PLC0415 - for mistakes only

    return next(iter(difflib.get_close_matches(word.lower(), list(names), n=1)), "")


def _checked(name: str, given: object, origin: str) -> object:
    default, choices = Settings._field_defaults[name], CHOICES.get(name, ())
    value = cast("str | int | dict[str, object]", given)  # TOML; anything else fails the checks below
    remedy = _("Correct it, or remove it to get the default.")
    if isinstance(default, str):
        good, expected = isinstance(value, str), _("text")
        if name == "language" and isinstance(value, str) and value:  # many spellings mean the same one
            good, choices = is_known(value), tuple(LANGUAGES)
        elif choices and isinstance(value, str):
            good = value in choices
        if choices:
            expected = _("one of {names}", names=", ".join(choices))
            near = _near(str(value), choices)
            remedy = _("Did you mean {name}? Else remove it to get the default.", name=near) if near else remedy
    elif isinstance(default, int):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        expected = _("a whole number of 0 or more")
    else:
        table = value if isinstance(value, dict) else {"": None}
        good, expected = all(isinstance(item, str) for item in table.values()), _("a table of text")
    if not good:
        raise RequestError(
            _("The setting {name} has a wrong value", name=name),
            _("{origin}: {value} is not {expected}.", origin=origin, value=f"{value!r}", expected=expected),
            remedy,
        )
    return value


def reference() -> str:
    """Return the settings reference of the user guide, as Markdown, in the active language."""
    lines = [f"| {_('setting')} | {_('default')} | {_('variable')} | {_('what it does')} |", "|---|---|---|---|"]
    for name, value in Settings._field_defaults.items():
        default = f"`{value}`" if isinstance(value, int) else f'`"{value}"`' if isinstance(value, str) else "`{}`"
        variable = f"`{PREFIX}{name.upper()}`" if isinstance(value, (str, int)) else "–"
        lines.append(f"| `{name}` | {default} | {variable} | {ABOUT[name]} |")
    return "\n".join(lines) + "\n"
