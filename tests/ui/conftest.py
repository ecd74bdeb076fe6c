"""The app with a frozen clock, real job folders, and readings of a machine that were written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest

from data import i18n
from data.paths import Paths
from data.settings import Settings
from tests.ui import folders
from tui.chatting import OllamaState
from tui.machine import Gpu, Machine
from tui.services import Services

CPU_ONLY = Machine(
    cpu=0.62,
    cores=2,
    memory_used_bytes=3_410_000_000,
    memory_total_bytes=8_200_000_000,
    disk_free_bytes=61_000_000_000,
    disk_total_bytes=120_000_000_000,
)
TWO_GPUS = Machine(
    gpus=(
        Gpu(0, "NVIDIA H200", 0.97, 121_000_000_000, 150_000_000_000, 71, 612, ("mei",)),
        Gpu(1, "NVIDIA H200", 0.0, 4_000_000, 150_000_000_000, 33, 76),
    ),
    cpu=0.31,
    cores=96,
    memory_used_bytes=210_000_000_000,
    memory_total_bytes=2_100_000_000_000,
    disk_free_bytes=5_100_000_000_000,
    disk_total_bytes=7_600_000_000_000,
)
Build = Callable[..., Services]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[folders.Stable]:
    """A maker of job folders."""
    with folders.folders(tmp_path / "home" / "state" / "jobs") as maker:
        yield maker


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Compose services around a home of the test's own."""

    def compose(
        *, language: str = "en", machine: Machine = CPU_ONLY, settings: Settings | None = None, ollama: bool = False
    ) -> Services:
        i18n.activate(language)
        return Services(
            paths=Paths.under(tmp_path / "home"),
            settings=settings or Settings(),
            workspace=Path("/home/mei/work"),
            environ={"HOME": "/home/mei", "PATH": "/usr/bin:/bin"},
            clock=lambda: folders.NOW,
            timezone=UTC,
            machine=lambda: machine,
            ollama=lambda: OllamaState(is_up=ollama, version="0.32.7" if ollama else ""),
        )

    yield compose
    i18n.activate("en")
