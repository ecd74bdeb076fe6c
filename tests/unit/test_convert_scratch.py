"""What a conversion that was killed leaves: nothing for longer than until the next one, and nothing of a living one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.convert.quantise import quantise
from backend.convert.scratch import scratch
from data.files import is_locked
from tests.support import wait_until
from tests.unit.llama_cpp_folder import write_settings, write_unknown_model
from tests.unit.model_folder import write_model

# Each is killed by itself, in the middle of its work: FOLDER FILE.
OURS = """
from backend.convert.converter import convert
convert(source, target, progress=lambda _done, _total: os.kill(os.getpid(), signal.SIGKILL))
"""
SCRIPTED = """
from backend.convert.llama_cpp import find_script
from backend.convert.script import convert_by_script
from data.paths import Paths
from data.settings import load_settings
paths = Paths.default()
script = find_script(paths, load_settings(paths.settings).values, Path("/"))
convert_by_script(source, target, script, outtype="bf16", progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""
QUANTISED = """
from backend.convert.converter import convert
from backend.convert.quantise import quantise
quantise(
    lambda wide: convert(source, wide), target, "q4_k_m", Path(sys.argv[3]),
    progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL),
)
"""
IN_16_BITS = """
from backend.convert.converter import convert
from backend.convert.quantise import quantise
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
quantise(lambda wide: convert(source, wide, progress=kill), target, "q4_k_m", Path(sys.argv[3]))
"""
# A llama-quantize that says who it is, and works on after us until somebody ends it.
HANGS = f"""#!{sys.executable}
import os, sys, threading
wide, part = sys.argv[-4:-2]
open(part, "wb").write(b"GGUF")
open(__file__ + ".pid", "w").write(str(os.getpid()))
print("[ 1/ 2] a", flush=True)
threading.Event().wait()
"""


def killed(code: str, *args: object, environ: dict[str, str] | None = None) -> None:
    head = "import os, signal, sys\nfrom pathlib import Path\nsource, target = Path(sys.argv[1]), Path(sys.argv[2])\n"
    argv = [sys.executable, "-P", "-c", head + code, *map(str, args)]
    ended = subprocess.run(argv, check=False, timeout=60, env={**os.environ, **(environ or {})}, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize("code", [OURS, IN_16_BITS], ids=["ours", "16bit"])
def test_the_next_conversion_to_the_same_file_removes_what_a_killed_one_left(tmp_path: Path, code: str) -> None:
    folder, target = tmp_path / "model", tmp_path / "out" / "a [1]{b}.gguf"
    write_model(folder)
    target.parent.mkdir()
    target.write_bytes(b"old")
    killed(code, folder, target, "never reached")
    (left,) = (name for name in left_in(target.parent) if name != target.name)
    assert left.startswith(".")
    assert target.read_bytes() == b"old"
    convert(folder, target)
    assert left_in(target.parent) == [target.name]


def test_so_does_it_where_llama_cpps_script_was_at_work(tmp_path: Path) -> None:
    folder, target = write_unknown_model(tmp_path / "unknown"), tmp_path / "out" / "a.gguf"
    settings = write_settings(tmp_path)
    environ = {
        "PADDOCK_HOME": str(tmp_path / "home"),
        "PADDOCK_LLAMA_CPP_DIR": settings.llama_cpp_dir,
        "PADDOCK_LLAMAFACTORY_PYTHON": settings.llamafactory_python,
    }
    killed(SCRIPTED, folder, target, environ=environ)
    (left,) = target.parent.iterdir()
    wait_until(lambda: not is_locked(left / "lock"), what="the end of the script")
    write_model(tmp_path / "model")
    convert(tmp_path / "model", target)
    assert left_in(target.parent) == [target.name]


def test_what_a_program_still_writes_stays_until_it_has_ended_too(tmp_path: Path) -> None:
    folder, target, program = tmp_path / "model", tmp_path / "out" / "a.gguf", tmp_path / "llama-quantize"
    write_model(folder)
    program.write_text(HANGS)
    program.chmod(0o755)
    killed(QUANTISED, folder, target, program)
    (left,) = left_in(target.parent)
    pid = int(program.with_name("llama-quantize.pid").read_text())
    try:
        convert(folder, target)
        assert left_in(target.parent) == [left, target.name]
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_locked(target.parent / left / "lock"), what="the end of the program")
    convert(folder, target)
    assert left_in(target.parent) == [target.name]


def test_conversions_to_the_same_file_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    with scratch(target) as first, scratch(target) as second, scratch(tmp_path / "a") as other:
        assert len({first.folder, second.folder, other.folder}) == 3
        assert first.folder.is_dir()
    assert left_in(tmp_path) == []


def test_many_at_once_each_get_a_folder_that_stays(tmp_path: Path) -> None:
    lost: list[Path] = []

    def work() -> None:
        for _number in range(50):
            with scratch(tmp_path / "a.gguf") as made:
                (made.folder / "gguf").touch()
                if left_in(made.folder) != ["gguf", "lock"]:
                    lost.append(made.folder)

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert left_in(tmp_path) == []


def test_hidden_folders_of_others_stay(tmp_path: Path) -> None:
    merge = tmp_path / ".a.gguf.20260101-000000-export-abcd.part"
    merge.mkdir()
    (tmp_path / ".a.gguf.note.part").write_text("mine")
    with scratch(tmp_path / "a.gguf"):
        pass
    assert left_in(tmp_path) == sorted([merge.name, ".a.gguf.note.part"])


def test_a_killed_llama_quantize_of_ours_leaves_nothing_either(tmp_path: Path) -> None:
    folder, target, program = tmp_path / "model", tmp_path / "out" / "a.gguf", tmp_path / "llama-quantize"
    write_model(folder)
    program.write_text(
        f'#!{sys.executable}\nimport sys\nopen(sys.argv[-3], "wb").write(open(sys.argv[-4], "rb").read())\n'
    )
    program.chmod(0o755)
    killed(QUANTISED.replace("progress", "begin"), folder, target, program)
    assert left_in(target.parent) != []
    quantise(lambda wide: convert(folder, wide), target, "q4_k_m", program)
    assert left_in(target.parent) == [target.name]
