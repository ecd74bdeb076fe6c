"""Every screen and state looks as it did: at 80×24 and at 140×40, in English and in Chinese; the main ones at 40×10.

After a change that is meant: `pytest tests/ui/test_snapshots.py --snapshot-update`, then look at what git shows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from data import i18n
from tests.ui import folders
from tests.ui.driving import until
from tests.ui.export_scenes import EXPORT_SCENES
from tests.ui.pictures import without_noise
from tests.ui.scenes import SCENES, Scene
from tui.app import PaddockApp

SIZES = ((80, 24), (140, 40))
PHONE = (40, 10)
MAIN = (
    "home-empty",
    "home-day",
    "run-training",
    "run-failed",
    "chat-empty",
    "chat-reply",
    "export-ready",
    "export-locked",
    "stop",
    "failure-long",
    "palette",
    "help",
    "proof",
    "gguf",
    "modelfile-mistake",
)
"""States on phones, too; in English they are looked at by `make check` already"""
LANGUAGES = ("en", pytest.param("zh_CN", marks=pytest.mark.slow))


def _scenes() -> Iterator[object]:
    for scene in (*SCENES, *EXPORT_SCENES):
        marks = () if scene.name in MAIN else pytest.mark.slow
        yield pytest.param(scene, id=scene.name, marks=marks)


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """What a machine waits for that never answers; set at the end, so that its thread can go."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scene", _scenes())
async def test_it_looks_as_it_did(
    scene: Scene,
    language: str,
    silence: threading.Event,
    make: folders.Stable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: SnapshotAssertion,
) -> None:
    monkeypatch.chdir(tmp_path)
    i18n.activate(language)
    scene.write(make)
    app = PaddockApp(scene.services(tmp_path / "home", silence))
    sizes = (*SIZES, PHONE) if scene.name in MAIN else SIZES
    pictures: list[str] = []
    async with app.run_test(size=SIZES[0]) as pilot:
        await scene.walk(pilot, app)
        for size in sizes:
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.screen.size == size, "the new size")
            await pilot.pause()
            pictures.append(app.export_screenshot(title="paddock", simplify=True))
        silence.set()
    for (width, height), picture in zip(sizes, pictures, strict=True):
        pinned = snapshot(name=f"{width}x{height}", extension_class=SVGImageExtension)
        assert without_noise(picture) == pinned
