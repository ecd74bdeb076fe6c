"""What the viewer of GGUFs asks: the header with what is wrong with it and where it comes from, and whole values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from data.errors import AppError, RequestError
from data.gguf import Array, Header, Problem, check, read_header
from data.gguf.facts import SHOWN
from data.i18n import Message, _
from data.text import inert

MOST_ELEMENTS: Final = 300_000
"""Elements of one array that are shown: more than the largest vocabulary has tokens"""
_MOST_CHARACTERS: Final = 16 << 20
_ELEMENT_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class Inspection:
    """A GGUF that was looked into."""

    header: Header
    problems: tuple[Problem, ...]
    made: Mapping[str, object]
    """What the file beside it says of where it comes from; empty where there is none"""


def inspect(path: Path) -> Inspection:
    """Read the header of ``path`` and check it; raises AppError for what is no GGUF or was made to do harm."""
    from backend.convert.sidecar import read_sidecar  # noqa: PLC0415 - not needed for the first frame

    if not path.exists():
        raise RequestError(
            _("There is no such GGUF file"), inert(str(path)), _("`paddock convert` makes a GGUF of a model's folder.")
        )
    header = read_header(path)
    return Inspection(header, check(header), read_sidecar(path) or {})


def extent(text: str) -> Message:
    """Return how long a template is, in words; Paddock's own are one line."""
    lines, characters = text.count("\n") + 1, f"{len(text):,}"
    if lines == 1:
        return _("1 line, {characters} characters", characters=characters)
    return _("{lines} lines, {characters} characters", lines=lines, characters=characters)


def whole_value(header: Header, name: str) -> list[str]:
    """Return all of the key ``name`` as inert lines; of an array a line for each element. Raises AppError."""
    value = header.keys[name]
    if not isinstance(value, Array):
        return inert(str(value)).split("\n")
    try:
        lines = list(_elements(value))
    except OSError as error:  # the file has changed or gone since
        raise AppError(
            _("{path} cannot be read", path=str(header.path)),
            error.strerror or str(error),
            _("Check the path and its permissions."),
        ) from error
    if len(lines) < value.count:
        lines.append(str(_("… and {count} more", count=f"{value.count - len(lines):,}")))
    return lines


def _elements(array: Array) -> Iterator[str]:
    width, left = len(str(array.count)), _MOST_CHARACTERS
    for number, element in enumerate(islice(array.values(), MOST_ELEMENTS)):
        if isinstance(element, bytes):
            text = repr(element[: _ELEMENT_CHARACTERS * 4].decode("utf-8", "replace"))[1:-1]
            text = inert(text[:_ELEMENT_CHARACTERS] + ("…" if len(element) > _ELEMENT_CHARACTERS * 4 else ""))
        else:
            text = str(element)
        left -= len(text)
        if left < 0:
            return
        yield f"{number:>{width}}  {text}"


def short_value(header: Header, name: str) -> str:
    """Return the beginning of a key's value, inert, in one line."""
    value = header.keys[name]
    if isinstance(value, Array):
        first = ", ".join(_short(element) for element in islice(value.values(), SHOWN))
        return f"({value.count:,}) {first}{' …' if value.count > SHOWN else ''}"
    return _short(value)


def _short(value: object) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case float():
            text = f"{value:.7g}"  # what a float32 holds
        case bytes():
            text = value.decode("utf-8", "replace")
        case _:
            text = str(value)
    return inert(text[:200].replace("\r", "\\r").replace("\n", "\\n")) + ("…" if len(text) > 200 else "")
