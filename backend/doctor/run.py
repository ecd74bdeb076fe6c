"""Run all checks: under a second, over no network but the Ollama server's own address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend.doctor.lf import check_versions, look_for_llamafactory
from backend.doctor.llama_cpp import check_llama_cpp
from backend.doctor.machine import check_disks, check_gpus, check_state_folder, check_survival
from backend.doctor.ollama import check_acceleration, check_ollama
from backend.doctor.own import check_own, check_settings
from backend.doctor.report import Check, DoctorReport
from backend.telemetry.gpus import read_gpus
from data.errors import AppError
from data.paths import Paths
from data.settings import Settings


def run_checks(
    paths: Paths,
    settings: Settings,
    workspace: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    problem: AppError | None = None,
) -> DoctorReport:
    """Look at everything and return the report; changes nothing. ``problem``: why not all settings could be used."""
    with ThreadPoolExecutor(2) as pool:  # what waits for another program does so meanwhile
        ollama_found = pool.submit(check_ollama, paths, settings, environ)
        gpus_found = pool.submit(read_gpus, processes=False)
        llamafactory, llamafactory_check = look_for_llamafactory(paths, settings, workspace, environ)
        checks: list[Check] = [check_settings(paths, problem), *check_own(environ), llamafactory_check]
        gpus = gpus_found.result()
        if llamafactory is not None:
            checks += check_versions(llamafactory, gpus)
        ollama, ollama_checks = ollama_found.result()
    checks += [*ollama_checks, *check_llama_cpp(paths, settings, workspace, environ)]
    checks.append(check_gpus(gpus))
    checks += check_acceleration(ollama, gpus)
    checks += check_disks(paths, workspace)
    checks += check_state_folder(paths)
    checks += check_survival(environ)
    found = None if llamafactory is None else {"python": str(llamafactory.python), "version": llamafactory.version}
    return DoctorReport(tuple(checks), found, ollama)
