"""Draw the pictures of the README from the real app: job folders as real runs leave them, a frozen clock, no machine.

python scripts/pictures.py [FOLDER]      (make pictures; the folder is docs/pictures)
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from data import i18n  # noqa: E402 - the checkout is put on the path first
from tests.ui import folders  # noqa: E402
from tests.ui.pictures import without_noise  # noqa: E402
from tests.ui.scenes import BY_NAME  # noqa: E402
from tui.app import PaddockApp  # noqa: E402

SIZE = (120, 34)
PICTURES = (
    ("home.svg", "home-day", "en"),
    ("run.svg", "run-training", "en"),
    ("chat.svg", "chat-reply", "en"),
    ("home-zh.svg", "home-day", "zh_CN"),
)


async def draw(scene_name: str, language: str) -> str:
    """Return the picture of a scene as SVG."""
    scene = BY_NAME[scene_name]
    i18n.activate(language)
    with tempfile.TemporaryDirectory() as place, folders.folders(Path(place) / "state" / "jobs") as make:
        scene.write(make)
        app = PaddockApp(scene.services(Path(place), threading.Event()))
        async with app.run_test(size=SIZE) as pilot:
            await scene.walk(pilot, app)
            return without_noise(app.export_screenshot(title="paddock", simplify=True))


def main() -> None:
    """Draw all pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    os.environ.pop("NO_COLOR", None)
    for name, scene, language in PICTURES:
        (target / name).write_text(asyncio.run(draw(scene, language)), encoding="utf-8")
        print(target / name)


if __name__ == "__main__":
    main()
