"""Which server is taken, the private server as a job, and deployments into it: real jobs around a little server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from backend.deploy.create import check_space
from backend.deploy.request import Deployment
from backend.deploy.server import KIND, Server, ensure_server, private_server, running_server
from backend.jobs.launch import launch, request_stop
from backend.ollama.address import parse_address
from backend.ollama.client import Client, Creation
from backend.ollama.discover import find_binary, find_server, version_of
from backend.ollama.failure import UnreachableError
from backend.ollama.probe import version_at
from backend.ollama.serve import free_port
from data.errors import AppError
from data.i18n import verbatim
from data.jobs.library import Job
from data.jobs.report import size_bytes
from data.jobs.status import Status
from data.settings import Settings
from tests.support import Yard, program, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """An ollama program that is the stub."""
    file = tmp_path / "programs" / "bin" / "ollama"
    file.parent.mkdir(parents=True)
    words = " ".join(f"'{word}'" for word in program("ollama_stub.py"))
    return write_program(file, f'exec {words} "$@"')


def write_program(file: Path, line: str) -> Path:
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)
    return file


def content(file: Path) -> bytes:
    return file.read_bytes()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "home")
    yield made
    made.ids = [job.id for job in made.library.list()]
    made.close()


@pytest.fixture
def settings(binary: Path) -> Settings:
    return Settings(ollama_binary=str(binary))


@pytest.fixture
def small_gguf(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "paddock-test")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_block_count(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_merges(["a b"])
    writer.add_tensor("blk.0.w.weight", np.zeros((8, 32), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def environ(yard: Yard, binary: Path | None = None, **extra: str) -> dict[str, str]:
    """A person's environment without a server of their own (a free port stands for Ollama's default)."""
    values = {**yard.environ, "OLLAMA_HOST": f"127.0.0.1:{free_port()}", **extra}
    if binary:
        values["PADDOCK_OLLAMA_BINARY"] = str(binary)
    return values


def serve_jobs(yard: Yard) -> list[Job]:
    return [job for job in yard.library.list() if job.spec.kind == KIND]


async def names(server: Server) -> list[str]:
    async with Client(server.host) as client:
        return sorted(model.name for model in await client.list())


async def test_two_views_at_once_start_one_server(yard: Yard, settings: Settings) -> None:
    around = environ(yard)
    servers = await asyncio.gather(
        *(ensure_server(yard.paths, settings, environ=around) for _unused in range(3)),
    )
    assert len(set(servers)) == 1
    assert servers[0].private
    assert servers[0].version == "0.32.7"
    (job,) = serve_jobs(yard)
    assert servers[0].job == job.id
    assert job.status is Status.RUNNING
    assert job.state.result["host"] == servers[0].host
    assert await ensure_server(yard.paths, settings, want_private=True, environ=around) == servers[0]
    assert await running_server(yard.paths, settings, environ=around) == servers[0]
    request_stop(job, "graceful")
    ended = await asyncio.to_thread(yard.until, job.id)
    assert ended.status is Status.STOPPED
    wait_until(lambda: not yard.alive(job.id), what="nothing of the job left")
    assert await private_server(yard.library) is None
    again = await ensure_server(yard.paths, settings, host=servers[0].host, environ=around)
    assert again.private, "it was the private one, which listens at another port now"
    assert again.job != job.id


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """A person's own server."""
    file = tmp_path / "port"
    process = subprocess.Popen(program("ollama_stub.py", file, "ok"), stderr=subprocess.DEVNULL)
    yield f"127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"
    process.kill()
    process.wait()


async def test_a_persons_own_server_is_used_when_it_is_new_enough(yard: Yard, settings: Settings, own: str) -> None:
    around = environ(yard) | {"OLLAMA_HOST": own}
    server = await ensure_server(yard.paths, settings, environ=around)
    assert (server.host, server.private, server.job) == (f"http://{own}", False, None)
    found = await find_server(settings, around)
    assert found is not None
    assert found.origin == "environment"
    named = await ensure_server(yard.paths, settings, host=own, environ=environ(yard))
    assert named.host == server.host
    assert serve_jobs(yard) == []
    private = await ensure_server(yard.paths, settings, want_private=True, environ=around)
    assert private.private
    assert private.host != server.host


async def test_a_server_that_was_named_is_never_replaced(yard: Yard, settings: Settings) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    named = settings._replace(ollama_host=nobody)
    for asked, host, origin in ((settings, nobody, "--host"), (named, "", "ollama_host")):
        with pytest.raises(UnreachableError) as caught:
            await ensure_server(yard.paths, asked, host=host, environ=environ(yard))
        assert origin in str(caught.value.hint)
        assert "OLLAMA_HOST, or" not in str(caught.value.hint), "nobody has used it"
    assert serve_jobs(yard) == []


