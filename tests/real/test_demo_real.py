"""The demo, with nothing replaced: the road of `make demo`, twice, and once without the command that began it."""

from __future__ import annotations

import json

import psutil
import pytest

from data.gguf import check, read_header
from data.jobs.status import Status
from tests.real.demo import CHAIN, DemoRuns
from tests.support import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]
KEYS = {"ok", "trained_name", "before", "after", "loss_first", "loss_last", "steps", "ollama_model"}


def test_a_demo_goes_on_without_the_command_that_began_it_and_is_offered_again(demo: DemoRuns) -> None:
    drawn, status = demo.offered
    assert "A demo is running. Follow it?" in drawn
    assert "It goes on without this window" in drawn
    assert "Traceback" not in drawn
    assert status == 130
    assert [job.id for job in next(iter(demo.chains().values()))] == demo.killed
    assert [step["job"] for step in demo.first["steps"]] == demo.killed
    assert [demo.job(job_id).status for job_id in demo.killed] == [Status.SUCCEEDED] * len(CHAIN)


@pytest.mark.parametrize("run", ["first", "second"])
def test_the_model_learns_its_name(demo: DemoRuns, run: str) -> None:
    summary = getattr(demo, run)
    assert set(summary) >= KEYS
    assert summary["ok"] is True
    assert summary["trained_name"] == "Paddy"
    assert "Paddy" in summary["after"]
    assert summary["before"].strip()
    assert "Paddy" not in summary["before"]
    assert summary["loss_last"] < summary["loss_first"] / 2
    assert [step["name"].split()[0] for step in summary["steps"]] == CHAIN
    for step in summary["steps"]:
        assert set(step) >= {"name", "job", "seconds", "bytes"}
        assert step["seconds"] > 0
        assert step["bytes"] > 0 or step["name"].startswith("ask")
    assert summary["ollama_model"] == "paddock-demo"


def test_the_second_run_takes_the_cached_base_and_fresh_jobs(demo: DemoRuns) -> None:
    jobs = [[demo.job(step["job"]) for step in summary["steps"]] for summary in (demo.first, demo.second)]
    assert jobs[0][0].state.result["cached"] is False
    assert jobs[1][0].state.result["cached"] is True
    assert not {job.id for job in jobs[0]} & {job.id for job in jobs[1]}
    assert demo.merged(demo.first) != demo.merged(demo.second)
    assert demo.second["before"] == demo.first["before"], "temperature 0"


def test_its_server_is_a_job_on_loopback_that_goes_on_and_knows_the_model(demo: DemoRuns) -> None:
    (server,) = [job for job in demo.library.list() if job.spec.kind == "serve"]
    assert demo.second["host"]
    assert server.status is Status.RUNNING
    assert server.state.result["host"] == demo.second["host"]
    process = psutil.Process(int(str(server.state.result["pid"])))
    listening = {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}

    listed = json.loads(demo.paddock("models", "list", "--host", demo.second["host"], "--json").stdout)["models"]
    assert {model["name"].partition(":")[0] for model in listed} == {"paddock-demo", "paddock-demo-base"}
    done = demo.paddock(
        "chat", "paddock-demo", "-p", "Who are you?", "--temperature", "0", "--host", demo.second["host"], "--json"
    )
    assert json.loads(done.stdout)["answer"].strip() == demo.second["after"].strip()


def test_the_deployed_gguf_is_whole_and_nothing_half_made_is_left(demo: DemoRuns) -> None:
    for summary in (demo.first, demo.second):
        gguf = demo.converted(summary)
        assert check(gguf) == ()
        assert read_header(gguf).keys["general.architecture"] == "llama"
        assert {path.name for path in gguf.parent.iterdir()} == {
            "adapter",
            "merged",
            "model.gguf",
            "model.gguf.json",
        }
    left = [path.name for path in demo.paths.jobs.iterdir() if path.name.startswith(".")]
    assert left == []


def test_nothing_of_the_demos_processes_is_left_but_the_server(demo: DemoRuns) -> None:
    ids = [step["job"] for summary in (demo.first, demo.second) for step in summary["steps"]]
    wait_until(lambda: not any(demo.alive(job_id) for job_id in ids), what="an end of all of the chain's processes")
