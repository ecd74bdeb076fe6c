"""``paddock deploy``: what it takes, what it would do, and that nothing is replaced unasked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.deploy.request import Deployment
from backend.ollama.client import Client, Creation
from backend.ollama.name import parse_name
from backend.ollama.private import has_manifest, models_folder
from backend.ollama.serve import free_port
from backend.ollama.version import OLDEST
from data.jobs.status import Status
from data.paths import HOME_VARIABLE, Paths
from tests import tiny_gguf
from tests.support import Yard, program, wait_until
from tests.unit.model_folder import write_model
from tests.unit.test_convert_imatrix import write_matrix
from tui.commands.root import run

Say = Callable[..., dict[str, Any]]


@pytest.fixture
def place(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a GGUF, a model and an adapter that knows its training."""
    monkeypatch.setenv(HOME_VARIABLE, str(yard.root))
    workspace = tmp_path / "work"
    run_folder = workspace / "saves" / "run"
    run_folder.mkdir(parents=True)
    write_model(workspace / "base")
    ends = tiny_gguf.Vocabulary.of_marks("<|begin_of_text|>", "<|eot_id|>", "<|im_end|>")
    tiny_gguf.write(workspace / "x.gguf", ends, add_bos=True)
    adapter = {"base_model_name_or_path": str(workspace / "base"), "peft_type": "LORA"}
    (run_folder / "adapter_config.json").write_text(json.dumps(adapter))
    (run_folder / "adapter_model.safetensors").write_bytes(bytes(64))
    record = {"version": 1, "job": "j", "template": "llama3", "enable_thinking": True, "cutoff_len": 512}
    (run_folder / "paddock.json").write_text(json.dumps(record))
    ollama = tmp_path / "bin" / "ollama"
    ollama.parent.mkdir()
    ollama.write_text("#!/bin/sh\necho 'Warning: client version is 0.32.7'\n")
    ollama.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ollama.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(workspace)
    return workspace


