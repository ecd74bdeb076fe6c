"""Do the versions in LLaMA-Factory's environment fit each other? Read from dist-info folders; nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*(?P<marker>;.*)?"
)
_BOUND: Final = re.compile(r"(?P<operator>===|==|!=|~=|<=|>=|<|>)\s*(?P<version>[0-9][0-9a-zA-Z.*+!]*)")
# torchvision's minor version runs 15 ahead of torch's since 2.0 (pytorch/vision, README, table of versions).
_VISION_AHEAD: Final = 15

Release = tuple[int, ...]


def release_of(version: str) -> Release:
    """Return the numbers of a version: "2.11.0+cu130" gives (2, 11, 0); a post or dev part is passed over."""
    match = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def torch_mismatches(packages: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (package, its version, the version that fits torch) for torchaudio and torchvision; [] where all fit.

    ``packages`` are versions by name. A torchaudio of another torch crashes LLaMA-Factory's import.
    """
    torch = release_of(packages.get("torch", ""))
    if len(torch) < 2 or torch[0] != 2:
        return []
    wanted = {"torchaudio": (2, torch[1]), "torchvision": (0, torch[1] + _VISION_AHEAD)}
    return [
        (name, packages[name], ".".join(str(part) for part in fits))
        for name, fits in wanted.items()
        if name in packages and release_of(packages[name])[:2] != fits
    ]


def unmet_requirements(metadata: str, packages: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (package, its version, the bounds) for installed packages outside what ``metadata`` requires.

    ``metadata`` is the text of a dist-info METADATA; requirements of extras are passed over, and so are packages
    that ``packages`` does not name.
    """
    found: list[tuple[str, str, str]] = []
    for line in HeaderParser().parsestr(metadata).get_all("Requires-Dist") or []:
        match = _REQUIREMENT.match(line)
        if match is None or "extra ==" in (match["marker"] or "") or "extra==" in (match["marker"] or ""):
            continue
        name = match["name"].lower().replace("_", "-")
        version = packages.get(name)
        if version is not None and not satisfies(version, match["bounds"]):
            found.append((name, version, match["bounds"].strip()))
    return found


def satisfies(version: str, bounds: str) -> bool:
    """Say whether ``version`` keeps all of ``bounds`` (">=4.51.0,<=5.6.0,!=4.52.0"), by release numbers alone."""
    return all(_keeps(release_of(version), bound["operator"], bound["version"]) for bound in _BOUND.finditer(bounds))


def breaks_lora(packages: Mapping[str, str]) -> bool:
    """Say whether no adapter can be made or loaded: peft up to 0.18 imports a name that torchao 0.18 has dropped.

    Both are optional to each other, so pip sees nothing wrong (peft 0.18.1, tuners/lora/torchao.py).
    """
    peft, torchao = release_of(packages.get("peft", "")), release_of(packages.get("torchao", ""))
    return () < peft < (0, 19) and torchao >= (0, 18)


def _keeps(found: Release, operator: str, text: str) -> bool:
    bound = release_of(text)
    if operator == "~=":
        return found >= bound and found[: len(bound) - 1] == bound[:-1]
    if text.endswith(".*"):
        return (found[: len(bound)] == bound) is (operator == "==")
    width = max(len(found), len(bound))
    left, right = found + (0,) * (width - len(found)), bound + (0,) * (width - len(bound))
    return {
        "==": left == right,
        "===": left == right,
        "!=": left != right,
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
    }[operator]


def metadata_of(name: str, folders: Sequence[Path]) -> str:
    """Return the METADATA of distribution ``name`` in site-packages ``folders``; empty where it is not there."""
    for folder in folders:
        for path in folder.glob(f"{name}-*.dist-info/METADATA"):
            try:
                return path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
    return ""


def cuda_of_torch(text: str) -> str | None:
    """Return the CUDA version that a torch was built for, from the text of its ``version.py``; None for a CPU build."""
    match = re.search(r"^cuda(?:\s*:[^=]+)?\s*=\s*['\"](?P<version>[\d.]+)['\"]", text, re.MULTILINE)
    return match["version"] if match else None
