"""The wheel, as people install it: built, put into an empty environment, and started there."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from tests.support import wait_until

ROOT = Path(__file__).parents[2]
# One of these says to whom the session belongs; none may leak into an environment that has to stand alone.
LEAKING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PADDOCK_HOME")

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built with the build tools of the lock: nothing is fetched for it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it needs, at the locked versions, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    pins = re.findall(r"^(\S+==.+?) \\$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    subprocess.run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-c", str(constraints), str(wheel)],
        check=True,
        timeout=600,
    )
    return folder


def clean_environ(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in LEAKING}
    return {**kept, "PADDOCK_HOME": str(home), "LANG": "C.UTF-8", **more}


def paddock(environment: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(environment / "bin" / "paddock"), *words],
        cwd=home,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_wheel_holds_every_file_that_is_not_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "tui", "screens", "backend", "data"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = [name for name in tracked if name not in inside and not name.endswith((".po", ".pot"))]
    assert missing == []
    assert any(name.endswith(".tcss") for name in inside)
    assert "data/demo/dataset_info.json" in inside
    assert any(name.startswith("data/locale/zh_CN/") and name.endswith(".mo") for name in inside)
    assert not any(name.startswith(("tests/", "scripts/", "docs/")) for name in inside)


def test_it_brings_its_licence_and_the_train_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Dist: llamafactory==0.9.5; extra == 'train'" in text


def test_the_command_line_starts(environment: Path, tmp_path: Path) -> None:
    assert paddock(environment, tmp_path, "--version").stdout.startswith("paddock 0.")
    chinese = paddock(environment, tmp_path, "--help", "--lang", "zh")
    assert chinese.returncode == 0
    assert re.search("[一-鿿]", chinese.stdout)
    report = json.loads(paddock(environment, tmp_path, "doctor", "--json").stdout)
    assert report["checks"]
    assert json.loads(paddock(environment, tmp_path, "jobs", "list", "--json").stdout)["jobs"] == []


def test_nothing_of_the_development_is_in_the_environment(environment: Path) -> None:
    listed = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert "llama-paddock" in names
    assert names & {"pytest", "ruff", "pyright", "import-linter", "hatchling", "torch", "llamafactory"} == set()


def test_the_demo_can_be_laid_down_from_it(environment: Path, tmp_path: Path) -> None:
    """Datasets and recipe are inside: the chain's specs name files that exist."""
    code = (
        "import json; from pathlib import Path; from backend.pipeline import demo_chain; from data.paths import Paths;"
        "from data.settings import Settings;"
        "specs = demo_chain(Paths.default(), Settings(), Path.cwd());"
        "args = next(s for s in specs if s.kind == 'train').params['args'];"
        "print(json.dumps(args['dataset_dir']))"
    )
    ended = subprocess.run(
        [str(environment / "bin" / "python"), "-P", "-c", code],
        cwd=tmp_path,
        env=clean_environ(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    folder = Path(json.loads(ended.stdout))
    assert folder.is_relative_to(environment)
    assert (folder / "dataset_info.json").is_file()


def test_the_app_opens_and_closes(environment: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    drawn = bytearray()
    app = subprocess.Popen(
        ["setsid", "--ctty", str(environment / "bin" / "paddock")],
        cwd=tmp_path,
        env=clean_environ(tmp_path, TERM="xterm-256color", LINES="30", COLUMNS="100"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)

    def collect() -> None:
        while True:
            try:
                drawn.extend(os.read(master, 65536))
            except OSError:  # the other side has closed
                return

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        wait_until(lambda: b"Paddock" in drawn or b"paddock" in drawn, timeout_s=60, what="the first screen")
        os.write(master, b"q")
        assert app.wait(30) == 0, drawn[-2000:].decode("utf-8", "replace")
    finally:
        if app.poll() is None:
            app.kill()
            app.wait(10)
        reader.join(10)
        os.close(master)
    assert b"Traceback" not in drawn
