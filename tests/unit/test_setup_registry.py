"""The real pip against a registry that answers badly: what is said of it, and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from backend.setup import pip
from backend.setup.failure import failed, remedy_for
from backend.setup.process import Idle, run
from data.i18n import _
from data.jobs.report import Reporter
from data.paths import Paths
from tests.support import program

pytestmark = pytest.mark.slow

PACKAGE = "probe-1.0-py3-none-any.whl"


@contextlib.contextmanager
def registry(manner: str, folder: Path) -> Generator[str]:
    """Serve a package of which nothing is right; gives the address."""
    package = folder / PACKAGE
    package.write_bytes(os.urandom(200_000))
    argv = program("bad_registry.py", manner, package)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().decode().strip()}"
        finally:
            server.kill()


def fetch(address: str, folder: Path, *, retries: int = 0) -> tuple[str, str]:
    """Fetch the package as the set-up does; return the detail and the remedy of the error."""
    env = pip.environment(Paths.under(folder / "home"), {"PATH": os.defpath, "HOME": str(folder), "NO_PROXY": "*"})
    env |= {"PIP_INDEX_URL": f"{address}/simple", "PIP_RETRIES": str(retries), "PIP_DEFAULT_TIMEOUT": "1"}
    reporter = Reporter(folder / "report.jsonl")
    reporter.stage("fetch", _("Fetching LLaMA-Factory {version} and torch", version="1"))
    progress = pip.PipProgress(reporter, total_bytes=1, site_packages=folder)
    ended = pip.call(Path(sys.executable), ["download", "--no-deps", "probe==1.0"], env=env, progress=progress)
    assert ended.status != 0
    error = failed(_("It failed"), ended.lines)
    return str(error.detail), str(error.hint)


@pytest.mark.parametrize(
    ("manner", "detail", "hint"),
    [
        ("404", "404 Client Error", "no package registry"),
        ("login", "(text/html)", "login page"),
        ("503", "503", "out of order"),
        ("401", "401 Client Error", "credentials"),
        ("garbled", "JSONDecodeError", "no package registry"),
        ("stall", "timed out", "cannot be reached"),
        ("tampered", "DO NOT MATCH THE HASHES", "another mirror"),
    ],
)
def test_what_a_registry_answered_is_said_with_what_to_do(manner: str, detail: str, hint: str, tmp_path: Path) -> None:
    with registry(manner, tmp_path) as address:
        said = fetch(address, tmp_path)
    assert detail in said[0]
    assert manner not in ("404", "login") or f"{address}/simple/probe/" in said[0]
    assert "Traceback" not in said[0]
    assert hint in said[1]


def test_while_pip_waits_for_an_answer_the_stage_says_so(tmp_path: Path) -> None:
    with registry("404", tmp_path) as address:
        pass
    assert "127.0.0.1" in fetch(address, tmp_path, retries=1)[0]  # nobody listens there any more
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    labels = [str(line["label"]) for line in lines if line["kind"] == "stage"]
    assert labels[0] == labels[-1]
    assert any("does not answer" in label for label in labels[1:-1])


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("go: m@v1: reading http://x/m/@v/v1.info: 503 Service Unavailable", "out of order"),
        ("go: m@v1: reading http://x/m/@v/v1.info: 404 Not Found", "no package registry"),
        ("go: m@v1: reading http://x/m/@v/v1.info: 401 Unauthorized", "credentials"),
        ("go: m@v1: invalid response from proxy \"http://x\": invalid character '<'", "login page"),
        ('go: m@v1: Get "http://x/m/@v/v1.info": dial tcp 127.0.0.1:9: connect: connection refused', "reached"),
    ],
)
def test_a_mirror_of_go_modules_that_answers_badly_is_told_like_one_of_packages(line: str, word: str) -> None:
    assert word in str(remedy_for([line]))


def test_a_program_that_waits_for_ever_is_ended(tmp_path: Path) -> None:
    asleep = run([sys.executable, "-c", "import signal; signal.pause()"], env={}, idle=Idle(0.5, tmp_path))
    assert asleep.status < 0
    assert "cannot be reached" in str(remedy_for(asleep.lines))


def test_one_that_writes_or_fetches_is_awake(tmp_path: Path) -> None:
    idle = Idle(180, tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as sleeper:
        try:
            assert not idle.asleep(sleeper.pid, 1, 1000)
            assert not idle.asleep(sleeper.pid, 2, 1170)  # a line more
            (tmp_path / "module.zip").write_bytes(b"PK")
            assert not idle.asleep(sleeper.pid, 2, 1340)  # a file more
            assert not idle.asleep(sleeper.pid, 2, 1510)
            assert idle.asleep(sleeper.pid, 2, 1540)
        finally:
            sleeper.kill()
