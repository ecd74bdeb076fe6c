"""Parameters of a model: which there are, of what type, and how a Modelfile writes them.

Source: Ollama ``api/types.go`` (``Options``, ``Runner``, ``FormatParams``) and ``parser/parser.go``.
"""

from __future__ import annotations

import math
import re
from typing import Final

INTEGERS: Final = frozenset(
    {"num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu",
     "num_thread", "draft_num_predict"}
)  # fmt: skip
NUMBERS: Final = frozenset(
    {"top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"}
)
SWITCHES: Final = frozenset({"use_mmap"})
LISTS: Final = frozenset({"stop"})
KNOWN: Final = INTEGERS | NUMBERS | SWITCHES | LISTS
"""Ollama ``api.Options`` and ``api.Runner``."""
DEPRECATED: Final = frozenset(
    {"penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "mirostat", "mirostat_tau",
     "mirostat_eta"}
)  # fmt: skip
"""Accepted and ignored by Ollama ``parser.deprecatedParameters``."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})

ParameterValue = int | float | bool | str


def read_parameter(name: str, text: str) -> ParameterValue:
    """Return the value that ``text`` is for the parameter ``name``; raises ValueError (also for an unknown name)."""
    if name in INTEGERS:
        if not _INTEGER.fullmatch(text):
            raise ValueError(text)
        return int(text)
    if name in NUMBERS:
        number = float(text)
        if not math.isfinite(number) or "_" in text:
            raise ValueError(text)
        return number
    if name in SWITCHES:
        if text not in _TRUE | _FALSE:
            raise ValueError(text)
        return text in _TRUE
    if name in LISTS:
        return text
    raise ValueError(name)


def write_parameter(value: object) -> str:
    """Return how a Modelfile says ``value``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
