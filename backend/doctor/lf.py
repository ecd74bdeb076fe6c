"""Checks of LLaMA-Factory: whether there is one, and whether its versions fit each other and the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from backend.doctor.report import Check, Level, of_error
from backend.lf.find import LlamaFactory, find
from backend.lf.versions import (
    breaks_lora,
    cuda_of_torch,
    metadata_of,
    release_of,
    torch_mismatches,
    unmet_requirements,
)
from backend.setup import llamafactory
from backend.telemetry.gpus import GpuReading, NotAvailable
from data.errors import AppError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings
from data.text import shell_word


def look_for_llamafactory(
    paths: Paths, settings: Settings, workspace: Path | None, environ: Mapping[str, str]
) -> tuple[LlamaFactory | None, Check]:
    """Return the LLaMA-Factory that jobs would use, and the check that says so."""
    try:
        found = find(settings, paths, workspace, environ)
    except AppError as error:  # the setting names something that is not there
        return None, of_error("llamafactory", error)
    if found is not None:
        message = _(
            "LLaMA-Factory {version}: {path} ({origin})",
            version=found.version,
            path=str(found.python),
            origin=found.origin,
        )
        return found, Check("llamafactory", Level.OK, message)
    if llamafactory.begun(paths):
        message = _("The managed LLaMA-Factory was begun but is not complete ({path}).", path=paths.llamafactory)
        return None, Check("llamafactory", Level.ERROR, message, _("paddock setup llamafactory (it continues)"))
    message = _("LLaMA-Factory was not found: without it nothing can be trained or merged.")
    return None, Check("llamafactory", Level.ERROR, message, _("paddock setup llamafactory"))


def check_versions(found: LlamaFactory, gpus: GpuReading) -> Iterator[Check]:
    """Yield the checks of the versions in LLaMA-Factory's environment; reads three small files."""
    mismatches = torch_mismatches(found.packages)
    pip = f"{shell_word(found.python)} -m pip install"
    for name, version, fits in mismatches:
        yield Check(
            "torch-versions",
            Level.ERROR,
            _(
                "{name} {version} does not fit torch {torch}: LLaMA-Factory crashes when it is imported.",
                name=name,
                version=version,
                torch=found.packages["torch"],
            ),
            _(
                "{pip} '{name}=={fits}.*' (or use the managed one: paddock setup llamafactory)",
                pip=pip,
                name=name,
                fits=fits,
            ),
        )
    if not mismatches and "torch" in found.packages:
        together = ", ".join(
            f"{name} {found.packages[name]}"
            for name in ("torch", "torchaudio", "torchvision")
            if name in found.packages
        )
        yield Check("torch-versions", Level.OK, _("{packages} fit each other.", packages=together))
    if "torch" not in found.packages:
        yield Check(
            "torch-versions",
            Level.ERROR,
            _("LLaMA-Factory's environment has no torch."),
            _("{pip} {packages}", pip=pip, packages=" ".join(llamafactory.TORCH)),
        )
    if breaks_lora(found.packages):
        yield Check(
            "torchao",
            Level.ERROR,
            _(
                "peft {peft} cannot import torchao {torchao}: every LoRA fails.",
                peft=found.packages["peft"],
                torchao=found.packages["torchao"],
            ),
            _("{pip} 'torchao<0.18', or remove torchao: LLaMA-Factory needs none.", pip=pip),
        )
    yield from _requirements(found, pip)
    yield from _cuda(found, gpus)


def _requirements(found: LlamaFactory, pip: str) -> Iterator[Check]:
    unmet = unmet_requirements(metadata_of("llamafactory", found.folders), found.packages)
    for name, version, bounds in unmet:
        yield Check(
            "llamafactory-versions",
            Level.ERROR,
            _(
                "{name} {version} is outside what LLaMA-Factory {lf} works with ({bounds}).",
                name=name,
                version=version,
                lf=found.version,
                bounds=bounds,
            ),
            _("{pip} '{name}{bounds}'", pip=pip, name=name, bounds=bounds),
        )
    if not unmet:
        message = _("transformers, peft, trl, accelerate and datasets are versions that LLaMA-Factory works with.")
        yield Check("llamafactory-versions", Level.OK, message)


def _cuda(found: LlamaFactory, gpus: GpuReading) -> Iterator[Check]:
    """Compare the CUDA that torch was built for with the newest that the driver can run."""
    path = found.file("torch", "version.py")
    cuda = None if path is None else cuda_of_torch(path.read_text(encoding="utf-8", errors="replace"))
    if not gpus.gpus or path is None:
        return
    if cuda is None:
        yield Check(
            "torch-cuda",
            Level.WARNING,
            _(
                "This machine has a GPU, but torch {version} is a build for the CPU only.",
                version=found.packages["torch"],
            ),
            _(
                "Install a torch with CUDA into {python}'s environment, or: paddock setup llamafactory",
                python=found.python,
            ),
        )
    elif not isinstance(gpus.cuda_version, NotAvailable) and release_of(gpus.cuda_version)[0] < release_of(cuda)[0]:
        yield Check(
            "torch-cuda",
            Level.ERROR,
            _(
                "torch was built for CUDA {cuda}; driver {driver} runs CUDA up to {newest}.",
                cuda=cuda,
                driver=gpus.driver_version,
                newest=gpus.cuda_version,
            ),
            _(
                "Update the NVIDIA driver, or install a torch that was built for CUDA {newest}.",
                newest=gpus.cuda_version,
            ),
        )
    else:
        message = _("torch was built for CUDA {cuda}, which the driver can run.", cuda=cuda)
        yield Check("torch-cuda", Level.OK, message)
