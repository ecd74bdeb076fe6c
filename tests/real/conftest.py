"""What the tests on real parts share: the LLaMA-Factory and the Ollama that are installed, and runs of the demo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.lf.find import LlamaFactory, find
from backend.ollama.discover import FoundBinary, find_binary
from data.paths import Paths
from data.settings import load_settings
from tests.real.demo import DemoRuns


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
