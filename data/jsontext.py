"""JSON of files and programs that nobody vouches for: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json


def parse_json(text: str | bytes) -> object:
    """Return the value of a JSON document; raises ValueError alone, also for one that nests too deep to be read."""
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        msg = "it nests too deep"
        raise ValueError(msg) from error
    return value
