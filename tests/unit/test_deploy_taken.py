"""An export asks before it replaces a model: the server that it would go to, whether it runs or not."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.ollama.client import Client, Creation
from backend.ollama.failure import UnreachableError
from backend.ollama.private import models_folder
from backend.ollama.serve import free_port
from data.paths import Paths
from data.settings import Settings
from tests import tiny_gguf
from tests.support import program, wait_until
from tui.services import Services

Replaces = Callable[..., bool]


@pytest.fixture
def replaces(tmp_path: Path) -> Replaces:
    """Say whether the export of a GGUF under ``name`` finds a model of that name."""
    tiny_gguf.write(tmp_path / "x.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=True)
    paths = Paths.under(tmp_path / "home")
    manifest = models_folder(paths) / "manifests" / "registry.ollama.ai" / "library" / "good" / "latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")

    def ask(name: str, settings: Settings | None = None, *, running: str = "", **wanted: object) -> bool:
        environ = {"OLLAMA_HOST": running or f"127.0.0.1:{free_port()}"}
        services = Services(paths=paths, settings=settings or Settings(), workspace=tmp_path, environ=environ)
        plan = services.export_draft(tmp_path / "x.gguf")
        assert plan.deployment is not None
        deployment = dataclasses.replace(plan.deployment, name=name, **wanted)  # type: ignore[arg-type] - its fields
        return asyncio.run(services.export_prospect(dataclasses.replace(plan, deployment=deployment))).replaces

    return ask


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """A person's own server with a model ``taken``."""
    file = tmp_path / "port"
    process = subprocess.Popen(program("ollama_stub.py", file, "ok"), stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"

    async def make() -> None:
        async with Client(url) as client:
            async for _step in client.create("taken", Creation(source="base", template="old")):
                pass

    asyncio.run(make())
    yield url
    process.kill()
    process.wait()


def test_the_private_server_is_asked_by_its_files_while_it_does_not_run(replaces: Replaces) -> None:
    assert replaces("Good")
    assert not replaces("better")


def test_a_server_that_is_named_is_the_one_that_is_asked(replaces: Replaces, own: str) -> None:
    assert replaces("taken", host=own)
    assert not replaces("good", host=own), "another server's"
    assert replaces("taken", Settings(ollama_host=own))
    assert not replaces("good", Settings(ollama_host=own))


def test_a_persons_own_server_that_runs_goes_before_the_private_one(replaces: Replaces, own: str) -> None:
    assert replaces("taken", running=own)
    assert not replaces("good", running=own)
    assert replaces("good", running=own, private=True)


def test_a_named_server_that_does_not_answer_is_told_before_the_start(replaces: Replaces) -> None:
    silent = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError):
        replaces("good", host=silent)
    with pytest.raises(UnreachableError):
        replaces("good", Settings(ollama_host=silent))
