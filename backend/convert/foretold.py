"""What the GGUF of a model's folder will say of its special tokens, before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from backend.convert.converter import Overrides, build_keys
from backend.convert.planning import make_plan
from backend.convert.special import ID_KEYS


def special_token(source: Path, role: str) -> str | None:
    """Return the text of the token of ``role`` ("bos", "eos" …) as a conversion of ``source`` will have it.

    Reads headers and the tokenizer only. Raises RequestError where the folder cannot be converted.
    """
    plan = make_plan(source)
    vocabulary = plan.family.vocabulary(plan.folder, plan.hparams)
    keys, _warnings = build_keys(plan, vocabulary, None, Overrides())
    number = keys.value(ID_KEYS[role])
    if number is None:
        return None
    token = vocabulary.tokens[cast("int", number)]
    return token if isinstance(token, str) else token.decode("utf-8", "replace")
