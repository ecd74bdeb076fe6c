"""LLaMA-Factory's arguments: read a YAML or JSON file with overrides, check names and types."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from backend.lf import yamlform
from backend.lf.checks import Check
from backend.lf.command import Verb
from backend.lf.schema import Argument, Schema
from data.errors import RequestError
from data.i18n import Message, _, verbatim
from data.jsontext import parse_json

Arguments = dict[str, object]

_LIMIT_BYTES: Final = 4 << 20  # no list of arguments is longer; a model named by mistake is
SECRETS: Final[Mapping[str, str]] = {
    "hf_hub_token": "HF_TOKEN",
    "hub_token": "HF_TOKEN",
    "ms_hub_token": "MODELSCOPE_API_TOKEN",
    "om_hub_token": "OM_HUB_TOKEN",
    "swanlab_api_key": "SWANLAB_API_KEY",
}
"""Arguments that hold a secret, and the environment variable that carries it instead."""


def load_arguments(path: Path, overrides: Sequence[str] = ()) -> Arguments:
    """Read ``path`` (.yaml, .yml or .json) and apply ``key=value`` overrides, as ``llamafactory-cli`` does.

    Values of overrides are YAML; dotted keys reach into mappings (OmegaConf, ``from_cli`` and ``merge``).
    Raises RequestError for a file that is missing, malformed or no mapping, and for an override without a value.
    """
    values = _read(path)
    for override in overrides:
        apply_override(values, override)
    return values


def apply_override(values: Arguments, override: str) -> None:
    """Set ``key=value`` in ``values``; raises RequestError where it is not of that form."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key or key.startswith("-"):
        raise RequestError(
            _("{override} is not an override", override=override),
            _("Overrides have the form key=value, e.g. learning_rate=1e-4."),
            _("Write it without dashes and with an equals sign."),
        )
    try:
        value = yamlform.load(text) if text.strip() else None
    except yamlform.YamlError as error:
        raise RequestError(
            _("The value of {key} cannot be read", key=key),
            str(error),
            _("Values are YAML; quote text that holds special characters, e.g. {key}='\"…\"'.", key=key),
        ) from error
    _set(values, key.split("."), value)


def known_names(args: Mapping[str, object], schema: Schema, verb: Verb) -> list[Check]:
    """Return a check for each key of ``args`` that LLaMA-Factory does not know, with the name that was meant.

    An error where the schema is that of the installed version, else a warning.
    """
    found: list[Check] = []
    for name in args:
        if name in schema.arguments(verb):
            continue
        nearest = schema.nearest(name, verb)
        other: Verb = "export" if verb == "train" else "train"
        if name in schema.arguments(other):
            remedy = _("It belongs to {verb}; remove it here.", verb=other)
        elif nearest is not None:
            remedy = _("Did you mean {name}?", name=nearest)
        else:
            remedy = _("Remove it, or correct its name.")
        message = _("LLaMA-Factory {version} has no argument {name}", version=schema.llamafactory, name=name)
        found.append(Check("argument.unknown", "error" if schema.exact else "warning", message, remedy))
    return found


def right_types(args: Mapping[str, object], schema: Schema, verb: Verb) -> list[Check]:
    """Return a check for each value whose type or choice LLaMA-Factory would refuse, or take for something else."""
    found: list[Check] = []
    level = "error" if schema.exact else "warning"
    for name, value in args.items():
        argument = schema.arguments(verb).get(name)
        if argument is None:
            continue
        problem = _problem(argument, value)
        if problem is not None:
            found.append(Check("argument.type", level, *problem))
    return found


def no_secrets(args: Mapping[str, object]) -> list[Check]:
    """Return an error for each secret that is written out: it would end in the job folder and in output_dir."""
    return [
        Check(
            "argument.secret",
            "error",
            _("{name} holds a secret, and arguments are kept in files", name=name),
            _("Remove it and set {variable} in the environment instead.", variable=variable),
        )
        for name, variable in SECRETS.items()
        if args.get(name)
    ]


