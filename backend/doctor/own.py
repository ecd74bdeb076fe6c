"""Checks of what Paddock itself runs on: its settings, Python, byte code, the language of the terminal, the hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import data
from backend.doctor import bytecode
from backend.doctor.report import Check, Level, of_error
from data.errors import AppError
from data.i18n import _, verbatim
from data.paths import Paths

_TMUX_TIMEOUT_S: Final = 0.5


def check_settings(paths: Paths, problem: AppError | None) -> Check:
    """Say whether the settings can be used, and where they are."""
    if problem is not None:
        return of_error("settings", problem)
    path = paths.settings
    if path.exists():
        return Check("settings", Level.OK, _("The settings can be used ({path}).", path=str(path)))
    return Check(
        "settings", Level.OK, _("No settings file, so every setting has its default ({path}).", path=str(path))
    )


def check_own(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks of Python, byte code, locale, tmux and the hub's endpoint."""
    yield _python()
    yield _bytecode(environ)
    yield _locale(environ)
    yield from _tmux(environ)
    yield _hub(environ)


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", Level.OK, _("Python {version} ({path})", version=version, path=sys.executable))


def _bytecode(environ: Mapping[str, str]) -> Check:
    missing = bytecode.lacking(bytecode.OURS)
    is_forbidden = sys.dont_write_bytecode or bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    if not missing or not (is_forbidden or not os.access(Path(data.__file__).parent, os.W_OK)):
        return Check("bytecode", Level.OK, _("Byte code is compiled."))  # or will be, by the next start
    return Check(
        "bytecode",
        Level.WARNING,
        _("{count} modules of Paddock have no byte code: every start compiles them anew.", count=len(missing)),
        verbatim(bytecode.remedy(missing)),
    )


def _locale(environ: Mapping[str, str]) -> Check:
    value = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    if "utf8" in value.lower().replace("-", ""):
        return Check("locale", Level.OK, _("The terminal's language setting is UTF-8 ({value}).", value=value))
    return Check(
        "locale",
        Level.WARNING,
        _("The locale ({value}) is not UTF-8: Chinese and symbols may come out wrong.", value=value or "C"),
        _("export LANG=C.UTF-8 (and unset LC_ALL)"),
    )


def _tmux(environ: Mapping[str, str]) -> Iterator[Check]:
    if not environ.get("TMUX"):
        return
    program = shutil.which("tmux", path=environ.get("PATH", os.defpath))
    setting = None if program is None else ask([program, "show-options", "-gsv", "set-clipboard"], environ)
    if setting == "off":
        yield Check(
            "tmux",
            Level.INFO,
            _("tmux keeps copied text to itself (set-clipboard off); Paddock also writes it to a file."),
            _("tmux set -s set-clipboard on"),
        )
    else:
        yield Check("tmux", Level.OK, _("Inside tmux: a lost connection ends neither the app nor a job."))


def _hub(environ: Mapping[str, str]) -> Check:
    """Say where models would come from. Nothing is asked over the network: nothing here calls home."""
    if environ.get("USE_MODELSCOPE_HUB", "").lower() in ("1", "true", "yes", "y"):
        return Check("hub", Level.INFO, _("Models come from ModelScope (USE_MODELSCOPE_HUB)."))
    if environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return Check("hub", Level.INFO, _("Hugging Face is not asked (HF_HUB_OFFLINE): only what is cached is used."))
    endpoint = environ.get("HF_ENDPOINT")
    if endpoint:
        return Check("hub", Level.INFO, _("Models come from {endpoint} (HF_ENDPOINT).", endpoint=endpoint))
    return Check("hub", Level.INFO, _("Models come from huggingface.co; HF_ENDPOINT names a mirror."))


def ask(argv: list[str], environ: Mapping[str, str], timeout_s: float = _TMUX_TIMEOUT_S) -> str | None:
    """Return what a quick program prints, or None where it fails or takes too long."""
    try:
        done = subprocess.run(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
