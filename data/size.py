"""How bytes are said: one way for the app, the command line and what jobs tell."""

from __future__ import annotations


def size(size_bytes: float) -> str:
    """Return bytes in decimal units to three digits: 512 B, 98.1 MB, 6.20 GB."""
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{_digits(value)} {unit}"
        value /= 1000
    raise AssertionError


def _digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