@pytest.fixture
def host(place: Path, tmp_path: Path) -> Iterator[str]:
    """A person's own server with a model ``taken``."""
    file = tmp_path / "port"
    process = subprocess.Popen(program("ollama_stub.py", file, "ok"), stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"

    async def make() -> None:
        async with Client(url) as client:
            async for _step in client.create("taken", Creation(source="base", template="old")):
                pass

    asyncio.run(make())
    os.environ["OLLAMA_HOST"] = url
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def old_server() -> Iterator[str]:
    """A server that Paddock cannot work with."""
    with subprocess.Popen(program("ollama_server.py", "0.5.0"), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield f"127.0.0.1:{server.stdout.readline().decode().strip()}"
        server.kill()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command, which has to end with ``status``; return its object."""

    def answer(*words: str, status: int = 0) -> dict[str, Any]:
        assert run(["deploy", *words, "--json"]) == status, capsys.readouterr()
        value: dict[str, Any] = json.loads(capsys.readouterr().out)
        return value

    return answer


def params(said: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [step["params"] for step in said["steps"] if step["kind"] == kind]
    return found  # type: ignore[no-any-return] - JSON


def test_what_a_training_left_goes_the_whole_road(place: Path, say: Say) -> None:
    said = say("saves/run", "robin", "--dry-run", "--quantize", "q4_K_M", "--unproven", status=2)
    assert "LLaMA-Factory" in said["error"]["title"], "a merge needs it; none is in this home"


def test_a_model_is_converted_and_a_gguf_is_not(place: Path, say: Say, yard: Yard) -> None:
    said = say("base", "me/robin:v2", "--dry-run", "--template", "qwen", "--system", "S", "-p", "top_k=3")
    assert [step["kind"] for step in said["steps"]] == ["convert", "deploy"]
    made, wanted = params(said, "convert"), params(said, "deploy")
    assert made["outtype"] == "f16", "the weights' own"
    assert made["target"] == wanted["gguf"] == str(place / "base" / "base-35K-F16.gguf")
    training = {"template": "qwen", "default_system": "S"}
    assert made["training"] == wanted["training"] == training
    assert (wanted["name"], wanted["parameters"]) == ("me/robin:v2", {"top_k": 3})
    assert "system" not in wanted, "the training's, so that the proof expects it"
    assert said["ok"]
    assert said["disks"][0]["needed_bytes"] > 0
    other = say("base", "robin", "--template", "llama3", status=2)
    assert other["error"]["title"] == "The model has no token <|eot_id|>"
    assert not yard.library.list(), "nothing was started"
    said = say("x.gguf", "robin", "--dry-run")
    assert [step["kind"] for step in said["steps"]] == ["deploy"]
    assert "template is not known" in said["warnings"][0]


def test_what_the_words_say_of_the_training_serves_the_modelfile_and_the_proof(place: Path, say: Say) -> None:
    words = ["--template", "qwen3", "--thinking", "off", "--cutoff-len", "512"]
    training = {"template": "qwen3", "enable_thinking": False, "cutoff_len": 512}
    said = say("base", "robin", "--dry-run", *words)
    assert params(said, "convert")["training"] == params(said, "deploy")["training"] == training


def test_what_the_words_say_of_the_conversion_is_in_its_job(place: Path, say: Say) -> None:
    write_matrix(place / "imatrix.gguf")
    quantize = place / "llama.cpp" / "llama-quantize"
    quantize.parent.mkdir()
    quantize.write_text("#!/bin/sh\n")
    quantize.chmod(0o755)
    os.environ["PADDOCK_LLAMA_CPP_DIR"] = str(quantize.parent)
    words = ["--outtype", "IQ2_XXS", "--imatrix", "imatrix.gguf", "--converter", "paddock"]
    made = params(say("base", "robin", "--dry-run", "--template", "qwen", *words), "convert")
    assert made["target"] == str(place / "base" / "base-35K-IQ2_XXS.gguf")
    assert (made["outtype"], made["imatrix"]) == ("iq2_xxs", str(place / "imatrix.gguf"))
    assert made["converter"] == "paddock"
    for wrong, title in (
        (["base", "m", "--outtype", "iq2_xxs"], "needs an importance matrix"),
        (["base", "m", "--imatrix", "imatrix.gguf"], "no use for the type f16"),
        (["base", "m", "--outtype", "q4_k_m", "--imatrix", "base/config.json"], "is no importance matrix"),
        (["base", "m", "--converter", "llama.cpp"], "no convert_hf_to_gguf.py"),
        (["x.gguf", "m", "--outtype", "bf16"], "is a GGUF already"),
        (["x.gguf", "m", "--converter", "llama.cpp"], "is a GGUF already"),
    ):
        said = say(*wrong, "--dry-run", status=2)
        assert title in said["error"]["title"], said


def test_a_modelfile_that_is_named_stands_for_the_training_which_serves_the_proof(place: Path, say: Say) -> None:
    (place / "Mine").write_text("FROM x.gguf\nSYSTEM Be kind.\nPARAMETER top_k 3\nLICENSE Free\n")
    said = say("x.gguf", "m", "--dry-run", "--modelfile", "Mine", "--template", "llama3", "-p", "seed=1")
    wanted = params(said, "deploy")
    assert wanted["training"] == {"template": "llama3"}
    assert "SYSTEM" in wanted["edited"]
    assert "PARAMETER seed 1" in wanted["edited"]
    assert "modelfile" not in wanted
    said = say("x.gguf", "m", "--dry-run", "--modelfile", "Mine")
    assert params(said, "deploy")["modelfile"] == str(place / "Mine")
    assert "edited" not in params(said, "deploy")


@pytest.mark.parametrize("trained", [[], ["--template", "llama3"]], ids=["unknown", "trained"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('SYSTEM a\nTEMPLATE """{{ if .System }}a"""\n', "Mine:2:30: An end is missing."),
        ("FROM x.gguf\nFROM x.gguf\n", "Mine:2:1: This is a second FROM"),
        ("FROM y.gguf\nSYSTEM a\n", "Mine:1:1: FROM names y.gguf, but the weights are those of x.gguf"),
        ("RENDERER qwen3-coder\n", "Mine:1:1: RENDERER cannot be deployed."),
        ("", "Mine:1:1: There is no command in it."),
    ],
)
def test_a_modelfile_that_cannot_be_deployed_is_refused_with_the_place(
    text: str, why: str, trained: list[str], place: Path, say: Say
) -> None:
    (place / "Mine").write_text(text)
    said = say("x.gguf", "m", "--dry-run", "--modelfile", "Mine", *trained, status=2)
    assert said["error"]["detail"].startswith(f"{place}/{why}")


def test_the_modelfile_of_an_export_counts_where_the_training_is_not_known(place: Path, say: Say) -> None:
    (place / "base" / "Modelfile").write_text('FROM .\nTEMPLATE """{{ foo }}"""\n')
    said = say("base", "m", "--dry-run", status=2)
    assert said["error"]["detail"] == f"{place}/base/Modelfile:2:16: There is no function foo."
    say("base", "m", "--dry-run", "--template", "qwen")
    (place / "base" / "Modelfile").write_text('FROM .\nTEMPLATE """{{ .Prompt }}"""\n')
    say("base", "m", "--dry-run")
    say("base", "m", "--dry-run", "--modelfile", "base")
    (place / "mine.tmpl").write_text("{{ .Prompt }}\n{{ foo }}")
    said = say("base", "m", "--dry-run", "--template", "mine.tmpl", status=2)
    assert said["error"]["detail"] == "line 2, column 4: There is no function foo."


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["nowhere", "m"], "no such GGUF"),
        (["x.gguf", "a b"], "not a name that Ollama accepts"),
        (["cut.gguf", "m"], "not a usable GGUF"),
        (["x.gguf", "m", "--quantize", "q4_k_x"], "cannot quantise"),
        (["x.gguf", "m", "-p", "colour=red"], "cannot stand in a Modelfile"),
        (["x.gguf", "m", "--template", "nosuch"], "no template 'nosuch'"),
        (["x.gguf", "m", "--modelfile", "nowhere"], "cannot be read"),
        (["x.gguf", "m", "--host", "::::"], "not the address of a server"),
        (["x.gguf", "m", "--host", "a..b"], "not the address of a server"),
        (["saves", "m"], "no weights"),
        (["x.gguf", "m", "--thinking", "off"], "not known with which template"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_starts_nothing(words: list[str], title: str, place: Path, say: Say, yard: Yard) -> None:
    (place / "cut.gguf").write_bytes((place / "x.gguf").read_bytes()[:40])
    assert title in say(*words, status=2)["error"]["title"]
    assert not yard.library.list()


def test_a_name_that_is_taken_needs_a_word(place: Path, host: str, say: Say, yard: Yard) -> None:
    refused = say("x.gguf", "taken", "--unproven", status=2)
    assert refused["error"]["title"] == "There is a model taken:latest already"
    assert "--yes" in refused["error"]["hint"]
    assert not yard.library.list()
    assert say("x.gguf", "TAKEN", "--dry-run", "--unproven")["replaces"]
    assert not say("x.gguf", "free", "--dry-run")["replaces"]
    done = say("x.gguf", "taken", "--yes", "--unproven")
    assert [job["status"] for job in done["jobs"]] == ["succeeded"]
    said = yard.job(done["jobs"][0]["id"]).state.result
    assert (said["host"], said["proof"], said["unproven"]) == (host, None, "template")
    yard.ids = [job["id"] for job in done["jobs"]]


def test_what_cannot_be_proven_takes_no_others_name_unless_that_was_asked_for(
    place: Path, host: str, say: Say, yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = say("x.gguf", "taken", "--yes", status=2)["error"]
    assert refused["title"] == "taken:latest is there already, and the new one cannot be proven"
    assert "--template" in refused["hint"]
    assert "--unproven" in refused["hint"]
    known = say("x.gguf", "taken", "--yes", "--template", "llama3", status=2)["error"]
    assert known["title"] == refused["title"]
    assert "setup llamafactory" in known["hint"], "none is in this home"
    assert not yard.library.list()

    def template() -> str:
        async def ask() -> str:
            async with Client(host) as client:
                return (await client.show("taken")).template

        return asyncio.run(ask())

    before = template()
    for training in ({}, {"template": "llama3"}):  # the name was taken after the start
        asked = Deployment(str(place / "x.gguf"), "taken", host=host, training=training)
        (job_id,) = yard.launch(asked.spec(workspace=place))
        job = yard.until(job_id)
        assert job.status is Status.FAILED
        assert "cannot be proven" in job.state.title.english()
        assert template() == before

    assert run(["deploy", "x.gguf", "taken", "--yes", "--unproven", "-p", "top_k=3"]) == 0
    assert "Not proven: It is not known with which template the model was trained." in capsys.readouterr().out
    yard.ids += [one.id for one in yard.library.list()]


def test_a_dry_run_is_refused_for_what_would_keep_the_start_from_starting(
    place: Path, say: Say, yard: Yard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = say("x.gguf", "robin", "--template", "chatml", "--dry-run")
    assert (ready["ok"], ready["refused"]) == (True, None)
    assert "There is no LLaMA-Factory here" in ready["warnings"][0], "so there is no proof, either"
    (place.parent / "bin" / "ollama").write_text("#!/bin/sh\necho 'Warning: client version is 0.3.1'\n")
    old = say("x.gguf", "robin", "--template", "chatml", "--dry-run", status=2)
    assert "0.3.1" in old["refused"]["detail"]
    (place.parent / "bin" / "ollama").unlink()
    words = ["x.gguf", "robin", "--template", "chatml"]
    none = say(*words, "--dry-run", status=2)
    assert (none["ok"], none["refused"]["title"]) == (False, "There is no Ollama on this machine")
    assert [step["kind"] for step in none["steps"]] == ["deploy"]
    assert say(*words, status=2)["error"] == none["refused"]
    assert run(["deploy", *words, "--dry-run"]) == 2
    said = capsys.readouterr().out
    assert "✗ There is no Ollama on this machine" in said
    assert "paddock setup ollama" in said
    assert not yard.library.list()


def test_a_server_that_was_named_and_is_not_used_is_told(
    place: Path, say: Say, old_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = f"127.0.0.1:{free_port()}"
    reasons = {
        silent: f"No Ollama answers at http://{silent}, which OLLAMA_HOST or the setting ollama_host names.",
        old_server: f"The server at http://{old_server} is Ollama 0.5.0, older than {OLDEST}.",
    }
    words = ["x.gguf", "robin", "--template", "chatml", "--dry-run"]
    for server, why in reasons.items():
        monkeypatch.setenv("OLLAMA_HOST", server)
        assert f"{why} Paddock's own server is used." in say(*words)["warnings"]
    (place.parent / "bin" / "ollama").unlink()
    for server, why in reasons.items():
        monkeypatch.setenv("OLLAMA_HOST", server)
        none = say(*words, status=2)
        assert none["refused"]["title"] == "There is no Ollama on this machine"
        assert none["refused"]["detail"].startswith(f"{why}\nNo ollama program was found"), none["refused"]


def test_a_dry_run_says_that_a_name_would_be_lost(place: Path, host: str, say: Say) -> None:
    refused = say("x.gguf", "taken", "--dry-run", status=2)["refused"]
    assert refused["title"] == "taken:latest is there already, and the new one cannot be proven"


def test_a_name_on_the_private_server_is_seen_while_it_does_not_run(place: Path, say: Say, yard: Yard) -> None:
    manifests = models_folder(yard.paths) / "manifests"
    for name in ("registry.ollama.ai/library/robin/latest", "registry.ollama.ai/me/wren/v1"):
        (manifests / name).parent.mkdir(parents=True)
        (manifests / name).write_text("{}")
    paths = Paths.under(yard.root)
    names = ["robin", "Robin:latest", "me/wren:v1", "robin:v1", "wren:v1", "other"]
    assert [has_manifest(paths, parse_name(name)) for name in names] == [True, True, True, False, False, False]
    assert say("x.gguf", "robin", "--unproven", status=2)["error"]["title"] == "There is a model robin:latest already"
