"""JSON, strictly: what others wrote is read or is one kind of error; what we write every reader takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import json


@cache  # json.dumps would make a new one for every line
def _line_encoder() -> json.JSONEncoder:
    import json  # noqa: PLC0415 - the first frame of the app needs none

    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse_json(text: str | bytes) -> object:
    """Return the value of a JSON document; raises ValueError alone, also for one that nests too deep to be read."""
    import json  # noqa: PLC0415 - as above

    try:
        value: object = json.loads(text)
    except RecursionError as error:
        msg = "it nests too deep"
        raise ValueError(msg) from error
    return value


def json_line(value: Mapping[str, object]) -> str:
    """Return ``value`` as JSON without a blank; NaN and infinities, which JSON has not, become null."""
    return _encoded(_line_encoder(), value)


def json_text(value: Mapping[str, object], *, ensure_ascii: bool, indent: int | None = None) -> str:
    """Return ``value`` as JSON, in lines where ``indent`` says how deep; NaN and infinities become null."""
    import json  # noqa: PLC0415 - as above

    separators = (",", ":") if indent is None else None
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, allow_nan=False, indent=indent, separators=separators)
    return _encoded(encoder, value)


def _encoded(encoder: json.JSONEncoder, value: Mapping[str, object]) -> str:
    """Return JSON that UTF-8 can hold: what a file's name has that is no text is escaped, which JSON allows."""
    try:
        text = encoder.encode(value)
    except ValueError:
        text = encoder.encode(_finite(value))
    return text.encode(errors="backslashreplace").decode()


def _finite(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in cast("dict[str, object]", value).items()}
        case list() | tuple():
            return [_finite(item) for item in cast("list[object]", value)]
        case _:
            return value
