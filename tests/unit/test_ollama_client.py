"""The client against a little server that goes wrong in every way that Ollama can."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from backend.ollama import blob
from backend.ollama.address import Address
from backend.ollama.client import Client, Creation
from backend.ollama.failure import ModelMissingError, ServerDiedError, UnreachableError
from backend.ollama.probe import has_loaded_models, version_at
from backend.ollama.serve import free_port
from data.errors import AppError
from data.i18n import verbatim
from tests.support import program, wait_until

Start = Callable[[str], Address]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the stub in a mode; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(mode: str) -> Address:
        file = tmp_path / f"port{len(running)}"
        running.append(subprocess.Popen(program("ollama_stub.py", file, mode), stderr=subprocess.DEVNULL))
        return Address("127.0.0.1", int(wait_until(lambda: file.exists() and file.read_text(), what="the stub")))

    yield begin
    for process in running:
        process.kill()
        process.wait()


async def made(client: Client, name: str = "m") -> None:
    async for _step in client.create(name, Creation(source="base")):
        pass


async def seen(client: Client) -> list[object]:
    value = await client.ask("GET", "/stub/seen", doing=verbatim("asking the stub"))
    return list(value["seen"])  # type: ignore[call-overload] - the stub's own list


async def test_a_model_is_uploaded_created_listed_and_talks(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" * 3_000_000)
    moved: list[tuple[int, int]] = []
    async with Client(start("ok")) as client:
        assert await client.require() == "0.32.7"
        digest = await blob.digest(file, lambda done, total: moved.append((done, total)))
        assert digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        assert moved[-1] == (12_000_000, 12_000_000)
        assert len(moved) > 1
        await client.upload(file, digest, lambda done, total: moved.append((done, total)))
        await client.upload(file, digest)  # is there already
        creation = Creation(files={"m.gguf": digest}, template="T", parameters={"top_k": 1}, quantize="q8_0")
        steps = [step async for step in client.create("m", creation)]
        assert steps[-1].status == "success"
        assert steps[1].total_bytes == 3
        (listed,) = await client.list()
        assert (listed.name, listed.size_bytes, listed.quantization) == ("m:latest", 12_000_000, "F16")
        assert listed.modified_at is not None
        shown = await client.show("m")
        assert (shown.template, shown.parameters, shown.capabilities) == ("T", "top_k 1", ("completion",))
        deltas = [delta async for delta in client.chat("m", [{"role": "user", "content": "Hi"}], think=False)]
        assert deltas[0].thinking == "Hmm."
        text = "".join(delta.text for delta in deltas)
        assert text == 'I heard {"messages": [{"role": "user", "content": "Hi"}], "options": null, "think": false}'
        stats = deltas[-1].stats
        assert stats is not None
        assert (stats.prompt_tokens, stats.tokens_per_s, stats.done_reason) == (7, 2.0, "stop")
        assert [model.name for model in await client.ps()] == ["m:latest"]
        await client.unload("m")
        assert await client.ps() == []
        assert (await seen(client)).count("upload") == 1


async def test_copy_delete_generate_pull_render(start: Start) -> None:
    address = start("ok")
    async with Client(address) as client:
        await made(client)
        await client.copy("m", "n:2")
        await client.delete("m")
        assert not await client.has("m")
        assert await client.has("n:2")
        assert "".join([d.text async for d in client.generate("n:2", "abc", raw=True)]) == "ABC"
        assert [p.completed_bytes async for p in client.pull("x")] == [None, 50, 100, 20, None]
        assert await client.render("n:2", [{"role": "user", "content": "?"}]) == "<user>?"
    assert version_at(address) == "0.32.7"
    assert has_loaded_models(address) is False


async def test_closing_the_stream_stops_the_generation(start: Start) -> None:
    async with Client(start("slow")) as client:
        await made(client)
        async with aclosing(client.chat("m", [])) as deltas:
            count = 0
            async for _delta in deltas:
                count += 1
                if count == 5:
                    break
        async with asyncio.timeout(20):
            while "chat stopped" not in await seen(client):  # noqa: ASYNC110 - the other side is a process
                await asyncio.sleep(0.02)


async def test_a_model_that_is_not_there(start: Start) -> None:
    async with Client(start("ok")) as client:
        for call in (client.show("x"), client.delete("x"), client.copy("x", "y"), client.unload("x")):
            with pytest.raises(ModelMissingError) as caught:
                await call
            assert "x" in caught.value.title.english()
            assert caught.value.hint
        with pytest.raises(ModelMissingError):
            async for _delta in client.chat("x", []):
                pass


async def test_nothing_listens() -> None:
    address = Address("127.0.0.1", free_port())
    async with Client(address) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.version()
    assert address.url in caught.value.title.english()
    assert "ollama serve" in caught.value.hint.english()
    assert version_at(address) is None
    assert has_loaded_models(address) is None


async def test_a_server_that_dies_says_on_which_model(start: Start) -> None:
    async with Client(start("dies")) as client:
        with pytest.raises(ServerDiedError) as caught:
            await made(client, "doomed")
        assert "creating doomed" in caught.value.title.english()
        with pytest.raises(UnreachableError):
            await client.version()


async def test_a_stream_that_is_cut_by_a_living_server(start: Start) -> None:
    async with Client(start("cut")) as client:
        with pytest.raises(AppError) as caught:
            await made(client)
    assert not isinstance(caught.value, ServerDiedError)
    assert "broke while creating m" in caught.value.title.english()


async def test_an_error_in_a_stream(start: Start) -> None:
    async with Client(start("error")) as client:
        with pytest.raises(AppError) as caught:
            async for _step in client.create("m", Creation(files={"m.gguf": "sha256:0"})):
                pass
        assert "architecture not supported" in caught.value.detail.english()
        assert "update Ollama" in caught.value.hint.english()
        await made(client)
        with pytest.raises(AppError) as caught:
            async for _delta in client.chat("m", []):
                pass
        assert "The engine" in caught.value.hint.english()


async def test_a_full_disk_on_the_server(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"x" * 9_000_000)
    async with Client(start("full")) as client:
        with pytest.raises(AppError) as caught:
            await client.upload(file, await blob.digest(file))
    assert "no space left" in caught.value.detail.english()
    assert "OLLAMA_MODELS" in caught.value.hint.english()


async def test_something_else_listens_there(start: Start) -> None:
    address = start("html")
    async with Client(address) as client:
        for call in (client.version(), client.list(), client.show("x")):
            with pytest.raises(AppError) as caught:
                await call
            assert "not an Ollama server" in caught.value.title.english()
            assert "nginx" in caught.value.detail.english()
    assert version_at(address) is None


async def test_an_old_server_is_refused(start: Start) -> None:
    async with Client(start("old")) as client:
        assert await client.version() == "0.9.1"
        for call in (client.require(), client.render("m", [])):
            with pytest.raises(AppError) as caught:
                await call
            assert "0.9.1" in caught.value.detail.english()


async def test_a_file_that_is_not_there() -> None:
    with pytest.raises(AppError) as caught:
        await blob.digest(Path("/nowhere/m.gguf"))
    assert "/nowhere/m.gguf" in caught.value.title.english()
