"""Compile the message catalogues while the package is built, so that Babel is needed at build time only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
"""Stands where Babel would write the time of the build: the same source gives the same wheel."""


def compile_catalogues(root: Path) -> list[Path]:
    """Write the .mo beside every .po below ``root``/data/locale and return what was written."""
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - only the build needs Babel
    from babel.messages.pofile import read_po  # noqa: PLC0415 - only the build needs Babel

    written: list[Path] = []
    for source in sorted((root / "data" / "locale").rglob("*.po")):
        with source.open("rb") as stream:
            catalogue = read_po(stream)
        catalogue.creation_date = catalogue.revision_date = _NO_DATE
        target = source.with_suffix(".mo")
        with target.open("wb") as stream:
            write_mo(stream, catalogue)
        written.append(target)
    return written


class CatalogueHook(BuildHookInterface[Any]):
    """Hatchling's hook: runs for wheels and for editable installs alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        compile_catalogues(Path(self.root))
