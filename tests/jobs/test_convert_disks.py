"""Conversions on disks that are full, read-only or broken: a clear error, and no half file under the final name."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.convert.llama_cpp import QUANTIZE
from backend.convert.room import room_of
from backend.convert.target import SPARE_BYTES
from data.jobs.library import Job
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.paths import HOME_VARIABLE
from data.size import size
from tests.disks import WORDS, failing, fill, protect, small_disk
from tests.support import Yard
from tests.unit.llama_cpp_folder import write_settings, write_unknown_model
from tests.unit.model_folder import write_model
from tests.unit.test_convert_adapter import adapter
from tui.commands.root import run

pytestmark = pytest.mark.slow

# What a llama-quantize does on a disk that takes no more: it writes on, says little, and leaves its half file.
QUANTIZES = f"""#!{sys.executable}
import sys
wide, part = sys.argv[-4:-2]
print("[   1/   2] token_embd.weight - [ 32, 260, 1, 1 ]", flush=True)
try:
    with open(part, "wb", buffering=0) as stream:
        for _number in range(4096):
            stream.write(bytes(65536))
except OSError as error:
    print("llama_model_quantize: failed to quantize: basic_ios::clear: iostream error")
    sys.exit(1)
"""


def quantizer(folder: Path) -> dict[str, str]:
    """Write a llama-quantize, and return the environment in which it is found."""
    folder.mkdir()
    (folder / QUANTIZE).write_text(QUANTIZES)
    (folder / QUANTIZE).chmod(0o755)
    return {"PADDOCK_LLAMA_CPP_DIR": str(folder)}


def converted(yard: Yard, source: Path, target: Path, outtype: str, environ: Mapping[str, str]) -> Job:
    """Run one conversion that has to fail, and see that it leaves nothing under the target's name or beside it."""
    before = sorted(target.parent.iterdir()) if target.parent.is_dir() else []
    params = {"source": str(source), "target": str(target), "outtype": outtype}
    spec = JobSpec.new("convert", "model", workspace=str(yard.root), params=params)
    yard.launch(spec, environ={**yard.environ, **environ})
    job = yard.until(spec.id, timeout_s=60)
    assert job.status is Status.FAILED
    assert job.state.hint.english()
    assert "unexpected" not in words(job)
    assert (sorted(target.parent.iterdir()) if target.parent.is_dir() else []) == before
    return job


def words(job: Job) -> str:
    return "\n".join(text.english() for text in (job.state.title, job.state.detail, job.state.hint))


def test_a_disk_that_fills_up_under_llama_quantize_is_said_to_be_full(yard: Yard, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    environ = quantizer(tmp_path / "llama.cpp")
    with small_disk(tmp_path / "disk", "64m") as disk:
        job = converted(yard, tmp_path / "model", disk / "a.gguf", "q4_k_m", environ)
        assert "not enough space" in words(job)
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("outtype", ["bf16", "q4_k_m"])
def test_a_disk_that_is_full_already_is_said_to_be_full(yard: Yard, tmp_path: Path, outtype: str) -> None:
    write_model(tmp_path / "model")
    environ = quantizer(tmp_path / "llama.cpp")
    with small_disk(tmp_path / "disk", "1m") as disk:
        fill(disk, leave_bytes=20_000)
        assert "not enough space" in words(converted(yard, tmp_path / "model", disk / "a.gguf", outtype, environ))


@pytest.mark.parametrize("outtype", ["bf16", "q4_k_m"])
def test_a_disk_without_room_for_all_of_a_conversion_is_refused_before_a_job_starts(
    yard: Yard, tmp_path: Path, outtype: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model")
    for name, value in {**quantizer(tmp_path / "llama.cpp"), HOME_VARIABLE: str(yard.root)}.items():
        monkeypatch.setenv(name, value)
    room = room_of(tmp_path / "model", outtype)
    assert room is not None
    with small_disk(tmp_path / "disk", "64m") as disk:
        fill(disk, leave_bytes=(SPARE_BYTES + room.peak_bytes) // 4096 * 4096)  # less than a page is lacking
        (tmp_path / "link.gguf").symlink_to(disk / "a.gguf")
        for target in (disk / "new" / "a.gguf", tmp_path / "link.gguf"):
            words = ["convert", str(tmp_path / "model"), "-o", str(target), "--outtype", outtype, "--json"]
            assert run(words) == 2
            error = json.loads(capsys.readouterr().out)["error"]
            assert error["title"] == f"There is not enough space for {target.resolve()}"
            assert size(SPARE_BYTES + room.peak_bytes) in error["detail"]
            assert " B too little" in error["detail"] or "kB too little" in error["detail"]
        assert sorted(path.name for path in disk.iterdir()) == ["ballast"]
    assert yard.library.list() == []


def test_an_adapter_without_room_is_refused_before_a_job_starts(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(yard.root))
    lora = adapter(tmp_path)
    with small_disk(tmp_path / "disk", "1m") as disk:
        assert run(["convert", str(lora), "--adapter", "-o", str(disk / "a.gguf"), "--json"]) == 2
        assert "not enough space" in json.loads(capsys.readouterr().out)["error"]["title"]
    assert yard.library.list() == []


@pytest.mark.parametrize("road", ["ours", "quantised", "script"])
def test_a_folder_that_may_only_be_read_is_said_to_be_so(yard: Yard, tmp_path: Path, road: str) -> None:
    model = write_unknown_model(tmp_path / "model") if road == "script" else tmp_path / "model"
    if road != "script":
        write_model(model)
    settings = write_settings(tmp_path / "scripts")
    environ = quantizer(tmp_path / "llama.cpp")
    if road == "script":
        environ = {
            "PADDOCK_LLAMA_CPP_DIR": settings.llama_cpp_dir,
            "PADDOCK_LLAMAFACTORY_PYTHON": settings.llamafactory_python,
        }
    with small_disk(tmp_path / "disk", "64m") as disk:
        protect(disk)
        job = converted(yard, model, disk / "a.gguf", "q4_k_m" if road == "quantised" else "bf16", environ)
        assert "cannot be written" in words(job)
        assert WORDS[errno.EROFS] in words(job)


@pytest.mark.parametrize("outtype", ["bf16", "q4_k_m"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_while_it_is_written_is_said_to_fail(
    yard: Yard, tmp_path: Path, error: int, outtype: str
) -> None:
    write_model(tmp_path / "model")
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    target.write_bytes(b"old")
    wide_bytes = (tmp_path / "model" / "model.safetensors").stat().st_size
    environ = quantizer(tmp_path / "llama.cpp") | failing(
        tmp_path, target.parent, "write", error, after_bytes=2 * wide_bytes if outtype == "q4_k_m" else 30_000
    )
    job = converted(yard, tmp_path / "model", target, outtype, environ)
    assert "cannot be written" in words(job) or "not enough space" in words(job)
    assert target.read_bytes() == b"old"
    if outtype == "bf16":
        assert WORDS[error] in words(job)


def test_what_never_reaches_the_disk_gets_no_name(yard: Yard, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    target = tmp_path / "out" / "a.gguf"
    job = converted(yard, tmp_path / "model", target, "bf16", failing(tmp_path, target.parent, "sync", errno.EIO))
    assert "cannot be written" in words(job)
    assert WORDS[errno.EIO] in words(job)


def test_a_source_whose_disk_fails_is_named(yard: Yard, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    job = converted(
        yard, tmp_path / "model", tmp_path / "out" / "a.gguf", "bf16", failing(tmp_path, weights, "read", errno.EIO)
    )
    assert str(weights) in words(job)
    assert "cannot be read" in words(job)
