"""The life of a real private Ollama: where it listens, what ends it, and what survives its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backend.chat.engine import Answer, answer_whole
from backend.chat.ollama import OllamaEngine
from backend.deploy.server import private_server, serve_spec
from backend.ollama.client import Client
from backend.ollama.discover import FoundBinary, version_of
from backend.ollama.failure import ServerDiedError, UnreachableError
from backend.ollama.private import models_folder
from backend.ollama.version import is_new_enough
from data.chats import Conversation
from data.jobs.status import Status
from tests import tiny_gguf
from tests.real.ollama_home import QUESTION, Home, chatml
from tests.support import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_program_says_its_version(binary: FoundBinary) -> None:
    version = version_of(binary.path)
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
    home.launch(spec._replace(params={**spec.params, "idle_minutes": 0.05}))
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
