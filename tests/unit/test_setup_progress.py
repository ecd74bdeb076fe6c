"""pip's own output (26.3, recorded) as progress, and its failures as remedies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.setup.failure import failed, is_missing_version, remedy_for
from backend.setup.pip import PipProgress
from data.i18n import _
from data.jobs.report import Reporter

PIP_26_3 = """\
Collecting idna
  Downloading idna-3.20-py3-none-any.whl (69 kB)
Collecting sentencepiece==0.2.3
  Downloading sentencepiece-0.2.3-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl (1.7 MB)
Progress 0 of 1713961
Progress 262144 of 1713961
Progress 1713961 of 1713961
Collecting certifi
  Using cached certifi-2026.10.18-py3-none-any.whl (134 kB)
Collecting torch==2.11.0
  Downloading torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)
Installing collected packages: sentencepiece, idna, certifi, torch
Successfully installed certifi-2026.10.18 idna-3.20 sentencepiece-0.2.3 torch-2.11.0
"""
UNREACHABLE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"Failed to establish\")'",
    "ERROR: Could not find a version that satisfies the requirement torch==2.11.0 (from versions: none)",
    "ERROR: No matching distribution found for torch==2.11.0",
)
NOT_ON_MIRROR = (
    "ERROR: Could not find a version that satisfies the requirement av==16.0.0 (from versions: 15.0.0, 15.1.0)",
    "ERROR: No matching distribution found for av==16.0.0",
)


class Clockless(Reporter):
    """Keeps every report: a reporter thins them by the clock."""

    def __init__(self) -> None:
        super().__init__(None)
        self.seen: list[tuple[float, float | None, str]] = []

    def progress(self, done: float, total: float | None, unit: str) -> None:
        self.seen.append((done, total, unit))


def test_bytes_while_it_fetches_and_packages_while_it_unpacks(tmp_path: Path) -> None:
    reporter = Clockless()
    progress = PipProgress(reporter, total_bytes=2_000_000, site_packages=tmp_path)
    swallowed = [line for line in PIP_26_3.splitlines() if progress.take_line(line)]
    assert swallowed == [line for line in PIP_26_3.splitlines() if line.startswith("Progress")]
    fetched = [(done, total) for done, total, unit in reporter.seen if unit == "bytes"]
    assert [done for done, _total in fetched] == sorted(done for done, _total in fetched)
    assert fetched[-1] == (69_000 + 1_713_961 + 134_000, 2_000_000)
    assert reporter.seen[-1] == (4, 4, "packages")


def test_unpacking_is_counted_by_what_appears(tmp_path: Path) -> None:
    (tmp_path / "pip-26.3.dist-info").mkdir()
    reporter = Clockless()
    progress = PipProgress(reporter, total_bytes=1, site_packages=tmp_path)
    progress.take_line("Installing collected packages: a, b, c, d")
    for name in ("a-1.dist-info", "b-1.dist-info"):
        (tmp_path / name).mkdir()
    progress.tick()
    assert reporter.seen == [(2, 4, "packages")]


def test_a_total_is_never_passed(tmp_path: Path) -> None:
    reporter = Clockless()
    progress = PipProgress(reporter, total_bytes=100, site_packages=tmp_path)
    for line in PIP_26_3.splitlines():
        progress.take_line(line)
    assert all(total is not None and done <= total for done, total, _unit in reporter.seen)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (UNREACHABLE, "registry cannot be reached"),
        (NOT_ON_MIRROR, "another mirror"),
        (("OSError: [Errno 28] No space left on device", "Max retries exceeded"), "disk is full"),
        (("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED')): Max retries exceeded",), "certificate"),
        (("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",), "another mirror"),
        (("go: verifying module: checksum mismatch", "SECURITY ERROR"), "another mirror"),
        (("ProxyError('Cannot connect to proxy.')",), "https_proxy"),
        (("ERROR: HTTP error 403 while getting x", "403 Client Error: Forbidden"), "credentials"),
        (("go: github.com/ollama/ollama@v0: dial tcp: lookup proxy: no such host",), "registry cannot be reached"),
        (("c++: fatal error: Killed signal terminated program cc1plus",), "memory"),
    ],
)
def test_each_known_failure_has_its_remedy(lines: tuple[str, ...], word: str) -> None:
    assert word in str(remedy_for(lines))
    assert word in str(failed(_("It failed"), lines).hint)


def test_only_a_registry_that_answers_can_lack_a_version() -> None:
    assert is_missing_version(NOT_ON_MIRROR)
    assert not is_missing_version(UNREACHABLE)
    assert not is_missing_version(UNREACHABLE[1:])


def test_the_first_errors_are_told_not_the_chatter_around_them() -> None:
    lines = [
        "[1/9] cc a.c",
        "a.c:1:2: error: no such thing",
        "note: see",
        *[f"b.c:{n}: error: later" for n in range(9)],
    ]
    assert str(failed(_("It failed"), lines).detail).splitlines()[0] == "a.c:1:2: error: no such thing"


def test_a_report_is_written_for_the_supervisor(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    progress = PipProgress(Reporter(path), total_bytes=10, site_packages=tmp_path)
    progress.take_line("Progress 5 of 10")
    line: dict[str, Any] = json.loads(path.read_text())
    assert (line["kind"], line["done"], line["total"], line["unit"]) == ("progress", 5, 10, "bytes")
