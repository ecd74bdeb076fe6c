"""What a bench answers: one number of ours beside the rival's, with the goal where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    what: str
    ours: float
    unit: str
    rival: str = ""
    """What the rival is; empty where the number stands alone"""
    theirs: float = 0.0
    most_ratio: float | None = None
    """The goal for ours / theirs"""
    most: float | None = None
    """The goal for ours, in its unit"""

    @property
    def ratio(self) -> float | None:
        """Ours in terms of the rival's."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def is_met(self) -> bool:
        """Whether each goal that there is has been reached."""
        ratio = self.ratio
        within = self.most_ratio is None or (ratio is not None and ratio <= self.most_ratio)
        return within and (self.most is None or self.ours <= self.most)

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells: what, ours, the rival's, ratio, goal."""
        theirs = f"{self.theirs:.4g} {self.unit}  {self.rival}" if self.rival else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} ×"
        goals: list[str] = []
        if self.most_ratio is not None:
            goals.append(f"≤ {self.most_ratio:g} ×")
        if self.most is not None:
            goals.append(f"≤ {self.most:g} {self.unit}".rstrip())
        verdict = f"{' and '.join(goals)}: {'met' if self.is_met else 'MISSED'}" if goals else ""
        return self.what, f"{self.ours:.4g} {self.unit}".rstrip(), ratio, theirs, verdict


HEADINGS = ("", "Paddock", "ratio", "rival", "goal")


def table(results: Sequence[Result]) -> str:
    """Return the results as aligned lines."""
    rows = [HEADINGS, *(result.cells() for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