async def test_without_any_ollama_the_way_to_one_is_shown(yard: Yard) -> None:
    with pytest.raises(AppError) as caught:
        await ensure_server(yard.paths, Settings(), environ=environ(yard, PATH="/nowhere"))
    assert "paddock setup ollama" in caught.value.hint.english()
    with pytest.raises(AppError, match="cannot be run"):
        await ensure_server(yard.paths, Settings(ollama_binary="/nowhere/ollama"), environ=environ(yard))


async def test_an_old_program_is_passed_over_for_a_managed_one(yard: Yard, binary: Path, tmp_path: Path) -> None:
    old = tmp_path / "old" / "ollama"
    old.parent.mkdir()
    write_program(old, "echo ollama version is 0.9.1")
    around = environ(yard, PATH=f"{old.parent}:{os.defpath}")
    with pytest.raises(AppError) as caught:
        await ensure_server(yard.paths, Settings(), environ=around)
    assert f"{old}: 0.9.1" in caught.value.detail.english()
    managed = yard.paths.ollama / "0.32.7" / "bin" / "ollama"
    managed.parent.mkdir(parents=True)
    (managed.parent.parent / "lib" / "ollama").mkdir(parents=True)
    managed.write_bytes(content(binary))
    managed.chmod(0o755)
    server = await ensure_server(yard.paths, Settings(), environ=around)
    assert yard.job(server.job or "").spec.params["binary"] == str(managed)


async def test_a_server_that_does_not_start_says_why(yard: Yard, settings: Settings) -> None:
    with pytest.raises(AppError) as caught:
        await ensure_server(yard.paths, settings, environ=environ(yard, OLLAMA_STUB="crash"))
    assert "identity key" in caught.value.detail.english()


async def test_a_server_that_dies_fails_its_job_with_the_last_lines(yard: Yard, settings: Settings) -> None:
    server = await ensure_server(yard.paths, settings, environ=environ(yard, OLLAMA_STUB="dies"))
    async with Client(server.host) as client:
        with pytest.raises(AppError):
            await client.ask("POST", "/api/create", {"model": "m"}, doing=verbatim("creating m"))
    job = await asyncio.to_thread(yard.until, server.job or "")
    assert job.status is Status.FAILED
    assert "unordered_map::at" in job.state.detail.english()
    again = await ensure_server(yard.paths, settings, environ=environ(yard))
    assert again.job != server.job


async def test_an_idle_server_ends_itself(yard: Yard, settings: Settings, binary: Path) -> None:
    params = {
        "binary": str(binary),
        "models_dir": str(yard.root / "models"),
        "home": str(yard.root / "ollama"),
        "idle_minutes": 0.02,
    }
    spec = yard.spec([])._replace(id="20260101-000000-serve-aaaa", kind=KIND, params=params)
    launch(yard.paths.jobs, [spec], environ=environ(yard))
    host = await asyncio.to_thread(wait_until, lambda: yard.job(spec.id).state.result.get("host"), what="the server")
    while await asyncio.to_thread(version_at, parse_address(str(host))):  # a status bar that looks all the time
        pass
    job = await asyncio.to_thread(yard.until, spec.id)
    assert job.status is Status.SUCCEEDED
    assert job.state.stage == "idle"
    log = job.folder.log.read_text()
    assert log.count("/api/ps") <= 2  # it is asked at the end only: questions would fill the log


def test_the_newest_whole_managed_program_is_found(yard: Yard, binary: Path) -> None:
    around = {"PATH": "/nowhere"}
    for version, whole in (("0.9.0", True), ("0.32.7", True), ("0.40.0", False), (".0.50.0.part", True)):
        folder = yard.paths.ollama / version
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "ollama").symlink_to(binary)
        if whole:
            (folder / "bin" / "ollama").unlink()
            (folder / "bin" / "ollama").write_bytes(binary.read_bytes())
            (folder / "bin" / "ollama").chmod(0o755)
            (folder / "lib" / "ollama").mkdir(parents=True)
    found = find_binary(yard.paths, Settings(), around)
    assert found is not None
    assert (found.path.parent.parent.name, found.origin) == ("0.32.7", "managed")
    on_path = find_binary(yard.paths, Settings(), {"PATH": str(binary.parent)})
    assert on_path is not None
    assert on_path.path == binary


def test_a_program_says_its_version(binary: Path) -> None:
    assert version_of(binary) == "0.32.7"
    assert version_of(Path(sys.executable)) is None
    assert version_of(Path("/nowhere")) is None


async def deploy(yard: Yard, asked: Deployment, around: dict[str, str]) -> Job:
    spec = asked.spec(workspace=yard.root.parent)
    yard.launch(spec, environ=around)
    return await asyncio.to_thread(yard.until, spec.id, timeout_s=60)


