"""What a set-up would fetch, keep on the disk and take, before it starts. Asks no network: measured figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from backend.setup import build, llamafactory, ollama, release, source, tools
from data.i18n import Message, _
from data.paths import Paths
from data.settings import Settings

# A line of 10 MB/s and two cores; what was measured: 150 s for LLaMA-Factory, 10 min for llama.cpp, both at 50 MB/s.
_BYTES_PER_MINUTE: Final = 600_000_000
_LLAMAFACTORY_WORK_MINUTES: Final = 2.0
_RELEASE_WORK_MINUTES: Final = 0.5
_LLAMA_CPP_CORE_MINUTES: Final = 18.0
_GO_DOWNLOAD_BYTES: Final = 150_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """The forecast for one thing to set up; zeros where it is there already."""

    what: str
    """llamafactory or ollama"""
    present: bool
    words: Message
    """What is there, or what will be done"""
    download_bytes: int
    disk_bytes: int
    minutes: float

    def as_json(self) -> dict[str, object]:
        """Return ``{what, present, message, download_bytes, disk_bytes, minutes}``."""
        return {
            "what": self.what,
            "present": self.present,
            "message": self.words.english(),
            "download_bytes": self.download_bytes,
            "disk_bytes": self.disk_bytes,
            "minutes": round(self.minutes, 1),
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast for all that was asked about."""

    parts: tuple[Part, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what is not there: the ``what`` of a setup job."""
        return tuple(part.what for part in self.parts if not part.present)

    @property
    def download_bytes(self) -> int:
        """Bytes to fetch, all together."""
        return sum(part.download_bytes for part in self.parts)

    @property
    def disk_bytes(self) -> int:
        """Bytes that stay on the disk."""
        return sum(part.disk_bytes for part in self.parts)

    @property
    def minutes(self) -> float:
        """Minutes on a line of 10 MB/s, one part after the other."""
        return sum(part.minutes for part in self.parts)

    def as_json(self) -> dict[str, object]:
        """Return ``{parts, missing, download_bytes, disk_bytes, minutes}``."""
        return {
            "parts": [part.as_json() for part in self.parts],
            "missing": list(self.missing),
            "download_bytes": self.download_bytes,
            "disk_bytes": self.disk_bytes,
            "minutes": round(self.minutes, 1),
        }


def forecast(
    paths: Paths,
    settings: Settings,
    what: Sequence[str] = ("llamafactory", "ollama"),
    environ: Mapping[str, str] = os.environ,
) -> Forecast:
    """Say what setting up ``what`` means here; some milliseconds. Raises RequestError for a wrong setting."""
    makers = {"llamafactory": _llamafactory, "ollama": _ollama}
    return Forecast(tuple(makers[name](paths, settings, environ) for name in what))


def _llamafactory(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Part:
    found = llamafactory.present(paths, settings, environ)
    if found is not None:
        words = _("LLaMA-Factory {version} is there ({origin})", version=found.version, origin=found.origin)
        return Part("llamafactory", present=True, words=words, download_bytes=0, disk_bytes=0, minutes=0)
    fetched = llamafactory.DOWNLOAD_BYTES
    return Part(
        "llamafactory",
        present=False,
        words=_("LLaMA-Factory {version} with torch, in an environment of its own", version=llamafactory.VERSION),
        download_bytes=fetched,
        disk_bytes=llamafactory.DISK_BYTES,
        minutes=fetched / _BYTES_PER_MINUTE + _LLAMAFACTORY_WORK_MINUTES,
    )


def _ollama(paths: Paths, settings: Settings, environ: Mapping[str, str]) -> Part:
    """Forecast the official release; the build, which is slower but smaller, where the environment asks for it."""
    found = ollama.present(paths, settings, environ)
    if found is not None:
        words = _("Ollama {version} is there ({origin})", version=found.version, origin=found.origin)
        return Part("ollama", present=True, words=words, download_bytes=0, disk_bytes=0, minutes=0)
    fetched = source.DOWNLOAD_BYTES + _GO_DOWNLOAD_BYTES + sum(t.download_bytes for t in tools.missing(environ))
    build_minutes = fetched / _BYTES_PER_MINUTE + _LLAMA_CPP_CORE_MINUTES / build.cores()
    if environ.get(ollama.ROAD_VARIABLE) == "build":
        words = _("Ollama {version}, built here", version=ollama.VERSION)
        return Part("ollama", False, words, fetched, build.RESULT_BYTES, build_minutes)
    return Part(
        "ollama",
        present=False,
        words=_(
            "Ollama {version}; where its release cannot be reached, it is built here in about {minutes} minutes",
            version=ollama.VERSION,
            minutes=round(build_minutes),
        ),
        download_bytes=release.DOWNLOAD_BYTES,
        disk_bytes=release.DISK_BYTES,
        minutes=release.DOWNLOAD_BYTES / _BYTES_PER_MINUTE + _RELEASE_WORK_MINUTES,
    )
