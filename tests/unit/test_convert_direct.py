"""Files that go to the disk beside the page cache: the same bytes whatever the pieces, and whatever the file system."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.convert import direct
from backend.convert.direct import DirectFile

BLOCK = 4096


@pytest.fixture(params=["takes it", "refuses to open", "refuses to write"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder on a file system that takes O_DIRECT, or says so when a file is opened, or when it is written."""
    really_open, really_write = os.open, os.pwrite
    flagged: set[int] = set()

    def opened(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT and request.param == "refuses to open":
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        handle = really_open(path, flags & ~os.O_DIRECT, mode)
        if flags & os.O_DIRECT:
            flagged.add(handle)
        return handle

    def written(handle: int, data: memoryview, offset: int) -> int:
        if handle in flagged:
            if request.param == "refuses to write":
                flagged.discard(handle)
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            assert len(data) % BLOCK == offset % BLOCK == 0
        return really_write(handle, data, offset)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "pwrite", written)
    return tmp_path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 3 * BLOCK + 7), max_size=12), buffer=st.sampled_from([BLOCK, 3 * BLOCK]))
def test_a_file_is_what_was_written(disk: Path, sizes: list[int], buffer: int) -> None:
    pieces = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "_BUFFER_BYTES", buffer)
        with DirectFile(disk / "file") as file:
            for piece in pieces:
                file.write(memoryview(piece))
            file.end()
            assert (disk / "file").read_bytes() == b"".join(pieces)
            file.wait()
    assert (disk / "file").stat().st_size == sum(sizes)


def test_the_real_disk_holds_what_was_written(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(9_000_001)
    with DirectFile(tmp_path / "file") as file:
        file.write(memoryview(data))
        file.wait()
    assert (tmp_path / "file").read_bytes() == data


def test_a_disk_that_fails_behind_the_back_is_told_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int, _data: memoryview, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with DirectFile(tmp_path / "file") as file:
        file.write(memoryview(b"x"))
        with pytest.raises(OSError, match="No space left"):
            file.end()
