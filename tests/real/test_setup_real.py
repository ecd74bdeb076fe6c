"""The set-up against the real package registry (or the mirror that pip is configured for)."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from backend.setup import llamafactory, pip, source, tools
from data.errors import AppError
from data.jobs.report import Reporter
from data.paths import Paths
from data.settings import Settings

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home")


def test_llama_cpp_comes_from_the_registry_and_nothing_of_its_archive_runs(paths: Paths, tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    env = pip.environment(paths, os.environ)
    python = tools.environment(paths, env, Reporter(tmp_path / "report.jsonl"))
    folder = source.llama_cpp(paths, python, env, Reporter(report))
    assert (folder / "CMakeLists.txt").is_file()
    assert (folder / "tools" / "server").is_dir()
    events = [json.loads(line) for line in report.read_text().splitlines()]
    assert {event["kind"] for event in events} == {"stage", "progress"}
    assert max(event["done"] for event in events if event["kind"] == "progress") == source.DOWNLOAD_BYTES
    assert not list((paths.cache / "setup" / "source").glob("*.tar.gz"))
    assert source.llama_cpp(paths, python, env, Reporter(report)) == folder  # no second fetch


def test_an_archive_with_another_digest_is_refused(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tampered mirror: the archive has the right name, but is not the one that was looked at."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    first = source.ARCHIVES[0]
    with tarfile.open(mirror / f"{first.name}-{first.version}.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo(f"{first.name}-{first.version}/PKG-INFO")
        tar.addfile(info)
    env = pip.environment(paths, os.environ)
    python = tools.environment(paths, env, Reporter(tmp_path / "report.jsonl"))
    monkeypatch.setattr(source, "ARCHIVES", (first,))
    closed = {**env, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(mirror)}
    with pytest.raises(AppError) as caught:
        source.llama_cpp(paths, python, closed, Reporter(tmp_path / "report.jsonl"))
    assert "MATCH THE HASHES" in str(caught.value.detail)
    assert "another mirror" in str(caught.value.hint)


def test_the_llamafactory_in_use_imports_and_its_packages_fit(tmp_path: Path) -> None:
    found = llamafactory.present(Paths.default(), Settings(), os.environ)
    if found is None:
        pytest.skip("no LLaMA-Factory: `paddock setup llamafactory` installs one")
    done = subprocess.run(
        [str(found.python), "-P", "-m", "pip", "check"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    if found.origin == "managed":
        assert found.version == llamafactory.VERSION
        assert (llamafactory.folder(Paths.default()) / llamafactory.MARKER).is_file()
