"""YAML as LLaMA-Factory reads it (OmegaConf over PyYAML: YAML 1.1, with 1e-5 a number) and writes it.

Writing needs the standard library only, since it also happens in a job's supervisor; reading loads ruamel.yaml.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from ruamel.yaml import YAML

# A plain scalar that no YAML 1.1 reader takes for anything but text: starts with a letter or a path's first
# character, holds no indicator in a place where it would mean something.
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+@=-]*(?: [A-Za-z0-9_./+@=-]+)*")
_MOST_VALUES: Final = 100_000
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"})
# What YAML calls not printable must be escaped, and a lone surrogate cannot be written at all.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


class YamlError(ValueError):
    """Text that is not YAML; ``str()`` is one line with line and column."""


def load(text: str) -> object:
    """Return the value of a YAML document.

    Raises YamlError, also for duplicate keys, recursive aliases, and aliases that unfold to a multitude.
    """
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - late: 6 MB that a supervisor does not need

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ruamel warns of 1e-5 in YAML 1.1; OmegaConf takes it as a number
            value: object = _reader().load(io.StringIO(text))  # pyright: ignore[reportUnknownMemberType] - ruamel's stubs
            return _plain(value, (), itertools.count())
    except YAMLError as error:
        raise YamlError(_one_line(error)) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise YamlError(str(error)) from error


def dump(values: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """Return ``values`` as a YAML document with one key a line; containers inside are in flow style.

    Reads back equal under YAML 1.1 and 1.2. ``sort_keys`` gives the order of LLaMA Board's files.
    """
    items = sorted(values.items()) if sort_keys else values.items()
    return "".join(f"{_scalar(key)}: {_scalar(value)}\n" for key, value in items) or "{}\n"


@functools.cache
def _reader() -> YAML:
    from ruamel.yaml import YAML  # noqa: PLC0415 - late, see load
    from ruamel.yaml.constructor import SafeConstructor  # noqa: PLC0415 - late, see load

    class Constructor(SafeConstructor):
        """Keeps dates as text, as OmegaConf's loader does."""

    # ruamel is untyped here; the two calls are its documented way to replace a constructor.
    Constructor.add_constructor("tag:yaml.org,2002:timestamp", Constructor.construct_yaml_str)  # pyright: ignore[reportUnknownMemberType]
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Constructor
    reader.version = (1, 1)
    reader.allow_duplicate_keys = False
    return reader


def _plain(value: object, above: tuple[int, ...], count: Iterator[int]) -> object:
    """Return ``value`` in plain dicts and lists; raises ValueError where it has no end, or nearly none.

    A few lines of aliases to lists of aliases unfold to billions of values.
    """
    if next(count) >= _MOST_VALUES:
        msg = f"it holds more than {_MOST_VALUES:,} values once its aliases are unfolded"
        raise ValueError(msg)
    here = id(value)
    if here in above:
        msg = "an alias refers to what contains it"
        raise ValueError(msg)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, object]", value)
        return {key: _plain(item, (*above, here), count) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_plain(item, (*above, here), count) for item in cast("list[object]", value)]
    return value


def _one_line(error: Exception) -> str:
    problem = str(getattr(error, "problem", "") or "").strip()
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return problem or " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _scalar(value: object) -> str:  # noqa: PLR0911 - one return a type
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _number(value)
        case str():
            return _text(value)
        case Mapping():
            pairs = cast("Mapping[object, object]", value).items()
            return "{" + ", ".join(f"{_quoted(str(key))}: {_inner(item)}" for key, item in pairs) + "}"
        case Sequence():
            return "[" + ", ".join(_inner(item) for item in cast("Sequence[object]", value)) + "]"
        case _:
            return _text(str(value))


def _inner(value: object) -> str:
    """Return ``value`` inside a flow container, where more characters have a meaning: text is always quoted."""
    return _quoted(value) if isinstance(value, str) else _scalar(value)


def _number(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 wants a dot in the mantissa: 1e-05 would be text to PyYAML, 1.0e-05 is a number to all.
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    sign = "" if exponent.startswith(("-", "+")) else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"


def _text(value: str) -> str:
    return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else _quoted(value)


def _quoted(value: str) -> str:
    """Return a double-quoted scalar: JSON's form with real characters, and YAML's escapes for the unprintable."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
