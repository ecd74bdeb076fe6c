"""A real Ollama, started by these tests on a free loopback port as a job of its own, and ended by them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.convert.converter import convert
from backend.convert.llama_cpp import find_quantize
from backend.convert.quantise import quantise
from backend.ollama.client import Client
from backend.ollama.discover import FoundBinary
from backend.ollama.failure import ModelMissingError
from backend.ollama.modelfile import make, parse
from data.gguf import read_header
from data.jobs.status import Status
from data.paths import Paths
from data.settings import Settings
from tests.real.ollama_home import CHATML, GREEDY, QUESTION, Home, chatml
from tests.unit.model_folder import write_model

pytestmark = [pytest.mark.real, pytest.mark.slow]


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
