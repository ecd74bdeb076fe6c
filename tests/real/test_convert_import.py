"""What our converter does not know and a real Ollama imports: its file, what is set in it, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest

from backend.convert.imported import KNOWN
from backend.convert.planning import make_plan
from backend.convert.refusal import UnknownHereError
from backend.convert.sidecar import read_sidecar
from backend.jobs.launch import request_stop
from backend.lf.find import LlamaFactory
from backend.ollama import blob
from backend.ollama.address import parse_address
from backend.ollama.client import Client, Creation
from data.gguf import check, read_header
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from tests import oracle
from tests.families import Model
from tests.ollamas import CURRENT, VERSIONS, binary, server
from tests.support import Yard, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
LFM2 = Model("Lfm2", {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3, "block_ff_dim": 96})


@pytest.fixture(scope="module")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and what llama.cpp's script makes of it: the weights have to be the same."""
    root = tmp_path_factory.mktemp("import")
    program = oracle.PROGRAMS / "tiny_models.py"
    orders = json.dumps([LFM2.order(root / "lfm2")]).encode()
    done = subprocess.run([str(lf.python), str(program)], input=orders, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    LFM2.write_tokenizer(root / "lfm2")
    (root / "lfm2" / "chat_template.jinja").write_text(TEMPLATE)
    oracle.convert_all(
        lf.python, [oracle.Conversion(root / "lfm2", root / "lfm2.gguf", "bf16", "Paddock Test", "lfm2")]
    )
    return root


def spec(folder: Path, target: Path, **more: object) -> JobSpec:
    params = {"source": str(folder), "target": str(target), "outtype": "bf16", "name": "Paddock Test", **more}
    return JobSpec.new("convert", folder.name, workspace=str(folder), params=params)


def environ(yard: Yard, version: str) -> dict[str, str]:
    return {**yard.environ, "PADDOCK_OLLAMA_BINARY": str(binary(version))}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_makes_what_ollama_imports_and_sets_what_it_leaves_out(
    made: Path, yard: Yard, tmp_path: Path, version: str
) -> None:
    with pytest.raises(UnknownHereError):
        make_plan(made / "lfm2")
    target = tmp_path / "out" / "ours.gguf"
    (job_id,) = yard.launch(spec(made / "lfm2", target), environ=environ(yard, version))
    job = yard.until(job_id, timeout_s=240)
    assert job.status is Status.SUCCEEDED, f"{job.state.title.english()} {job.state.detail.english()}"
    assert (job.state.result["converter"], job.state.result["outtype"]) == ("ollama", "bf16")
    header = read_header(target)
    assert check(header) == ()
    assert header.text("general.name") == "Paddock Test"
    assert header.text("tokenizer.chat_template") == TEMPLATE
    assert header.whole("general.file_type") == 32
    assert header.text("tokenizer.ggml.pre") not in ("", "default")
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(made / "lfm2.gguf").tensors}
    for tensor in gguf.GGUFReader(target).tensors:
        assert np.array_equal(np.asarray(tensor.data).ravel(), np.asarray(theirs.pop(tensor.name).data).ravel())
    assert not theirs
    sidecar = read_sidecar(target)
    assert sidecar is not None
    assert sidecar["ollama"] == {"program": str(binary(version)), "version": version}
    assert sorted(path.name for path in target.parent.iterdir()) == ["ours.gguf", "ours.gguf.json"]
    assert job.state.progress is not None
    assert job.state.progress.unit == "bytes"


async def test_what_it_made_is_a_model_that_answers(made: Path, yard: Yard, tmp_path: Path) -> None:
    target = tmp_path / "ours.gguf"
    (job_id,) = yard.launch(spec(made / "lfm2", target, outtype="q8_0"), environ=environ(yard, CURRENT))
    assert yard.until(job_id, timeout_s=240).status is Status.SUCCEEDED
    assert {tensor.type.name for tensor in read_header(target).tensors} == {"Q8_0", "F32"}
    with server(CURRENT) as running:
        async with Client(parse_address(running.url)) as client:
            digest = await blob.digest(target)
            await client.upload(target, digest)
            async for _step in client.create("tiny", Creation(files={target.name: digest})):
                pass
            said = [piece async for piece in client.generate("tiny", "hello", raw=True, options={"num_predict": 4})]
    assert said[-1].stats is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_ollama_refuses_is_said_in_its_words_and_leaves_nothing(
    made: Path, yard: Yard, tmp_path: Path, version: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (made / "lfm2").iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["NobodysForCausalLM"]}))
    target = tmp_path / "out" / "ours.gguf"
    (job_id,) = yard.launch(spec(folder, target, converter="ollama"), environ=environ(yard, version))
    job = yard.until(job_id, timeout_s=240)
    assert job.status is Status.FAILED
    assert "NobodysForCausalLM" in job.state.detail.english()
    assert list(target.parent.iterdir()) == []
    assert "NobodysForCausalLM" not in KNOWN


def test_a_stop_ends_the_server_and_leaves_nothing(made: Path, yard: Yard, tmp_path: Path) -> None:
    target = tmp_path / "out" / "ours.gguf"
    (job_id,) = yard.launch(spec(made / "lfm2", target), environ=environ(yard, CURRENT))
    wait_until(lambda: target.parent.is_dir() and list(target.parent.glob(".*/models")), what="the server's folder")
    request_stop(yard.job(job_id), "graceful")
    assert yard.until(job_id).status is Status.STOPPED
    assert list(target.parent.iterdir()) == []
    wait_until(lambda: not yard.alive(job_id), what="the end of the server")
