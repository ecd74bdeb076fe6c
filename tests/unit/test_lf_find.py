"""LLaMA-Factory is found where people have it, by looking at folders, and a wish that fails is never passed over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backend.lf import find as finding
from data.errors import RequestError
from data.paths import Paths
from data.settings import Settings
from tests.support import PROGRAMS


def make(folder: Path) -> Path:
    subprocess.run([sys.executable, str(PROGRAMS / "fake_trainer.py"), "install", str(folder)], check=True)
    return folder / "bin" / "python"


def found(
    root: Path, environ: dict[str, str] | None = None, workspace: Path | None = None, setting: str = ""
) -> finding.LlamaFactory | None:
    return finding.find(
        Settings(llamafactory_python=setting), Paths.under(root / "home"), workspace, {"PATH": ""} | (environ or {})
    )


def test_an_empty_machine_has_none(tmp_path: Path) -> None:
    assert found(tmp_path) is None


@pytest.mark.parametrize("origin", ["managed", "VIRTUAL_ENV", "CONDA_PREFIX", "workspace", "PATH", "settings"])
def test_every_place_is_looked_at(tmp_path: Path, origin: str) -> None:
    places = {"managed": tmp_path / "home/data/llamafactory/0.9.5", "workspace": tmp_path / "work/.venv"}
    folder = places.get(origin, tmp_path / "env")
    python = make(folder)
    environ = {origin: str(folder)} if origin.isupper() and origin != "PATH" else {}
    if origin == "PATH":
        environ = {"PATH": str(folder / "bin")}
        program = folder / "bin" / "llamafactory-cli"
        program.write_text(program.read_text().replace(sys.executable, str(python), 1))
    answer = found(
        tmp_path,
        environ,
        tmp_path / "work" if origin == "workspace" else None,
        setting=str(python) if origin == "settings" else "",
    )
    assert answer is not None
    assert (answer.python, answer.origin, answer.version) == (python, origin, "0.9.5")
    assert answer.packages["transformers"] == "5.6.0"
    assert answer.file("transformers", "training_args.py") is not None


def test_the_managed_one_comes_before_an_active_environment(tmp_path: Path) -> None:
    make(tmp_path / "env")
    python = make(tmp_path / "home/data/llamafactory/0.9.5")
    answer = found(tmp_path, {"VIRTUAL_ENV": str(tmp_path / "env")})
    assert answer is not None
    assert answer.python == python


def test_an_environment_that_is_still_being_built_is_not_taken(tmp_path: Path) -> None:
    make(tmp_path / "home/data/llamafactory/.0.9.5.part")
    assert found(tmp_path) is None


def test_the_folder_of_an_environment_is_a_good_setting_too(tmp_path: Path) -> None:
    python = make(tmp_path / "env")
    answer = found(tmp_path, setting=str(tmp_path / "env"))
    assert answer is not None
    assert answer.python == python


@pytest.mark.parametrize("text", ["/nowhere/bin/python", "/bin/cat"])
def test_a_setting_without_llamafactory_is_refused(tmp_path: Path, text: str) -> None:
    make(tmp_path / "home/data/llamafactory/0.9.5")
    with pytest.raises(RequestError) as caught:
        found(tmp_path, setting=text)
    assert text in caught.value.detail.english()


def test_a_venv_over_the_systems_packages_is_asked_for_its_folders(tmp_path: Path) -> None:
    python = make(tmp_path / "env")
    (tmp_path / "env/pyvenv.cfg").write_text("include-system-site-packages = true\n")
    site = next((tmp_path / "env/lib").glob("python3*/site-packages"))
    elsewhere = tmp_path / "elsewhere"
    site.rename(elsewhere)
    python.unlink()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={elsewhere} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    answer = finding.look(python, "PATH")
    assert answer is not None
    assert elsewhere in answer.folders


def test_a_torch_outside_the_environment_is_seen(tmp_path: Path) -> None:
    """A venv over an image's own torch, as rented machines have it: llamafactory inside, torch in the system's."""
    python = make(tmp_path / "env")
    site = next((tmp_path / "env/lib").glob("python3*/site-packages"))
    system = tmp_path / "system"
    system.mkdir()
    (torch,) = site.glob("torch-*.dist-info")
    torch.rename(system / "torch-2.11.0.dist-info")
    python.unlink()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={site}:{system} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    answer = finding.look(python, "settings")
    assert answer is not None
    assert answer.packages["torch"] == "2.11.0"
    assert answer.file("transformers", "training_args.py") is not None


@pytest.mark.parametrize(
    ("head", "python"),
    [
        ("#!/opt/env/bin/python3.11\n", "/opt/env/bin/python3.11"),
        ("#!/bin/sh\n'''exec' \"/opt/my env/bin/python\" \"$0\" \"$@\"\n' '''\n", "/opt/my env/bin/python"),
        ("MZ binary", None),
    ],
)
def test_the_interpreter_of_a_console_script(tmp_path: Path, head: str, python: str | None) -> None:
    script = tmp_path / "llamafactory-cli"
    script.write_text(head)
    assert finding.python_of_script(script) == Path(python or tmp_path / "python")


def test_looking_reads_folders_only(tmp_path: Path) -> None:
    python = make(tmp_path / "env")
    python.unlink()
    python.write_text("#!/bin/sh\ntouch " + str(tmp_path / "was-started") + "\n")
    python.chmod(0o755)
    assert finding.look(python, "PATH") is not None
    assert not (tmp_path / "was-started").exists()