async def test_a_deployment_replaces_the_model_of_its_name(
    yard: Yard, settings: Settings, binary: Path, small_gguf: Path
) -> None:
    around = environ(yard, binary)
    asked = Deployment(gguf=str(small_gguf), name="m", template="one", quantize="q8_0", private=True)
    job = await deploy(yard, asked, around)
    assert job.status is Status.SUCCEEDED, job.state
    assert job.state.result["model"] == "m:latest"
    assert job.state.result["bytes"] == size_bytes(small_gguf)
    job = await deploy(yard, replace(asked, template="two"), around)
    assert job.status is Status.FAILED, "nobody knows its training, and a model has the name"
    job = await deploy(yard, replace(asked, template="two", unproven=True), around)
    assert job.status is Status.SUCCEEDED, job.state
    server = await ensure_server(yard.paths, settings, want_private=True, environ=around)
    assert server.host == job.state.result["host"]
    assert await names(server) == ["m:latest"]
    async with Client(server.host) as client:
        assert (await client.show("m")).template == "two"
        seen = await client.ask("GET", "/stub/seen", doing=verbatim("asking"))
    tail = job.id.rpartition("-")[2]
    new, old = f"m:paddock-new-{tail}", f"m:paddock-old-{tail}"
    said = [str(line) for line in seen["seen"]]  # type: ignore[attr-defined] - the stub's own list
    steps = said[said.index(f"create {new}") :]
    assert steps[:3] == [f"create {new}", f"copy m:latest {old}", f"copy {new} m:latest"]
    assert sorted(steps[3:]) == [f"delete {new}", f"delete {old}"]


async def test_a_failed_creation_leaves_the_old_model(
    yard: Yard, settings: Settings, binary: Path, small_gguf: Path
) -> None:
    around = environ(yard, binary, OLLAMA_STUB="error")
    server = await ensure_server(yard.paths, settings, want_private=True, environ=around)
    async with Client(server.host) as client:
        async for _step in client.create("m", Creation(source="base", template="old")):
            pass
        job = await deploy(yard, Deployment(gguf=str(small_gguf), name="m", host=server.host), around)
        assert job.status is Status.FAILED
        assert "architecture not supported" in job.state.detail.english()
        assert await names(server) == ["m:latest"]
        assert (await client.show("m")).template == "old"


async def test_a_private_server_that_dies_is_started_again_once(yard: Yard, binary: Path, small_gguf: Path) -> None:
    asked = Deployment(gguf=str(small_gguf), name="m", private=True)
    job = await deploy(yard, asked, environ(yard, binary, OLLAMA_STUB="dies-once"))
    assert job.status is Status.SUCCEEDED, job.state
    assert [each.status for each in serve_jobs(yard)] == [Status.FAILED, Status.RUNNING]


async def test_a_server_that_dies_twice_fails_the_deployment(yard: Yard, binary: Path, small_gguf: Path) -> None:
    asked = Deployment(gguf=str(small_gguf), name="doomed", private=True)
    job = await deploy(yard, asked, environ(yard, binary, OLLAMA_STUB="dies"))
    assert job.status is Status.FAILED
    assert "died while creating doomed" in job.state.title.english()


async def test_a_stopped_deployment_leaves_nothing_behind(
    yard: Yard, settings: Settings, binary: Path, small_gguf: Path
) -> None:
    around = environ(yard, binary, OLLAMA_STUB="stuck")
    spec = Deployment(gguf=str(small_gguf), name="m", private=True).spec(workspace=yard.root)
    yard.launch(spec, environ=around)
    await asyncio.to_thread(wait_until, lambda: yard.job(spec.id).state.stage == "create", what="the creation")
    server = await ensure_server(yard.paths, settings, want_private=True, environ=around)
    async with asyncio.timeout(30):
        while not await names(server):  # noqa: ASYNC110 - the other side is a process
            await asyncio.sleep(0.02)
    request_stop(yard.job(spec.id), "graceful")
    job = await asyncio.to_thread(yard.until, spec.id)
    assert job.status is Status.STOPPED
    assert await names(server) == []


def test_too_little_space_is_said_before_the_upload(tmp_path: Path) -> None:
    check_space(tmp_path, 1, uploaded=False, quantize=True)
    with pytest.raises(AppError) as caught:
        check_space(tmp_path, 3 * 10**14, uploaded=False, quantize=True)
    assert "900 TB are needed" in caught.value.detail.english()


def bad_files(good: Path, folder: Path) -> list[Path]:
    junk = folder / "junk.gguf"
    junk.write_bytes(b"GGUF" + os.urandom(500))
    cut = folder / "cut.gguf"
    cut.write_bytes(good.read_bytes()[:-200])
    return [junk, cut, folder / "none.gguf"]


async def test_files_that_must_not_reach_a_server(yard: Yard, binary: Path, small_gguf: Path, tmp_path: Path) -> None:
    around = environ(yard, binary)
    for file in bad_files(small_gguf, tmp_path):
        job = await deploy(yard, Deployment(gguf=str(file), name="m", private=True), around)
        assert job.status is Status.FAILED
        assert job.state.hint
    assert serve_jobs(yard) == []  # nobody was even asked
