"""Which temporary models of a server are left over: those of deployments that have ended, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from backend.deploy.leftover import leftovers, remove_leftovers, token_of
from backend.ollama.client import Client, Creation
from backend.ollama.reply import ListedModel
from data.jobs.library import Job, Library
from data.jobs.report import Reporter
from data.jobs.spec import now
from tests.support import program, wait_until
from tests.ui.folders import Stable

NOW = now()
MODEL = ListedModel("", "d", 1, NOW - timedelta(hours=1), "llama", "1B", "F16")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[dict[str, Job]]:
    """A deployment of ``robin`` that was killed, and one of ``wren`` that waits."""
    stable = Stable(tmp_path / "jobs", workspace=str(tmp_path))
    stable.job("deploy", "robin", ago_s=90, params={"gguf": "/r.gguf", "name": "robin"}).start().end("failed")
    stable.job("deploy", "wren", ago_s=80, params={"gguf": "/w.gguf", "name": "wren"})
    yield {job.spec.name: job for job in Library(tmp_path / "jobs").list()}
    stable.close()


def left(jobs: dict[str, Job], *names: str, is_private: bool = False, age: timedelta = timedelta(hours=1)) -> set[str]:
    listed = [replace(MODEL, name=name, modified_at=NOW - age) for name in names]
    return set(leftovers(listed, jobs.values(), is_private=is_private, moment=NOW))


def test_what_a_killed_deployment_has_left_goes_and_what_is_under_way_stays(jobs: dict[str, Job]) -> None:
    dead, live = (token_of(jobs[name].id) for name in ("robin", "wren"))
    new, old = f"robin:paddock-new-{dead}", f"robin:paddock-old-{dead}"
    assert left(jobs, "robin:latest", "wren:latest", new, old, f"wren:paddock-new-{live}", f"wren:paddock-old-{live}",
                is_private=True, age=timedelta(days=9)) == {new, old}  # fmt: skip


def test_a_former_model_stays_where_its_name_is_missing(jobs: dict[str, Job]) -> None:
    old = f"robin:paddock-old-{token_of(jobs['robin'].id)}"
    assert left(jobs, "wren:latest", old) == set()
    assert left(jobs, "wren:latest", "robin:paddock-old-gone", is_private=True, age=timedelta(days=9)) == set()


def test_what_may_be_of_another_machine_stays_for_a_day(jobs: dict[str, Job]) -> None:
    strange, mend = "robin:paddock-new-gone", "robin:paddock-new-mend"
    assert left(jobs, strange, mend) == set()
    assert left(jobs, strange, mend, is_private=True) == {strange}, "only jobs of this home deploy there"
    assert left(jobs, strange, mend, age=timedelta(hours=25)) == {strange, mend}
    assert set(leftovers([replace(MODEL, name=strange, modified_at=None)], (), is_private=False, moment=NOW)) == set()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A server without models."""
    file = tmp_path / "port"
    process = subprocess.Popen(program("ollama_stub.py", file, "ok"), stderr=subprocess.DEVNULL)
    yield f"127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"
    process.kill()
    process.wait()


async def test_leftovers_are_removed_from_the_server_and_named(jobs: dict[str, Job], host: str, tmp_path: Path) -> None:
    names = [f"{name}:paddock-new-{token_of(job.id)}" for name, job in jobs.items()]
    async with Client(host) as client:
        for name in names:
            async for _step in client.create(name, Creation(source="base")):
                pass
        reporter = Reporter(tmp_path / "report.jsonl")
        await remove_leftovers(client, Library(tmp_path / "jobs"), reporter, is_private=False)
        assert [model.name for model in await client.list()] == [names[1]]
    assert names[0] in (tmp_path / "report.jsonl").read_text()
