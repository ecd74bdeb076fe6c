"""Ollama's official release: fetched into our cache (continued where it broke off), checked, unpacked into a folder.

Since 0.14.0 the archives are ``ollama-linux-<arch>.tar.zst``, before that ``.tgz``; ``sha256sum.txt`` beside them
has a line ``<digest>  ./<name>`` for each (ollama ``scripts/install.sh`` and its release workflow).
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from backend.setup import pip, tools
from backend.setup.failure import failed, remedy_for
from backend.setup.process import say
from data.errors import AppError
from data.i18n import _
from data.jobs.report import Reporter
from data.paths import Paths

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE: Final = "https://github.com/ollama/ollama/releases/download"
BASE_VARIABLE: Final = "PADDOCK_OLLAMA_RELEASES"
"""Another place with the same layout (a mirror): ``<base>/v<version>/ollama-linux-amd64.tar.zst``."""
DOWNLOAD_BYTES: Final = 1_900_000_000
DISK_BYTES: Final = 4_600_000_000
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_CONNECT_TIMEOUT_S: Final = 8.0
_READ_TIMEOUT_S: Final = 60.0
_TRIES: Final = 4
_BLOCK: Final = 1 << 20
_DECOMPRESS: Final = (
    "import shutil, sys\n"
    "try:\n"
    "    from compression import zstd\n"
    "    stream = zstd.open(sys.argv[1])\n"
    "except ImportError:\n"
    "    import zstandard\n"
    "    stream = zstandard.open(sys.argv[1], 'rb')\n"
    "shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)\n"
)


def fetch(version: str, target: Path, paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> None:
    """Put the release ``version`` into ``target``: ``bin/ollama`` and ``lib/ollama/``.

    Raises AppError: no release for this machine, no way to it, a wrong digest, no room, no means to unpack it.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None or sys.platform != "linux":
        raise AppError(_("Ollama has no release for this machine"), f"{sys.platform} {platform.machine()}")
    base = f"{environ.get(BASE_VARIABLE) or DEFAULT_BASE}/v{version}"
    reporter.stage("ollama-release", _("Fetching Ollama {version}", version=version))
    archive = _fetch_archive(
        base, f"ollama-linux-{architecture}", paths.cache / "setup" / f"ollama-{version}", reporter
    )
    reporter.stage("ollama-unpack", _("Unpacking Ollama {version}", version=version))
    _unpack(archive, target, paths, reporter, environ)
    shutil.rmtree(archive.parent)


def _fetch_archive(base: str, stem: str, place: Path, reporter: Reporter) -> Path:
    import httpx  # noqa: PLC0415 - heavy, and only this road needs it

    place.mkdir(parents=True, exist_ok=True)
    elsewhere = _("Check the network, or name a mirror of the releases in {name}.", name=BASE_VARIABLE)
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            digests = _digests(client, base)
            for name in (f"{stem}.tar.zst", f"{stem}.tgz"):
                path = place / name
                if _download(client, f"{base}/{name}", path, reporter):
                    _check(path, digests.get(name))
                    return path
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        line = f"{base}: {type(error).__name__}: {error}"
        raise AppError(
            _("Ollama's release cannot be fetched"), line, remedy_for([line], unreachable=elsewhere) or elsewhere
        ) from error
    raise AppError(
        _("Ollama's release cannot be fetched"),
        _("{base} has neither {stem}.tar.zst nor {stem}.tgz.", base=base, stem=stem),
        elsewhere,
    )


def _digests(client: httpx.Client, base: str) -> dict[str, str]:
    """Return the digests by file name; empty where the mirror has no list of them."""
    answer = client.get(f"{base}/sha256sum.txt")
    if answer.status_code != 200:  # a mirror may lack the list; then TLS is what there is
        return {}
    pairs = (line.split() for line in answer.text.splitlines())
    return {name.removeprefix("*").removeprefix("./"): digest for digest, name in (p for p in pairs if len(p) == 2)}


def _download(client: httpx.Client, url: str, path: Path, reporter: Reporter) -> bool:
    """Fetch ``url`` into ``path`` by way of ``path.part``, several times from where it broke off; False for a 404."""
    import httpx  # noqa: PLC0415 - heavy, and only this road needs it

    if path.exists():
        return True
    part = path.with_name(path.name + ".part")
    for left in reversed(range(_TRIES)):
        try:
            if not _download_rest(client, url, part, reporter):
                return False
            break
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout) as error:
            if not left:
                raise
            say(f"{url}: {error!r}: continuing at {part.stat().st_size if part.exists() else 0} bytes")
    part.rename(path)
    return True


