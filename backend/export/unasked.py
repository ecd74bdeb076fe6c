"""Why LLaMA-Factory's inference ended before it had answered, from its last words: what, why and what to do."""

from __future__ import annotations

import re
import signal
from typing import Final

from backend.train import failure
from data.errors import AppError
from data.i18n import _

_TITLE: Final = _("The merged model could not be asked")
_MEMORY: Final = re.compile(
    r"out of memory|OutOfMemoryError|\bMemoryError\b|can't allocate memory|Cannot allocate memory", re.IGNORECASE
)
# torch's embedding on a CPU, and the assertion of its kernel on a GPU, where the error itself names no cause.
_NO_EMBEDDING: Final = re.compile(
    r"index out of range in self|Indexing\.cu:.*Assertion|device-side assert triggered", re.IGNORECASE
)
_WORDS: Final = 600


def reason(log_tail: str, returncode: int, template: str) -> AppError:
    """Return the error of an inference that ended with ``returncode``; ``log_tail`` is what it said at its end."""
    raised = failure.exceptions(log_tail)
    said = _cut(raised[-1] if raised else _last_line(log_tail))
    if _NO_EMBEDDING.search(log_tail):
        why = _(
            "The template {name} adds tokens that the model has no embedding for: it is not the one that the "
            "model was trained with. Export again with that one.",
            name=template,
        )
        return AppError(_TITLE, said, why)
    was_killed = returncode == -signal.SIGKILL
    if was_killed or _MEMORY.search(said):
        killed = _("SIGKILL, with nothing said before: the usual sign of a machine or container out of memory.")
        return AppError(
            _TITLE,
            killed if was_killed else said,
            _(
                "Resume with more free memory. Without a question the check compares the tensors alone, and needs "
                "little."
            ),
        )
    known = failure.explain(log_tail)
    silent = _("LLaMA-Factory's inference ended before it had answered.")
    return AppError(_TITLE, said or silent, known.hint if known is not None else _("The log has its last words."))


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.replace("\r", "\n").splitlines()) if line.strip()), "")


def _cut(text: str) -> str:
    return text if len(text) <= _WORDS else text[: _WORDS - 1] + "…"
