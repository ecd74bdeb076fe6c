"""The whole road with the real LLaMA-Factory and a real Ollama: killed in every step, and on disks that are full."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.deploy.request import Deployment
from backend.export.modelfile import draft as draft_modelfile
from backend.export.plan import ExportPlan, chain, draft
from backend.export.source import read_source
from backend.jobs.launch import request_stop, resume
from backend.lf.find import LlamaFactory
from backend.ollama.client import Client
from backend.ollama.discover import FoundBinary
from backend.ollama.modelfile import Modelfile, parse
from backend.ollama.private import models_folder
from data.jobs.library import Job
from data.jobs.status import Status
from data.paths import Paths
from tests.disks import fill, small_disk
from tests.real.ollama_home import Home
from tests.real.test_export_check import MAKE_ADAPTER, run
from tests.real.test_export_check import lf as lf  # noqa: PLC0414 - a fixture
from tests.support import PROGRAMS, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a tiny base and an adapter for it."""
    place = tmp_path_factory.mktemp("trained")
    run(lf, PROGRAMS / "tiny_llama.py", place / "base")
    run(lf, "-c", MAKE_ADAPTER, place / "base", place / "adapter")
    return place


class RoadHome(Home):
    """A home whose proofs find the real LLaMA-Factory."""

    def __init__(self, root: Path, binary: FoundBinary, lf: LlamaFactory) -> None:
        super().__init__(root, binary)
        self._python = str(lf.python)

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PADDOCK_LLAMAFACTORY_PYTHON": self._python}


@pytest.fixture
def home(tmp_path: Path, binary: FoundBinary, lf: LlamaFactory) -> Iterator[Home]:
    made = RoadHome(tmp_path / "home", binary, lf)
    yield made
    for job in made.library.list():
        if job.spec.kind == "serve" and job.status.is_live:
            request_stop(job, "now")
            made.until(job.id)
    made.close()


def plan_in(workspace: Path, trained: Path, *, name: str = "road") -> ExportPlan:
    plan = draft(read_source(trained / "adapter"), workspace, name=name)
    assert plan.deployment is not None
    deployment = dataclasses.replace(plan.deployment, private=True, quantize="q8_0")
    return dataclasses.replace(plan, base=str(trained / "base"), template="chatml", prompt="", deployment=deployment)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made(plan: ExportPlan) -> dict[str, str]:
    assert plan.gguf is not None
    return {file.name: digest(file) for file in (plan.gguf, plan.model_folder / "model.safetensors")}


def _has_started(job: Job) -> bool:
    return job.state.started_at is not None


def _is_loading(job: Job) -> bool:
    """The merge is at work: past the long import, near the moment of writing."""
    return job.state.stage in ("loading", "merging", "saving") or job.status.is_ended


def _is_proving(job: Job) -> bool:
    """The new model is there under its temporary tag, and is being proven."""
    return job.state.stage == "proof" or job.status.is_ended


BEGUN = {"export": _is_loading, "deploy": _is_proving}


def walk(home: Home, plan: ExportPlan, lf: LlamaFactory, *, kill: bool) -> dict[str, str]:
    """Run the chain to its end; with ``kill``, end everything of each job by force as soon as it works."""
    ids = home.launch(*chain(plan, lf=lf))
    for job_id in ids:
        if kill:
            begun = BEGUN.get(home.job(job_id).spec.kind, _has_started)
            wait_until(lambda job_id=job_id, begun=begun: begun(home.job(job_id)), timeout_s=120, what=job_id)
            killed = home.alive(job_id)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            if home.until(job_id, Status.LOST, Status.SUCCEEDED).status is Status.LOST:
                wait_until(lambda job_id=job_id: not home.alive(job_id), what="the end of all its processes")
                resume(home.library, job_id, environ=home.environ)
        job = home.until(job_id, timeout_s=240)
        assert job.status is Status.SUCCEEDED, (
            f"{job.spec.kind}: {job.state.title.english()} {job.state.detail.english()}"
        )
        assert not kill or job.state.attempt == 2, f"{job.spec.kind} was too quick to be killed"
    result = home.job(ids[-1]).state.result
    assert isinstance(result["proof"], dict)
    assert result["proof"]["ok"]
    assert 0 < result["proof"]["cases"] < 10, "it holds 256 tokens: longer conversations are left out"
    return {**made(plan), "model": str(result["digest"])}