def _download_rest(client: httpx.Client, url: str, part: Path, reporter: Reporter) -> bool:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 404:
            return False
        if answer.status_code == 416:  # nothing is left to fetch
            return True
        answer.raise_for_status()
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        done = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as stream:
            for block in answer.iter_raw():  # as it comes: what is kept must not be lost when the line breaks
                stream.write(block)
                done += len(block)
                reporter.progress(done, total, "bytes")
    return True


def _check(path: Path, digest: str | None) -> None:
    """Compare with the published digest; a wrong file is removed, so that the next try fetches it anew."""
    if digest is None:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest.lower():
        path.unlink()
        raise AppError(
            _("The fetched archive of Ollama is not the published one"),
            _("{name}: SHA-256 is {found}, published is {digest}.", name=path.name, found=found, digest=digest),
            _("It was removed; run it again to fetch it anew."),
        )


def _unpack(path: Path, target: Path, paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> None:
    try:
        if path.name.endswith(".tgz"):
            with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
                _extract(tar, target, reporter)
        else:
            _unpack_zstd(path, target, paths, reporter, environ)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise failed(_("Ollama's archive cannot be unpacked"), [f"{path.name}: {error}"]) from error
    if not (target / "bin" / "ollama").is_file():
        raise AppError(_("Ollama's archive cannot be unpacked"), _("{name} has no bin/ollama.", name=path.name))


def _unpack_zstd(path: Path, target: Path, paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> None:
    argv = _decompressor(path, paths, environ, reporter)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                _extract(tar, target, reporter)
            _read_out(process.stdout)
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            message = f"{argv[0]} ended with status {process.returncode}"
            raise tarfile.ReadError(message)


def _read_out(stream: IO[bytes]) -> None:
    """Read the padding after the end of the archive, so that the decompressor can end and say that all was well."""
    while stream.read(_BLOCK):
        pass


def _decompressor(path: Path, paths: Paths, environ: Mapping[str, str], reporter: Reporter) -> list[str]:
    """Return a command that writes ``path`` decompressed: zstd, else Python's own module, else the wheel of one."""
    zstd = shutil.which("zstd", path=environ.get("PATH"))
    if zstd is not None:
        return [zstd, "-dcq", str(path)]
    if sys.version_info >= (3, 14):
        return [sys.executable, "-P", "-c", _DECOMPRESS, str(path)]
    env = pip.environment(paths, environ)
    python = tools.environment(paths, env, reporter)
    progress = pip.PipProgress(reporter, total_bytes=5_500_000, site_packages=pip.site_packages(python))
    ended = pip.install(python, ["zstandard>=0.22"], env=env, progress=progress)
    if ended.status != 0:
        raise failed(
            _("Ollama's archive cannot be unpacked: zstd is missing"),
            ended.lines,
            fallback=_("Install it (Debian, Ubuntu: apt install zstd), then run it again."),
        )
    return [str(python), "-P", "-c", _DECOMPRESS, str(path)]


def _extract(tar: tarfile.TarFile, target: Path, reporter: Reporter) -> None:
    """Unpack folders, files and links that stay inside ``target``; refuse everything else."""
    done = 0
    # What the standard filters do is done below, for Python 3.11.0 to 3.11.3 too, which have none.
    tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
    for member in tar:
        name = PurePosixPath(member.name)
        inside = not name.is_absolute() and ".." not in name.parts
        if not inside or not (member.isdir() or member.isfile() or _is_inner_link(member, name)):
            message = f"unexpected member {member.name!r}"
            raise tarfile.ReadError(message)
        member.uid = member.gid = -1
        member.uname = member.gname = ""
        member.mode = (member.mode | 0o600) & 0o755
        tar.extract(member, target, set_attrs=not member.issym())
        done += member.size
        reporter.progress(done, None, "bytes")


def _is_inner_link(member: tarfile.TarInfo, name: PurePosixPath) -> bool:
    if not (member.issym() or member.islnk()):
        return False
    start = name.parent.parts if member.issym() else ()
    depth = len(start)
    for part in PurePosixPath(member.linkname).parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0 or part == "/":
            return False
    return True
