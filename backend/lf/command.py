"""The command line and the environment that LLaMA-Factory is started with; standard library only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from data.jobs.spec import GpuRequest

Verb = Literal["train", "export"]

_ENABLED: Final = frozenset({"true", "y", "1"})  # extras/misc.py, is_env_enabled
_DEVICES: Final = Path("/dev")


def argv(python: Path, verb: Verb, file: Path) -> tuple[str, ...]:
    """Return the command ``llamafactory-cli VERB FILE`` of the environment that ``python`` belongs to."""
    program = python.parent / "llamafactory-cli"
    if os.access(program, os.X_OK):
        return (str(program), verb, str(file))
    return (str(python), "-m", "llamafactory.cli", verb, str(file))  # installed as a user: scripts are elsewhere


def environment(
    python: Path,
    *,
    output_dir: Path | None,
    gpus: GpuRequest | None = None,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the variables that are set on top of the inherited ones.

    ``output_dir`` switches LLaMA Board's mode on: a log of its own and a SIGABRT handler that ends training cleanly.
    The GPUs are always named, in the order of the PCI bus, so that no two programs count them differently.
    """
    values = {
        "PATH": os.pathsep.join([str(python.parent), environ.get("PATH", os.defpath)]),  # torchrun is found by name
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # a folder "datasets" or "trl" in the workspace must not hide the package
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    if output_dir is not None:
        values |= {"LLAMABOARD_ENABLED": "1", "LLAMABOARD_WORKDIR": str(output_dir)}
    if gpus is not None and gpus.ids:
        values["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus.ids))
    elif gpus is None and "CUDA_VISIBLE_DEVICES" not in environ:
        count = device_count()
        if count:
            values["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(count)))
    return values


def device_count() -> int:
    """Return the number of NVIDIA GPUs whose device files are here."""
    try:
        return sum(re.fullmatch(r"nvidia\d+", entry.name) is not None for entry in _DEVICES.iterdir())
    except OSError:
        return 0


def visible_gpus(gpus: GpuRequest | None, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many GPUs a job with this request will see."""
    if gpus is not None:
        return len(gpus.ids) or gpus.number
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return sum(1 for item in listed.split(",") if item.strip() not in ("", "-1"))
    return device_count()


def uses_torchrun(verb: Verb, gpus: GpuRequest | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether ``llamafactory-cli`` will wrap itself in torchrun (launcher.py of 0.9.5).

    That command line is split at spaces, so no path in it may hold one.
    """
    if verb != "train":
        return False
    if is_enabled("FORCE_TORCHRUN", environ) or is_enabled("USE_MCA", environ):
        return True
    return visible_gpus(gpus, environ) > 1 and not is_enabled("USE_RAY", environ) and not is_enabled("USE_KT", environ)


def is_enabled(variable: str, environ: Mapping[str, str]) -> bool:
    """Say whether LLaMA-Factory takes ``variable`` for switched on."""
    return environ.get(variable, "0").lower() in _ENABLED
