"""What every test gets: English, a home of its own for Paddock, and nothing of the person's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from data import i18n
from data.paths import HOME_VARIABLE
from data.settings import PREFIX
from tests.support import Yard

# How long an example takes says something about the machine and what else it does, not about the code.
settings.register_profile("paddock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("paddock"), max_examples=20)  # of `make check`
settings.load_profile("paddock")

# Beside other tests, threads that wait for each other in a loop take the cores from whoever has work to do.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before xdist writes the groups into the ids, and before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what may run beside what, for `make test`.

    A training takes all cores; beside other programs its threads mostly wait for each other, and it takes three times
    as long and more: what has one runs alone. Of the others, the real tests of a module stay together, since
    they share costly models.
    """
    for item in items:
        if item.get_closest_marker("real") is None:
            continue
        if "demo" in getattr(item, "fixturenames", ()) or item.path.name == "test_train_real.py":
            item.add_marker("trains")
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def _own_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the person's directories. Tests marked real use the managed programs that lie there."""
    kept = dict(os.environ)
    if request.node.get_closest_marker("real") is None:
        for name in [name for name in os.environ if name.startswith(PREFIX) or name == "OLLAMA_HOST"]:
            del os.environ[name]
        os.environ[HOME_VARIABLE] = str(tmp_path_factory.getbasetemp() / "home-of-all-tests")
    i18n.activate("en")
    yield
    os.environ.clear()
    os.environ.update(kept)
    i18n.activate("en")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A home with jobs; whatever of them still lives is ended with the test."""
    made = Yard(tmp_path / "home")
    yield made
    made.close()
