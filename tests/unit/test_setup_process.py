"""Programs that a set-up runs: their output, and that nothing of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.setup import llamafactory, pip, space
from backend.setup.process import answer_of, run
from backend.setup.tools import CMAKE, COMPILER, GO, MODE_VARIABLE, NINJA, missing, of_the_machine
from data.errors import AppError
from data.paths import Paths
from data.settings import Settings
from tests.support import wait_until

ENV = {"PATH": os.defpath}
# A work of ours with a child that ignores SIGTERM and has a child itself; each writes its pid.
WORK = """
import signal, sys
from backend.setup.process import run
signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(143))
CHILD = '''
import os, pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {grandchild.pid}")
signal.pause()
'''
run([sys.executable, "-c", CHILD, sys.argv[1]], env={})
"""


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_lines_come_whole_whatever_ends_them_and_progress_stays_out_of_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import sys; print('one\\rtwo\\nProgress 5'); sys.stderr.write('drei ü'); sys.exit(3)"
    seen: list[str] = []

    def take(line: str) -> bool:
        seen.append(line)
        return line.startswith("Progress")

    ended = run([sys.executable, "-X", "utf8", "-u", "-c", code], env=ENV, take_line=take)
    assert (ended.status, seen) == (3, ["one", "two", "Progress 5", "drei ü"])
    assert ended.lines == ("one", "two", "drei ü")
    assert ended.last(2) == "two\ndrei ü"
    assert "Progress" not in capfd.readouterr().out.splitlines()


def test_a_grandchild_that_keeps_the_output_open_does_not_hold_it_up() -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('done')"
    assert run([sys.executable, "-c", code], env=ENV).lines == ("done",)


def test_a_stopped_set_up_leaves_no_process_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen([sys.executable, "-P", "-c", WORK, str(pids)], stdout=subprocess.DEVNULL) as work:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        work.send_signal(signal.SIGTERM)
        assert work.wait(20) == 143
    wait_until(lambda: all(gone(int(pid)) for pid in pids.read_text().split()))


def test_a_program_that_is_not_there_or_fails_has_no_answer() -> None:
    assert answer_of(["/none/at/all"]) is None
    assert answer_of([sys.executable, "-c", "raise SystemExit(1)"]) is None
    assert answer_of([sys.executable, "-c", "print('yes')"]) == "yes\n"


def test_the_environment_of_pip_keeps_mirrors_and_drops_what_would_mislead_it(tmp_path: Path) -> None:
    given = {
        "PIP_INDEX_URL": "https://mirror.invalid/simple",
        "https_proxy": "http://proxy.invalid",
        "PIP_TARGET": "/elsewhere",
        "PYTHONPATH": "/elsewhere",
        "PIP_USER": "1",
    }
    env = pip.environment(Paths.under(tmp_path), given)
    assert env["PIP_INDEX_URL"] == given["PIP_INDEX_URL"]
    assert env["https_proxy"] == given["https_proxy"]
    assert env["PIP_USER"] == "0"
    assert not {"PIP_TARGET", "PYTHONPATH"} & env.keys()
    assert Path(env["TMPDIR"]).is_relative_to(tmp_path)


def test_too_little_room_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    with pytest.raises(AppError) as caught:
        space.require({paths.data: 1 << 60, paths.cache: 1 << 60})
    assert f"{(1 << 61) / 1e9:.1f} GB are needed" in str(caught.value)  # one file system: the needs add up
    space.require({paths.data: 0})


def fake_tool(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("name", "says", "tool", "good"),
    [
        ("go", "go version go1.26.8 linux/amd64", GO, True),
        ("go", "go version go1.24.1 linux/amd64", GO, False),
        ("cmake", "cmake version 3.25.1", CMAKE, True),
        ("cmake", "cmake version 3.10.2", CMAKE, False),
        ("ninja", "1.11.1", NINJA, True),
        ("ninja", "1.8.2", NINJA, False),
    ],
)
def test_a_tool_of_the_machine_is_taken_when_it_is_new_enough(
    tmp_path: Path, name: str, says: str, tool: object, good: bool
) -> None:
    fake_tool(tmp_path, name, says)
    assert tool in (GO, CMAKE, NINJA)
    found = of_the_machine(next(t for t in (GO, CMAKE, NINJA) if t is tool), {"PATH": str(tmp_path)})
    assert (found == tmp_path / name) is good


def test_a_compiler_alone_is_not_enough(tmp_path: Path) -> None:
    fake_tool(tmp_path, "c++", "c++ (Debian 12.2.0-14) 12.2.0")
    environ = {"PATH": str(tmp_path)}
    assert of_the_machine(COMPILER, environ) is None
    fake_tool(tmp_path, "cc", "cc (Debian 12.2.0-14) 12.2.0")
    fake_tool(tmp_path, "ar", "GNU ar")
    assert of_the_machine(COMPILER, environ) == tmp_path / "c++"
    assert missing({**environ, MODE_VARIABLE: "wheels"}) == (GO, CMAKE, NINJA, COMPILER)


def managed_environment(paths: Paths, *packages: str) -> Path:
    site = paths.llamafactory / f".{llamafactory.SET}" / "lib" / "python3.11" / "site-packages"
    for package in packages:
        (site / f"{package}.dist-info").mkdir(parents=True)
    place = site.parents[2]
    (place / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to(sys.executable)
    return place


def test_a_begun_environment_is_never_used(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    assert not llamafactory.begun(paths)
    managed_environment(paths, "llamafactory-0.9.5", "torch-2.11.0")
    assert llamafactory.begun(paths)
    assert llamafactory.managed(paths) is None
    found = llamafactory.present(paths, Settings(), {"PATH": str(tmp_path)})
    assert found is None or found.origin == "own"
