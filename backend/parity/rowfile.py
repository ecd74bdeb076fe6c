"""Read the first rows of a file of conversations, JSON or JSONL, that nobody vouches for."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from data.errors import RequestError
from data.i18n import Message, _
from data.jsontext import parse_json

Json = Mapping[str, object]
MAX_ROWS: Final = 20
_LIMIT_BYTES: Final = 16 << 20
_MOST_LEVELS: Final = 64
_BETWEEN: Final = re.compile(r"[\s,]*")
_DECODER: Final = json.JSONDecoder()
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_rows(path: Path) -> Iterator[Json]:
    """Yield the first ``MAX_ROWS`` objects of a list, or of lines; ``check`` them. Raises RequestError."""
    try:
        with path.open("rb") as stream:
            rows = _documents(stream.read(_LIMIT_BYTES + 1))
    except (OSError, ValueError) as error:
        raise unusable(path, reason(error)) from error
    for number, row in enumerate(rows[:MAX_ROWS], start=1):
        if not isinstance(row, dict):
            raise unusable(path, _("row {number} is no object", number=number))
        yield cast("Json", row)


def check(value: object) -> None:
    """Raise ValueError with a Message for a value of JSON that cannot be sent: Ollama would read another or none."""
    level: list[object] = [value]
    for _depth in range(_MOST_LEVELS):
        for one in level:
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(_("NaN and infinity are no numbers of JSON"))
            half = _SURROGATE.search(one) if isinstance(one, str) else None
            if half is not None:
                code = f"\\u{ord(half[0]):04x}"
                raise ValueError(_("{code} is half of a character, and the other half is missing", code=code))
        level = [inner for one in level for inner in _within(one)]
        if not level:
            return
    raise ValueError(_("it nests deeper than {count} levels", count=_MOST_LEVELS))


def inner_json(text: str, name: str) -> object:
    """Return the value of JSON within a row; raises ValueError with a Message that has its ``name``."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ValueError(_("{name} is no JSON: {why}", name=name, why=str(error))) from error
    check(value)
    return value


def reason(error: Exception) -> object:
    """Return what is wrong, as a message where it is one of ours."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def unusable(path: Path, why: object) -> RequestError:
    """Return the error of a file that holds no conversations."""
    return RequestError(
        _("The file of conversations cannot be used"),
        _("{path}: {why}", path=str(path), why=why),
        _("Write JSON or JSONL with messages, conversations or instruction in each row, as in LLaMA-Factory's data."),
    )


def _within(value: object) -> list[object]:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return [*pairs, *pairs.values()]
    return cast("list[object]", value) if isinstance(value, list) else []


def _documents(raw: bytes) -> list[object]:
    """Return the rows of a list, or of JSONL, of which the beginning is enough; raises ValueError."""
    is_list = raw.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    if len(raw) > _LIMIT_BYTES:
        too_large = ValueError(_("it is larger than {size}", size="16 MiB"))
        if is_list:
            return _beginning(raw, too_large)
        lines = raw.split(b"\n")[:-1][:MAX_ROWS]  # the last line is cut off
        if len(lines) < MAX_ROWS:
            raise too_large
        raw = b"\n".join(lines)
    text = raw.decode("utf-8-sig")
    if is_list:
        return cast("list[object]", parse_json(text))
    return list(_lines(text))


def _lines(text: str) -> Iterator[object]:
    lines = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(lines[:MAX_ROWS], start=1):
        try:
            yield parse_json(line)
        except ValueError as error:
            raise ValueError(_("row {number}: {why}", number=number, why=str(error))) from error


def _beginning(raw: bytes, too_large: ValueError) -> list[object]:
    """Return the first rows of a list whose end is cut off; raises ``too_large`` where they are not whole."""
    text = codecs.getincrementaldecoder("utf-8-sig")().decode(raw)
    at, found = text.index("[") + 1, list[object]()
    while len(found) < MAX_ROWS:
        at = cast("re.Match[str]", _BETWEEN.match(text, at)).end()
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise too_large from None
        found.append(value)
    return found