def test_a_chain_that_is_killed_in_every_step_resumes_to_the_same_bytes(
    home: Home, lf: LlamaFactory, trained: Path, tmp_path: Path
) -> None:
    drafted = draft_modelfile(plan_in(tmp_path / "a", trained), home.settings, Paths.default())
    undisturbed = walk(home, plan_in(tmp_path / "a", trained), lf, kill=False)
    written = asyncio.run(modelfile(home))
    assert (drafted.template, drafted.system) == (written.template, written.system)
    assert drafted.parameters == written.parameters
    killed = walk(home, plan_in(tmp_path / "b", trained), lf, kill=True)
    assert killed == undisturbed
    left = [file.name for file in (tmp_path / "b").rglob("*") if ".part" in file.name or file.name.startswith(".")]
    assert left == []
    assert asyncio.run(names(home)) == ["road:latest"]


async def names(home: Home) -> list[str]:
    server = await home.server()
    async with Client(server.host) as client:
        return sorted(model.name for model in await client.list())


async def modelfile(home: Home) -> Modelfile:
    server = await home.server()
    async with Client(server.host) as client:
        return parse((await client.show("road")).modelfile, needs_source=False)


def test_a_full_disk_under_the_merge_is_said_and_leaves_nothing(
    home: Home, lf: LlamaFactory, trained: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "300m") as disk:
        plan = plan_in(tmp_path, trained)
        assert plan.merge is not None
        merge = dataclasses.replace(plan.merge, export_dir=disk / "merged")
        (export,) = chain(
            dataclasses.replace(plan, merge=merge, adapters=plan.adapters, gguf=None, deployment=None), lf=lf
        )[:1]
        fill(disk, leave_bytes=40_000)  # after the look at the disk, as another program may
        home.launch(export)
        job = home.until(export.id, timeout_s=240)
        assert job.status is Status.FAILED
        words = f"{job.state.title.english()} {job.state.detail.english()}"
        assert "space" in words, words
        assert [file.name for file in disk.iterdir()] == ["ballast"]


def test_a_full_disk_under_the_conversion_is_said_and_leaves_nothing(
    home: Home, lf: LlamaFactory, trained: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        plan = draft(read_source(trained / "base"), tmp_path)
        (convert,) = chain(dataclasses.replace(plan, gguf=disk / "x.gguf", outtype="f32", deployment=None), lf=lf)
        home.launch(convert)
        job = home.until(convert.id, timeout_s=120)
        assert job.status is Status.FAILED
        assert "space" in job.state.title.english()
        assert [file.name for file in disk.iterdir()] == []


def test_a_full_disk_under_ollama_leaves_the_old_model_at_work(
    home: Home, lf: LlamaFactory, trained: Path, tmp_path: Path
) -> None:
    """The server is named, so that Paddock cannot look at its disk before: Ollama itself runs out of space."""
    with small_disk(models_folder(home.paths), "4m") as disk:
        plan = dataclasses.replace(
            draft(read_source(trained / "base"), tmp_path), gguf=tmp_path / "small.gguf", deployment=None
        )
        specs = [
            *chain(plan, lf=lf),
            *chain(dataclasses.replace(plan, gguf=tmp_path / "large.gguf", outtype="f32"), lf=lf),
        ]
        home.launch(*specs)
        for spec in specs:
            assert home.until(spec.id, timeout_s=120).status is Status.SUCCEEDED
        server = asyncio.run(home.server())

        def deploy(file: str) -> Status:
            asked = Deployment(gguf=str(tmp_path / file), name="m", host=server.host, unproven=True)
            spec = asked.spec(workspace=tmp_path)
            home.launch(spec)
            job = home.until(spec.id, timeout_s=120)
            if job.status is Status.FAILED:
                words = f"{job.state.title.english()} {job.state.detail.english()} {job.state.hint.english()}"
                assert "space" in words, words
            return job.status

        assert deploy("small.gguf") is Status.SUCCEEDED
        before = asyncio.run(answer(server.host))
        fill(disk, leave_bytes=60_000)
        assert deploy("large.gguf") is Status.FAILED
        assert asyncio.run(names(home)) == ["m:latest"]
        assert asyncio.run(answer(server.host)) == before


async def answer(host: str) -> str:
    async with Client(host) as client:
        pieces = [
            piece.text
            async for piece in client.chat(
                "m", [{"role": "user", "content": "hello"}], options={"temperature": 0, "seed": 1, "num_predict": 5}
            )
        ]
    return "".join(pieces)
