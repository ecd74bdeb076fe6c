"""Print, as JSON, every argument of the installed LLaMA-Factory: runs in LLaMA-Factory's own Python.

Standard library and packages of that environment only; nothing of Paddock is imported, and nothing imports this.
Output: ``{llamafactory, transformers, templates: [name…], verbs: {train: [group…], export: [group…]}, groups:
{group: {name: {types, list, nullable, choices, default, help}}}}``. Types are bool, int, float, str, dict and any.
"""

import dataclasses
import enum
import importlib.metadata
import json
import sys
import types
import typing


def described(hint: object) -> "tuple[set[str], bool, bool, list[object] | None]":  # noqa: PLR0911 - one a form
    """Return the set of plain types of a hint, whether it is a list, whether None is allowed, and its choices."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        values = list(typing.get_args(hint))
        return {type(value).__name__ for value in values}, False, False, values
    if origin in (typing.Union, types.UnionType):
        names, is_list, nullable, choices = set(), False, False, None
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        nullable = len(parts) < len(typing.get_args(hint))
        for part in parts:
            more, part_list, part_null, part_choices = described(part)
            names |= more
            is_list, nullable = is_list or part_list, nullable or part_null
            if typing.get_origin(part) is not typing.Literal or len(parts) == 1:  # `str | Literal[False]` is no choice
                choices = choices or part_choices
        return names, is_list, nullable, choices
    if origin in (list, tuple, set):
        names, _list, nullable, choices = described(*typing.get_args(hint)[:1] or (str,))
        return names, True, nullable, choices
    if origin is dict or hint is dict:
        return {"dict"}, False, False, None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"str"}, False, False, [member.value for member in hint]
    if hint is list:
        return {"str"}, True, False, None
    return {hint.__name__ if hint in (bool, int, float, str) else "any"}, False, False, None


def plain(value: object) -> object:
    """Return ``value`` where JSON can hold it, its text where it cannot."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set, type({}.keys()))):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


def default_of(field: "dataclasses.Field[object]") -> object:
    """Return the default of a dataclass field; None where it has none."""
    if field.default is not dataclasses.MISSING:
        return plain(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return None


def arguments(cls: type) -> "dict[str, dict[str, object]]":
    """Return ``{name: {types, list, nullable, choices, default, help}}`` of the fields that the parser accepts."""
    hints = typing.get_type_hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        names, is_list, nullable, choices = described(hints[field.name])
        order = ["bool", "int", "float", "str", "dict", "any"]
        found[field.name] = {
            "types": sorted(names & set(order), key=order.index) or ["any"],
            "list": is_list,
            "nullable": nullable,
            "choices": plain(field.metadata.get("choices") or choices),
            "default": default_of(field),
            "help": " ".join(str(field.metadata.get("help", "")).split()),
        }
    return found


def main() -> None:
    """Write the schema to stdout; whatever the imports print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    from llamafactory import hparams
    from llamafactory.data.template import TEMPLATES

    groups = {
        "model": hparams.ModelArguments,
        "data": hparams.DataArguments,
        "training": hparams.TrainingArguments,
        "finetuning": hparams.FinetuningArguments,
        "generating": hparams.GeneratingArguments,
    }
    schema = {
        "llamafactory": importlib.metadata.version("llamafactory"),
        "transformers": importlib.metadata.version("transformers"),
        "templates": sorted(TEMPLATES),
        "verbs": {
            "train": list(groups),
            "export": ["model", "data", "finetuning", "generating"],  # hparams/parser.py, _INFER_ARGS
        },
        "groups": {name: arguments(cls) for name, cls in groups.items()},
    }
    json.dump(schema, out, ensure_ascii=False, sort_keys=True)
    out.write("\n")


if __name__ == "__main__":
    main()
