"""GPUs are read through NVIDIA's own binding from a little libnvidia-ml.so.1 that is compiled here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.telemetry.gpus import NA, GpuReader, known, name_of, user_of
from tests.support import PROGRAMS

READ = """
import json, sys
from backend.telemetry.gpus import read_gpus
reading = read_gpus()
print(json.dumps({**reading.as_json(), "binding": "pynvml" in sys.modules}))
"""
GIB = 1 << 30


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, PROGRAMS / "fake_nvml.c"], check=True
    )
    return folder


def read(library_path: Path, **environ: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ],
        env={**os.environ, "LD_LIBRARY_PATH": str(library_path), **environ},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_gpu_is_read_with_memory_load_temperature_power_and_owners(driver: Path) -> None:
    answer = read(driver, FAKE_NVML_PID=str(os.getpid()))
    first = answer["gpus"][0]
    assert (answer["driver_version"], answer["cuda_version"], answer["reason"]) == ("580.65.06", "13.0", None)
    processes = first.pop("processes")
    assert first == {
        "index": 0,
        "uuid": "GPU-0a",
        "name": "NVIDIA L4",
        "memory_total_bytes": 24 * GIB,
        "memory_used_bytes": 6 * GIB,
        "utilization_percent": 87,
        "temperature_c": 61,
        "power_w": 71.5,
        "power_limit_w": 72.0,
        "mig_instances": [],
    }
    ours, foreign = processes
    assert (ours["pid"], ours["used_bytes"], ours["user"]) == (os.getpid(), 5 * GIB, user_of(os.getpid()))
    assert foreign == {"pid": 4194303, "used_bytes": GIB, "user": None, "name": None}


def test_what_a_gpu_does_not_tell_is_null_and_its_mig_slices_are_named(driver: Path) -> None:
    second = read(driver)["gpus"][1]
    assert (second["utilization_percent"], second["temperature_c"], second["processes"]) == (None, None, [])
    assert second["mig_instances"] == [
        {
            "index": 2,
            "uuid": "MIG-3f",
            "name": "NVIDIA A100 MIG 1g.10gb",
            "memory_total_bytes": 10 * GIB,
            "memory_used_bytes": GIB,
        }
    ]


def test_a_driver_that_was_updated_under_way_is_a_reason_not_an_error(driver: Path) -> None:
    answer = read(driver, FAKE_NVML_FAIL="18")
    assert answer["gpus"] == []
    assert "mismatch" in answer["reason"].lower()


def test_without_a_driver_there_is_a_reason_and_the_binding_is_not_even_loaded(tmp_path: Path) -> None:
    answer = read(tmp_path)
    if answer["gpus"]:
        pytest.skip("this machine has a driver")
    assert "libnvidia-ml.so.1" in answer["reason"]
    assert answer["binding"] is False


def test_a_reader_can_be_closed_and_used_again() -> None:
    reader = GpuReader()
    before = reader.read()
    reader.close()
    assert len(reader.read().gpus) == len(before.gpus)
    reader.close()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "n/a"),
        ("6.1f", "   n/a"),
        (">5", "  n/a"),
        ("<6d", "n/a   "),
        ("^7,", "  n/a  "),
        ("2d", "n/a"),
        ("+.1f", "n/a"),
    ],
)
def test_not_available_formats_where_a_number_would(spec: str, expected: str) -> None:
    assert format(NA, spec) == expected
    assert known(NA) is None
    assert not NA


def test_a_process_is_named_by_its_script() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, "x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert str(name_of(child.pid)).startswith("python")
        child.communicate()
    assert name_of(4194303) is NA
