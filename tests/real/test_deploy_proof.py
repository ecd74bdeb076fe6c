"""A deployment on two real lines of Ollama is proven before it has its name; a wrong one leaves the old model."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.deploy.request import Deployment
from backend.export.modelfile import mended
from backend.export.prove import Request
from backend.lf.find import LlamaFactory
from backend.ollama.client import Client
from backend.parity.cases import COUNTED
from backend.train.record import RECORD_FILE
from data.jobs.library import Job
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from tests import ollamas, tiny_gguf
from tests.ollamas import Running
from tests.real.test_export_check import lf as lf  # noqa: PLC0414 - a fixture
from tests.real.test_verify_real import ROLES, counted
from tests.support import Yard
from tui.commands.root import run

pytestmark = [pytest.mark.real, pytest.mark.slow]

WRONG = f'TEMPLATE """{ROLES.replace("user<|end", "human<|end")}"""\nPARAMETER temperature 0.25\nLICENSE Free\n'


@pytest.fixture(scope="module")
def place(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("deploy") / "home", lf)
    yield made
    made.close()


class Place(Yard):
    """A home with a Llama of bytes and Llama-3's marks, as a training with ``llama3`` leaves it."""

    def __init__(self, root: Path, lf: LlamaFactory) -> None:
        super().__init__(root)
        root.mkdir()
        vocabulary = tiny_gguf.Vocabulary.of_bytes()
        for mark in ("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>"):
            vocabulary.number(mark)
        vocabulary.bos, vocabulary.eos = vocabulary.number("<|begin_of_text|>"), vocabulary.number("<|eot_id|>")
        self.gguf = tiny_gguf.write(root / "llama3.gguf", vocabulary, add_bos=True)
        self.python = str(lf.python)

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PADDOCK_LLAMAFACTORY_PYTHON": self.python}

    def deployment(self, server: Running, name: str = "m", **more: Any) -> Deployment:
        training = {"template": "llama3", "cutoff_len": 4096}
        return Deployment(gguf=str(self.gguf), name=name, host=server.url, training=training, **more)

    def thinker(self, **record: Any) -> tuple[Path, dict[str, Any]]:
        """Return a GGUF with ChatML's marks beside the record of a run, and what the record says of its prompts."""
        folder = self.root / "thinker"
        folder.mkdir(exist_ok=True)
        vocabulary = tiny_gguf.Vocabulary.of_bytes()
        for mark in ("<|im_start|>", "<think>", "</think>"):
            vocabulary.number(mark)
        vocabulary.eos = vocabulary.number("<|im_end|>")
        training = {"template": "qwen3", "cutoff_len": 4096, **record}
        data = {"dataset": "mine,far", "dataset_dir": str(folder)}
        (folder / RECORD_FILE).write_text(
            json.dumps({"version": 1, "job": "j", "enable_thinking": True, **training, **data}), encoding="utf-8"
        )
        info = {"mine": {"file_name": "mine.json"}, "far": {"hf_hub_url": "owner/far"}}
        (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
        (folder / "mine.json").write_text(json.dumps([{"instruction": "Is it mine?"}]), encoding="utf-8")
        return tiny_gguf.write(folder / "thinker.gguf", vocabulary, add_bos=False), training

    def run_to_its_end(self, spec: JobSpec) -> Job:
        self.launch(spec)
        return self.until(spec.id, timeout_s=240)

    def deploy(self, asked: Deployment) -> Job:
        return self.run_to_its_end(asked.spec(workspace=self.root))


@pytest.fixture(scope="module", params=ollamas.VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ollamas.server(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running


def proof(job: Job) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(job.folder.proof.read_bytes())
    return value


def words(job: Job) -> str:
    return " ".join(part.english() for part in (job.state.title, job.state.detail, job.state.hint))


async def look(url: str) -> tuple[list[str], list[str], str]:
    """Return the names on the server, those in memory, and the template of ``m``, which answers."""
    async with Client(url) as client:
        listed = sorted(model.name for model in await client.list())
        held = [model.name for model in await client.ps()]
        said = [
            delta.stats
            async for delta in client.chat("m", [{"role": "user", "content": "Hi"}], options={"num_predict": 1})
        ]
        assert said[-1] is not None
        await client.unload("m")
        return listed, held, (await client.show("m")).template


def test_a_right_model_is_published_a_wrong_one_is_not_and_is_mended(place: Place, server: Running) -> None:
    first = place.deploy(place.deployment(server))
    assert first.status is Status.SUCCEEDED, words(first)
    said = first.state.result
    assert (said["proof"]["ok"], said["proof"]["same"], said["unproven"]) == (True, 10, "")  # type: ignore[index]
    found = proof(first)
    assert (found["ok"], found["model"], found["num_ctx"]["actual"]) == (True, "m", 4096)
    assert {"user", "system-turns", "unicode"} <= counted(found) <= COUNTED
    names, held, template = asyncio.run(look(server.url))
    assert (names, held) == (["m:latest"], []), "nothing temporary is left, and nothing in memory"

    wrong = place.deployment(server, edited=WRONG)
    failed = place.deploy(wrong)
    assert failed.status is Status.FAILED
    assert "Ollama does not send m what it was trained on" in words(failed)
    assert "--unproven" in words(failed)
    found = proof(failed)
    assert (found["ok"], found["mendable"]) == (False, True)
    (parted,) = [row for row in found["cases"][0]["tokens"] if row["first"]]
    assert (parted["expected"]["text"], parted["actual"]["text"]) == ("u", "h")
    assert asyncio.run(look(server.url)) == (["m:latest"], [], template), "the old model is as it was, and answers"

    right = place.deploy(mended(wrong, place.paths))
    assert right.status is Status.SUCCEEDED, words(right)
    assert proof(right)["ok"]

    forced = place.deploy(dataclasses.replace(wrong, unproven=True))
    assert forced.status is Status.SUCCEEDED, words(forced)
    assert (forced.state.result["unproven"], proof(forced)["ok"]) == ("failed", False)

    told = place.run_to_its_end(Request("m", host=server.url, template="llama3").spec(workspace=place.root))
    assert told.status is Status.FAILED
    assert "--mend" in words(told)
    again = Request("m", host=server.url, template="llama3", mend=True).spec(workspace=place.root)
    done = place.run_to_its_end(again)
    assert done.status is Status.SUCCEEDED, words(done)
    assert (done.state.result["mended"], proof(done)["ok"], proof(done)["mended"]) == (True, True, True)
    assert asyncio.run(look(server.url))[0] == ["m:latest"]


def test_tools_and_thoughts_of_a_run_are_deployed_proven_and_mended_as_it_had_them(
    place: Place, server: Running
) -> None:
    """``tool_format`` and ``preserve_thinking`` change the prompt, and no template's name says them."""
    gguf, training = place.thinker(tool_format="llama3", preserve_thinking=True)
    asked = dataclasses.replace(place.deployment(server, "thinker"), gguf=str(gguf), training=training)

    deployed = place.deploy(asked)
    assert deployed.status is Status.SUCCEEDED, words(deployed)
    texts = {case["name"]: case["actual_text"] for case in proof(deployed)["cases"]}
    assert "so two have sixteen.\n</think>\n\nSixteen." in texts["thinking-turns"]
    assert "Is it mine?" in texts["mine:1"]
    (left_out,) = proof(deployed)["left_out"]
    assert left_out["values"]["name"] == "far"
    assert "Cutting Knowledge Date" in texts["tools"] or "JSON for a function call" in texts["tools"]
    proven = place.run_to_its_end(Request("thinker", host=server.url).spec(workspace=place.root))
    assert proven.status is Status.SUCCEEDED, words(proven)

    broken = place.deploy(dataclasses.replace(asked, edited='TEMPLATE "{{ .Prompt }}"', unproven=True))
    assert (broken.status, proof(broken)["holds"]) == (Status.SUCCEEDED, False), words(broken)
    done = place.run_to_its_end(Request("thinker", host=server.url, mend=True).spec(workspace=place.root))
    assert done.status is Status.SUCCEEDED, words(done)
    found = proof(done)
    assert (done.state.result["mended"], found["ok"], found["template_source"]) == (True, True, "record")
    assert {case["name"]: case["actual_text"] for case in found["cases"]} == texts


def test_what_was_not_compared_is_named_and_no_comparison_publishes_nothing(
    place: Place, server: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = dataclasses.replace(place.deployment(server, "short"), training={"template": "llama3"})
    none = place.deploy(dataclasses.replace(asked, parameters={"num_ctx": 24}))
    assert none.status is Status.FAILED
    assert "short could not be proven" in words(none)
    assert "Give it a num_ctx of" in words(none)
    assert (proof(none)["ok"], proof(none)["cases"], len(proof(none)["skipped"])) == (False, [], 10)

    some = place.deploy(dataclasses.replace(asked, parameters={"num_ctx": 256}))
    assert some.status is Status.SUCCEEDED, words(some)
    found = proof(some)
    assert 0 < len(found["cases"]) < found["conversations"] == 10
    assert some.state.result["proof"]["conversations"] == 10  # type: ignore[index]
    assert "Not compared" in found["left_out"][0]["template"]

    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert run(["verify", "--offline", "short", "--ollama-version", server.version, "--json"]) == 0
    foretold = json.loads(capsys.readouterr().out)
    for key in ("skipped", "stops", "num_ctx", "server_template"):
        assert foretold[key] == found[key], key
    assert [case["actual_ids"] for case in foretold["cases"]] == [case["actual_ids"] for case in found["cases"]]


def test_a_template_against_the_record_is_proven_by_itself_and_said_to_be_another(
    place: Place, server: Running
) -> None:
    gguf, training = place.thinker()
    asked = dataclasses.replace(place.deployment(server, "other"), gguf=str(gguf))
    deployed = place.deploy(dataclasses.replace(asked, training={**training, "template": "chatml"}))
    assert deployed.status is Status.SUCCEEDED, words(deployed)
    found = proof(deployed)
    assert (found["ok"], found["template_source"], found["departs"]) == (True, "asked", ["template"])
    judged = place.run_to_its_end(Request("other", host=server.url).spec(workspace=place.root))
    assert (judged.status, proof(judged)["template_source"]) == (Status.FAILED, "record")


def test_where_nobody_knows_the_training_the_result_says_so(place: Place, server: Running) -> None:
    job = place.deploy(dataclasses.replace(place.deployment(server, "raw"), training={}, template="{{ .Prompt }}"))
    assert job.status is Status.SUCCEEDED, words(job)
    assert (job.state.result["proof"], job.state.result["unproven"]) == (None, "template")
    assert not job.folder.proof.exists()
