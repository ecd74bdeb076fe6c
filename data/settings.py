"""The settings: a TOML file, then the environment; every field documented, every value with its origin.

A frozen dataclass, not a pydantic model: the first frame needs the settings, and pydantic alone would cost
a third of the start of the app.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, cast, get_type_hints

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


def _setting(default: object, about: Message, choices: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - stands for any field type
    metadata = {"help": about, "choices": choices}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)  # pyright: ignore[reportUnknownVariableType, reportUnknownLambdaType, reportUnknownArgumentType] - dict or list as given
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. The name of the environment variable is PADDOCK_ and the field's name in capitals."""

    language: str = _setting("", _("Language of the interface: en or zh_CN; empty follows LANG."))
    theme: str = _setting(
        "paddock-dark",
        _("Theme of the app: paddock-dark, paddock-light or one of Textual's, e.g. nord or solarized-light."),
        THEMES,
    )
    remote: str = _setting(
        "auto",
        _("Frugal drawing for slow lines: auto (when SSH_CONNECTION is set), on or off."),
        ("auto", "on", "off"),
    )
    llamafactory_python: str = _setting(
        "", _("Python of the environment that has LLaMA-Factory; empty looks for one, the managed one first.")
    )
    ollama_host: str = _setting(
        "", _("Ollama server to use, as in OLLAMA_HOST; empty looks for one or starts a private one.")
    )
    ollama_binary: str = _setting(
        "", _("The ollama program of the private server; empty takes PATH, then the managed one.")
    )
    llama_cpp_dir: str = _setting(
        "",
        _(
            "Folder of your own llama.cpp: its llama-quantize makes further types (empty takes PATH, then Ollama's), "
            "its convert_hf_to_gguf.py converts what Paddock's converter does not know."
        ),
    )
    ollama_idle_minutes: int = _setting(
        30, _("The private Ollama ends itself after so many idle minutes; 0 means never.")
    )
    stop_grace_s: int = _setting(
        120, _("Seconds without any progress after which a graceful stop turns into a forced one.")
    )
    telemetry_interval_s: int = _setting(2, _("Seconds between two samples of GPUs and host while a job runs."))
    environment_keep: str = _setting(
        "", _("Further environment variables that jobs may see: names or prefixes ending in *, separated by commas.")
    )
    keys: dict[str, str] = _setting(  # noqa: RUF009 - _setting makes a field with a factory
        {}, _('Keys by action id, e.g. "job.stop" = "X"; see the help screen for the ids.')
    )


class LoadedSettings(NamedTuple):
    """The settings with where each value came from: "default", "file" or the environment variable's name."""

    values: Settings
    origins: Mapping[str, str]


def load_settings(path: Path, environ: Mapping[str, str] = os.environ) -> LoadedSettings:
    """Read ``path`` (missing is fine), then the environment.

    Raises RequestError for TOML that cannot be read, an unknown key, a wrong type or a wrong choice.
    """
    raw = _read(path)
    known = {f.name: f for f in dataclasses.fields(Settings)}
    hints = get_type_hints(Settings)
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
        values[name] = _checked(name, value, hints[name], known[name].metadata["choices"], str(path))
        origins[name] = "file"
    for name in known:
        variable = PREFIX + name.upper()
        text = environ.get(variable)
        if text is None or hints[name] not in (str, int):
            continue
        value: object = text
        if hints[name] is int:
            try:
                value = int(text)
            except ValueError:
                value = text
        values[name] = _checked(name, value, hints[name], known[name].metadata["choices"], variable)
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


def _checked(name: str, given: object, wanted: object, choices: tuple[str, ...], origin: str) -> object:
    value = cast("str | int | dict[str, object]", given)  # TOML; anything else fails the checks below
    remedy = _("Correct it, or remove it to get the default.")
    if wanted is str:
        good, expected = isinstance(value, str), _("text")
        if name == "language" and isinstance(value, str) and value:  # many spellings mean the same one
            good, choices = is_known(value), tuple(LANGUAGES)
        elif choices and isinstance(value, str):
            good = value in choices
        if choices:
            expected = _("one of {names}", names=", ".join(choices))
            near = _near(str(value), choices)
            remedy = _("Did you mean {name}? Else remove it to get the default.", name=near) if near else remedy
    elif wanted is int:
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
    hints = get_type_hints(Settings)
    values = Settings()
    for each in dataclasses.fields(Settings):
        value: object = getattr(values, each.name)
        default = f"`{value}`" if isinstance(value, int) else f'`"{value}"`' if isinstance(value, str) else "`{}`"
        variable = f"`{PREFIX}{each.name.upper()}`" if hints[each.name] in (str, int) else "–"
        lines.append(f"| `{each.name}` | {default} | {variable} | {each.metadata['help']} |")
    return "\n".join(lines) + "\n"