def _read(path: Path) -> Arguments:
    try:
        value = _parse(path)
    except FileNotFoundError as error:
        raise RequestError(
            _("The configuration does not exist"),
            str(path),
            _("Give the path of a YAML or JSON file with LLaMA-Factory's arguments."),
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # JSON, YAML and UTF-8 errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RequestError(
            _("The configuration cannot be read"),
            f"{path}: {reason}",
            _("It has to be a YAML or JSON file with LLaMA-Factory's arguments, as key: value."),
        ) from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in cast("dict[object, object]", value)):
        raise RequestError(
            _("The configuration is not a list of arguments"),
            _("{path} holds no mapping with names as its keys.", path=path),
            _("It has to be a YAML or JSON file with LLaMA-Factory's arguments, as key: value."),
        )
    return cast("Arguments", value)


def _parse(path: Path) -> object:
    with path.open("rb") as stream:
        raw = stream.read(_LIMIT_BYTES + 1)
    if len(raw) > _LIMIT_BYTES:
        raise RequestError(
            _("The configuration cannot be read"),
            _("{path}: {reason}", path=path, reason=_("larger than {limit} MiB", limit=_LIMIT_BYTES >> 20)),
            _("It has to be a YAML or JSON file with LLaMA-Factory's arguments, as key: value."),
        )
    text = raw.decode("utf-8-sig")
    return parse_json(text) if path.suffix == ".json" else yamlform.load(text)


def _set(values: Arguments, keys: list[str], value: object) -> None:
    """Set a dotted key; mappings are merged, everything else is replaced."""
    for key in keys[:-1]:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = {}
            values[key] = inner
        values = cast("Arguments", inner)
    last = keys[-1]
    present = values.get(last)
    if isinstance(present, dict) and isinstance(value, dict):
        for key, item in cast("Arguments", value).items():
            _set(cast("Arguments", present), [key], item)
    else:
        values[last] = value


def _problem(argument: Argument, value: object) -> tuple[Message, Message] | None:
    """Return (what is wrong, what to write) for ``value``; None where it fits."""
    if value is None:
        if argument.nullable or argument.default is None:
            return None
        return (
            _("{name} is empty", name=argument.name),
            _("Remove it to get the default, {default}.", default=json.dumps(argument.default)),
        )
    if isinstance(value, list) and argument.is_list:
        items = cast("list[object]", value)
        problems = (_problem(argument, item) for item in items if item is not None)
        return next((problem for problem in problems if problem), None)
    return _scalar_problem(argument, cast("object", value))


def _scalar_problem(argument: Argument, value: object) -> tuple[Message, Message] | None:
    if not any(_fits(kind, value) for kind in argument.types):
        return _wrong_type(argument, value)
    if argument.choices and isinstance(value, str) and value not in argument.choices:
        words = value.split() if argument.is_list else [value]  # fsdp: "full_shard auto_wrap"
        if not all(word in argument.choices for word in words):
            names = [str(choice) for choice in argument.choices]
            close = difflib.get_close_matches(value, names, n=1)
            return (
                _("{name} cannot be {value}", name=argument.name, value=repr(value)),
                _("Did you mean {name}?", name=close[0])
                if close
                else _("Choose one of: {names}", names=", ".join(names)),
            )
    return None


def _wrong_type(argument: Argument, value: object) -> tuple[Message, Message]:
    message = _(
        "{name} is {value}, and LLaMA-Factory expects {types}",
        name=argument.name,
        value=repr(value),
        types=_type_names(argument),
    )
    if value is False and "no" in argument.choices:
        return message, _('YAML reads a bare no as false: write "no" in quotes.')
    if isinstance(value, str) and {"int", "float", "bool"} & set(argument.types):
        return message, _("Write the value without quotes.")
    return message, _("Correct the value, or remove it to get the default.")


def _type_names(argument: Argument) -> Message:
    names = {
        "bool": _("true or false"),
        "int": _("a whole number"),
        "float": _("a number"),
        "str": _("text"),
        "dict": _("a mapping"),
    }
    known = [names[kind] for kind in argument.types if kind in names]
    if len(known) == 1:
        return known[0]
    return verbatim(" / ".join(str(name) for name in known))


def _fits(kind: str, value: object) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "dict":
            return isinstance(value, dict)
        case _:
            return True
