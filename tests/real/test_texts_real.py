"""The texts of models that have eyes, in the real llama-server: a GGUF of ours goes on as transformers does."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.convert.converter import convert
from backend.lf.find import LlamaFactory
from backend.ollama.discover import FoundBinary, engine_folder
from tests import oracle
from tests.families import MODELS
from tests.support import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAMES = (
    "qwen3-vl",
    "qwen3-vl-moe as published",
    "mistral-small-3.1",
    "ministral-3",
    "smolvlm",
    "idefics-3",
    "llama-4",
)
ASKED: dict[str, Any] = {"ids": [15, 17, 42, 99, 123], "banned": list(range(8)), "count": 8}
"""No token that could end the answer: what counts as such is not the same on both sides"""


@pytest.fixture(scope="module")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, without our GGUFs."""
    root = tmp_path_factory.mktemp("texts")
    orders = [MODELS[name].order(root / name) for name in NAMES]
    run(lf, "tiny_models.py", orders)
    for name in NAMES:
        MODELS[name].write_tokenizer(root / name)
    return root


@pytest.fixture(scope="module")
def theirs(lf: LlamaFactory, made: Path) -> dict[str, list[int]]:
    """How transformers goes on with each."""
    answers: list[list[int]] = json.loads(
        run(lf, "lf_greedy.py", {"folders": [str(made / name) for name in NAMES], **ASKED})
    )
    return dict(zip(NAMES, answers, strict=True))


def run(lf: LlamaFactory, program: str, value: object) -> str:
    done = subprocess.run(
        [str(lf.python), str(oracle.PROGRAMS / program)],
        input=json.dumps(value),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@contextmanager
def serving(program: Path, gguf: Path) -> Generator[str]:
    """Run llama-server with one model on a free port, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    exact = ["--cache-type-k", "f32", "--cache-type-v", "f32"]  # as transformers keeps them
    words = [program, "-m", gguf, "--host", "127.0.0.1", "--port", str(port), "-c", "256", "-t", "1", *exact]
    log = gguf.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            return httpx.get(f"{url}/health", timeout=2).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, timeout_s=60, what="llama-server")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", NAMES)
def test_the_text_goes_on_as_with_transformers(
    made: Path, theirs: dict[str, list[int]], binary: FoundBinary, tmp_path: Path, name: str
) -> None:
    report = convert(made / name, tmp_path / "a.gguf", outtype="f32")
    assert report.left_out > 0 or name == "llama-4"
    asked = {
        "prompt": ASKED["ids"],
        "n_predict": ASKED["count"],
        "logit_bias": [[number, False] for number in ASKED["banned"]],
        "temperature": 0,
        "return_tokens": True,
    }
    with serving(engine_folder(binary.path) / "llama-server", tmp_path / "a.gguf") as url:
        answer = httpx.post(f"{url}/completion", json=asked, timeout=60).raise_for_status().json()
    assert answer["tokens"] == theirs[name]
