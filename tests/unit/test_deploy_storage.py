"""Whose disk a deployment has to fit on: that of the server which would be used, as it was really started."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from backend.deploy.storage import Storage, storage
from backend.ollama.address import parse_address
from backend.ollama.private import models_folder
from backend.ollama.probe import version_at
from backend.ollama.serve import free_port
from data.errors import RequestError
from data.paths import Paths
from data.settings import Settings
from tests.support import program, wait_until


@contextlib.contextmanager
def start(folder: Path, name: str, **environ: str) -> Generator[str]:
    """Run a small server under the program name ``name`` until the generator goes on; yield its address."""
    file = folder / name
    script = program("ollama_stub.py")[-1]
    file.write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_path({script!r}, run_name='__main__')\n")
    file.chmod(0o755)
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [str(file), "serve"], env={"OLLAMA_HOST": address, "HOME": str(folder), **environ}, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: version_at(parse_address(address)), what="the server")
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """A person's own server, with a folder of models elsewhere."""
    with start(tmp_path, "ollama", OLLAMA_MODELS=str(tmp_path / "large disk")) as url:
        yield url


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[str]:
    """What answers as Ollama does, and is not Ollama."""
    with start(tmp_path, "ssh") as url:
        yield url


def asked(paths: Paths, settings: Settings, **more: object) -> Storage:
    return asyncio.run(storage(paths, settings, **more))  # type: ignore[arg-type] - as the function takes them


def test_a_persons_own_server_is_asked_for_its_folder(own: str, tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home")
    large = Storage(own, tmp_path / "large disk")
    assert asked(paths, Settings(), environ={"OLLAMA_HOST": own}) == large
    assert asked(paths, Settings(ollama_host=own), environ={}) == large
    assert asked(paths, Settings(), host=own, environ={}) == large
    assert asked(paths, Settings(), want_private=True, environ={"OLLAMA_HOST": own}).folder == models_folder(paths)


def test_without_a_server_it_is_the_private_one(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home")
    nowhere = {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
    found = asked(paths, Settings(), environ=nowhere)
    assert (found.host, found.folder) == ("", models_folder(paths))
    assert "which OLLAMA_HOST" in str(found.instead_of)


def test_the_folder_of_a_server_that_said_none_is_in_its_home(tmp_path: Path) -> None:
    with start(tmp_path, "ollama") as url:
        assert asked(Paths.under(tmp_path), Settings(), host=url, environ={}).folder == tmp_path / ".ollama" / "models"


def test_what_is_elsewhere_or_behind_a_tunnel_is_not_guessed(tunnel: str, tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home")
    assert asked(paths, Settings(), host=tunnel, environ={}) == Storage(tunnel, None)
    assert asked(paths, Settings(ollama_host="192.0.2.7"), environ={}).folder is None
    with pytest.raises(RequestError, match="address"):
        asked(paths, Settings(), host="a..b", environ={})
