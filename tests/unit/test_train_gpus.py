"""GPUs that a training asks for and that are not there: told before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.telemetry.gpus import NA, Gpu, GpuReading
from backend.train.gpu_checks import gpu_checks
from data.i18n import verbatim
from data.jobs.spec import GpuRequest
from tests.unit.test_cli import write_training
from tui.commands.root import run

NONE = GpuReading((), NA, NA, verbatim("no driver"))


def reading(*totals: int) -> GpuReading:
    gpus = (Gpu(i, f"GPU-{i}", "H100", total, 0, 0, 30, 100.0, 700.0) for i, total in enumerate(totals))
    return GpuReading(tuple(gpus), "580.1", "13.0", verbatim(""))


@pytest.mark.parametrize(
    ("request_", "there", "found"),
    [
        (None, NONE, ""),
        (GpuRequest(ids=(0,)), NONE, "this machine has none: no driver"),
        (GpuRequest(number=1), NONE, "this machine has none"),
        (GpuRequest(ids=(0, 1)), reading(80 * 10**9, 80 * 10**9), ""),
        (GpuRequest(ids=(0, 2, 5)), reading(80 * 10**9, 80 * 10**9), "not in this machine: 2, 5"),
        (GpuRequest(number=2), reading(80 * 10**9, 80 * 10**9), ""),
        (GpuRequest(number=3), reading(80 * 10**9, 80 * 10**9), "3 GPUs are asked for, and this machine has 2"),
        (GpuRequest(ids=(1,), free_bytes=70 * 10**9), reading(80 * 10**9, 24 * 10**9), "70 GB are asked for"),
        (GpuRequest(number=1, free_bytes=70 * 10**9), reading(80 * 10**9, 24 * 10**9), ""),
        (GpuRequest(number=2, free_bytes=70 * 10**9), reading(80 * 10**9, 24 * 10**9), "70 GB are asked for"),
    ],
)
def test_what_can_never_be_given_is_an_error_that_names_what_is_there(
    request_: GpuRequest | None, there: GpuReading, found: str
) -> None:
    checks = gpu_checks(request_, there)
    if not found:
        assert checks == []
        return
    (check,) = checks
    assert check.level == "error"
    assert found in check.message.english()
    assert ("0 (H100, 80 GB)" if there.gpus else "CPU") in check.remedy.english()


@pytest.mark.parametrize("words", [["--gpus", "4096"], ["--gpus-free", "4096"]])
def test_a_dry_run_says_it_too(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(write_training(tmp_path)), *words, "--dry-run", "--json"]) == 2
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["level"] for check in checks if check["id"] == "gpus.absent"] == ["error"]
