"""What an export will need of each file system, step by step, before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.disk import device, free_bytes
from data.i18n import Message, _
from data.size import size


@dataclass(frozen=True, slots=True)
class Need:
    """The bytes of one step in one folder."""

    step: str
    """Kind of the job"""
    folder: Path
    peak_bytes: int
    """Most that it holds while it runs"""
    kept_bytes: int
    """What stays of that"""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system that the chain writes to."""

    folders: tuple[Path, ...]
    free_bytes: int
    needed_bytes: int
    """At the worst moment of the chain"""
    worst: str
    """The step at that moment"""

    @property
    def has_room(self) -> bool:
        """Whether it will do."""
        return self.needed_bytes <= self.free_bytes

    @property
    def shortage(self) -> Message:
        """Say in a line what is missing."""
        return _(
            "{folder}: {needed} are needed while the step {step} runs, {free} are free: {lacking} too little",
            folder=str(self.folders[0]),
            needed=size(self.needed_bytes),
            step=self.worst,
            free=size(self.free_bytes),
            lacking=size(self.needed_bytes - self.free_bytes),
        )

    def as_json(self) -> dict[str, object]:
        """Return ``{folders, free_bytes, needed_bytes, worst, ok}``."""
        return {
            "folders": [str(folder) for folder in self.folders],
            "free_bytes": self.free_bytes,
            "needed_bytes": self.needed_bytes,
            "worst": self.worst,
            "ok": self.has_room,
        }


def forecast(needs: Iterable[Need]) -> tuple[FileSystem, ...]:
    """Return what the steps, in their order, need of each file system: what earlier ones keep counts for later ones."""
    groups: dict[int, list[Need]] = {}
    for need in needs:
        groups.setdefault(device(need.folder), []).append(need)
    return tuple(_sum_up(group) for group in groups.values())


def _sum_up(needs: list[Need]) -> FileSystem:
    kept, highest, worst = 0, 0, needs[0].step
    for need in needs:
        if kept + need.peak_bytes > highest:
            highest, worst = kept + need.peak_bytes, need.step
        kept += need.kept_bytes
    folders = tuple(dict.fromkeys(need.folder for need in needs))
    return FileSystem(folders, free_bytes(folders[0]), highest, worst)
