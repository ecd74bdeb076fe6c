"""Versions of Ollama: comparing them, and the oldest one that Paddock can work with."""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = "0.11.5"
"""The first version that shows the prompt it would send (``_debug_render_only``), which the parity proof needs."""
UNKNOWN: Final = "0.0.0"
"""What a server says that was built without a version: nothing can be concluded from it."""
_FORM: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(-[0-9A-Za-z.-]+)?")


def version_key(text: str) -> tuple[int, int, int, int]:
    """Return a key to compare versions by; a pre-release (``-rc1``) sorts before its release.

    Text that is no version is the lowest.
    """
    match = _FORM.match(text.strip())
    if match is None:
        return (0, 0, 0, 0)
    major, minor, patch, pre = match.groups()
    return (int(major), int(minor), int(patch or 0), 0 if pre else 1)


def is_new_enough(version: str, oldest: str = OLDEST) -> bool:
    """Say whether ``version`` is ``oldest`` or later; builds without a version (0.0.0) get the benefit of the doubt."""
    return version.strip() == UNKNOWN or version_key(version) >= version_key(oldest)
