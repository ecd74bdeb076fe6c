"""Lines of text in roles, cut and filled by cells: what tables, meters and bars are painted from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment

from tui.theme import Roles
from tui.wording import clip, fit

Part = tuple[str, str]
"""Text and its role (see ``tui.theme``)."""
Parts = tuple[Part, ...]


def part(text: str, role: str = "text") -> Parts:
    """Return one part."""
    return ((text, role),)


def width_of(parts: Iterable[Part]) -> int:
    """Return the cells that ``parts`` take."""
    return sum(cell_len(text) for text, _role in parts)


def fit_parts(parts: Sequence[Part], width: int, *, right: bool = False) -> Parts:
    """Return ``parts`` in exactly ``width`` cells; the one that crosses the edge is cut with "…"."""
    free = width - width_of(parts)
    if free >= 0:
        space = ((" " * free, ""),)
        return (*space, *parts) if right else (*parts, *space)
    made: list[Part] = []
    left = width
    for text, role in parts:
        cells = cell_len(text)
        if cells < left or (cells == left and (text, role) == parts[-1]):
            made.append((text, role))
            left -= cells
            continue
        made.append((fit(clip(text + "…" if cells == left else text, left), left), role))
        break
    return tuple(made)


def segments(parts: Iterable[Part], roles: Roles) -> list[Segment]:
    """Return Rich segments of ``parts``, one for neighbours of one role.

    Control characters cannot be in them (see ``data.text``).
    """
    made: list[Segment] = []
    present, words = "", ""
    for text, role in parts:
        if role != present and words:
            made.append(Segment(words, roles[present]))
            words = ""
        present, words = role, words + text
    return [*made, Segment(words, roles[present])] if words else made
