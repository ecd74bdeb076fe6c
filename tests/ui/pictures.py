"""Pictures of the app as SVG, without what is no part of the look: the same on every machine."""

from __future__ import annotations

import re


def without_noise(svg: str) -> str:
    """Return ``svg`` without fonts of the network, ids of the moment, and a clip path for each line."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<clipPath id="terminal-[\w-]*line-\d+">.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#terminal-[\w-]*line-\d+\)"', "", svg)
    return re.sub(r"\bterminal-\d+-([\w-]+)", r"terminal-\1", svg)
