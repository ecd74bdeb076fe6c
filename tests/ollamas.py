"""Real Ollama servers of two lines: the managed one, and the last of the old line, built once into the cache.

    with server("0.24.0") as running: …  # running.url

Each server has a free loopback port, a home and a model store of its own, and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from backend.ollama.discover import find_binary
from backend.setup import build
from data.files import open_lock, try_lock
from data.paths import Paths
from data.settings import load_settings
from tests import oracle
from tests.support import wait_until

OLD = "0.24.0"
"""The last version whose templates are Go alone"""
CURRENT = "0.32.7"
"""The managed one"""
VERSIONS = (OLD, CURRENT)
_BUILD_S = 3600.0
_MODULE = "github.com/ollama/ollama"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    version: str
    url: str
    log: Path


def binary(version: str) -> Path:
    """Return the program of a version: the managed one, or one built here (some minutes, once)."""
    paths = Paths.default()
    if version != OLD:
        found = find_binary(paths, load_settings(paths.settings).values)
        assert found is not None, "no Ollama: run `paddock setup ollama`"
        return found.path
    target = paths.cache / f"ollama-{version}" / "ollama"
    if not target.is_file():
        paths.cache.mkdir(parents=True, exist_ok=True)
        lock = open_lock(paths.cache / f"ollama-{version}.lock")
        try:
            wait_until(lambda: try_lock(lock), timeout_s=_BUILD_S, what="another build of Ollama")
            if not target.is_file():
                _build(version, target)
        finally:
            os.close(lock)
    return target


def _build(version: str, target: Path) -> None:
    """Build the Go part, which had the CPU engine inside; Go modules lack the vendored headers, llama.cpp has them."""
    vendor = oracle.llama_cpp() / "vendor"
    place = target.parent / "build"
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    environ = build._go_environment({**os.environ, "TMPDIR": str(place / "tmp")}, place)
    environ["CPATH"] = str(vendor)
    flags = f"-X={_MODULE}/version.Version={version}"
    argv = ["go", "install", "-trimpath", "-ldflags", flags, f"{_MODULE}@v{version}"]
    with (place / "build.log").open("wb") as log:
        done = subprocess.run(argv, env=environ, cwd=place, stdout=log, stderr=log, check=False)
    assert done.returncode == 0, (place / "build.log").read_text(encoding="utf-8", errors="replace")[-3000:]
    built = place / "go-bin" / "ollama"
    built.rename(target)
    shutil.rmtree(place)


@contextlib.contextmanager
def server(version: str, store: Path | None = None) -> Generator[Running]:
    """Run a server of ``version`` until the block is left; its models lie in ``store``, else nowhere to stay."""
    program = binary(version)
    with tempfile.TemporaryDirectory(prefix="paddock-ollama-") as scratch:
        home = Path(scratch)
        log = home / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")},
            "HOME": str(home),
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(store or home / "models"),
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_MAX_LOADED_MODELS": "1",
        }
        with log.open("wb") as stream:
            process = subprocess.Popen([str(program), "serve"], env=environ, cwd=home, stdout=stream, stderr=stream)
        running = Running(version, f"http://127.0.0.1:{port}", log)
        try:
            wait_until(lambda: process.poll() is not None or _answers(running.url), timeout_s=120, what="Ollama")
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-3000:]
            yield running
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=5) as answer:  # noqa: S310 - a loopback address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
