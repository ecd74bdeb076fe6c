"""Types that llama-quantize makes: where it is found, what is refused, and that nothing half is ever left."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.convert.converter import ConvertReport, convert
from backend.convert.digest import digest_of
from backend.convert.llama_cpp import QUANTIZE, SCRIPT, find_quantize, quantizer_for
from backend.convert.quantise import quantise
from backend.convert.quants import BITS, NEED_IMATRIX, forecast_bytes
from backend.convert.sidecar import read_sidecar, write_sidecar
from backend.convert.stream import Stopped
from data.errors import AppError, RequestError
from data.gguf import check, read_header
from data.jobs.spec import now
from data.paths import Paths
from data.settings import Settings
from tests.unit.model_folder import write_model
from tests.unit.test_convert_imatrix import write_matrix

# What each stand-in does with llama-quantize's last four arguments: wide, part, type, threads.
COPIES = """
print("[   1/   2] a - [ 32 ]"); print("[   2/   2] b - [ 32 ]", flush=True)
open(part, "wb").write(open(wide, "rb").read())
"""
FAILS = 'print("llama_model_quantize: failed to quantize: this quantization requires an imatrix!"); sys.exit(1)'
CUTS = 'open(part, "wb").write(open(wide, "rb").read()[:-4000])'
LOSES = 'raw = open(wide, "rb").read(); open(part, "wb").write(raw.replace(b"blk.1.ffn_up", b"blk.1.ffn_xx"))'
HANGS = 'open(part, "wb").write(b"GGUF"); print("[ 1/ 2] a", flush=True); threading.Event().wait()'


def program(path: Path, does: str = COPIES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport sys, threading\nwide, part = sys.argv[-4:-2]\n{does}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.default({"PADDOCK_HOME": str(tmp_path / "home")})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def maker(folder: Path) -> Callable[[Path], ConvertReport]:
    return lambda wide: convert(folder, wide)


@pytest.mark.parametrize("below", [".", "bin", "build/bin"])
def test_the_folder_of_the_settings_comes_first(tmp_path: Path, paths: Paths, below: str) -> None:
    wanted = program(tmp_path / "llama.cpp" / below / QUANTIZE)
    program(tmp_path / "path" / QUANTIZE)
    settings = Settings(llama_cpp_dir=str(tmp_path / "llama.cpp"))
    found = find_quantize(paths, settings, {"PATH": str(tmp_path / "path")})
    assert found is not None
    assert (found.path, found.origin) == (wanted.resolve(), "settings")


def test_then_that_on_path_then_that_of_ollama(tmp_path: Path, paths: Paths) -> None:
    program(tmp_path / "ollama" / "bin" / "ollama")
    of_ollama = program(tmp_path / "ollama" / "lib" / "ollama" / QUANTIZE)
    search = str(tmp_path / "ollama" / "bin")
    found = find_quantize(paths, Settings(), {"PATH": search})
    assert found is not None
    assert (found.path, found.origin) == (of_ollama, "Ollama")
    on_path = program(tmp_path / "path" / QUANTIZE)
    found = find_quantize(paths, Settings(), {"PATH": f"{search}:{on_path.parent}"})
    assert found is not None
    assert (found.path, found.origin) == (on_path, "PATH")
    assert find_quantize(paths, Settings(), {"PATH": "/nowhere"}) is None


def test_that_of_the_managed_ollama_is_found(tmp_path: Path, paths: Paths) -> None:
    program(paths.ollama / "0.32.7" / "bin" / "ollama")
    wanted = program(paths.ollama / "0.32.7" / "lib" / "ollama" / QUANTIZE)
    found = find_quantize(paths, Settings(), {"PATH": "/nowhere"})
    assert found is not None
    assert found.path == wanted


def test_a_folder_of_the_settings_without_llama_cpp_is_refused(tmp_path: Path, paths: Paths) -> None:
    settings = Settings(llama_cpp_dir=str(tmp_path))
    with pytest.raises(RequestError, match="llama_cpp_dir"):
        find_quantize(paths, settings, {"PATH": "/nowhere"})
    (tmp_path / SCRIPT).touch()
    assert find_quantize(paths, settings, {"PATH": "/nowhere"}) is None


def test_a_type_without_its_program_or_matrix_is_refused_with_a_remedy(tmp_path: Path, paths: Paths) -> None:
    with_program = {"PATH": str(program(tmp_path / "path" / QUANTIZE).parent)}
    matrix = tmp_path / "imatrix.gguf"
    for outtype, imatrix, environ, said in [
        ("q4_k_m", None, {"PATH": "/nowhere"}, "no llama-quantize"),
        ("iq2_xxs", None, with_program, "needs an importance matrix"),
        ("q4_k_m", matrix, with_program, "no importance matrix"),
        ("bf16", matrix, with_program, "no use"),
    ]:
        with pytest.raises(RequestError, match=said) as caught:
            quantizer_for(outtype, imatrix, paths, Settings(), environ)
        assert caught.value.hint
    matrix.touch()
    with pytest.raises(RequestError, match="is no importance matrix"):
        quantizer_for("q4_k_m", matrix, paths, Settings(), with_program)
    write_matrix(matrix)
    assert quantizer_for("iq2_xxs", matrix, paths, Settings(), with_program) == tmp_path / "path" / QUANTIZE
    assert quantizer_for("bf16", None, paths, Settings(), {"PATH": "/nowhere"}) is None


def test_the_model_passes_through_the_program_and_nothing_but_it_is_left(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.gguf"
    matrix = tmp_path / "imatrix.gguf"
    matrix.write_bytes(b"which weights matter")
    seen: list[object] = []
    report = quantise(
        maker(folder),
        target,
        "q4_k_m",
        program(tmp_path / QUANTIZE),
        imatrix=matrix,
        begin=lambda: seen.append("begin"),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == ["begin", (1, 2), (2, 2)]
    assert left_in(target.parent) == ["model.gguf"]
    assert check(target) == ()
    assert (report.outtype, report.size_bytes) == ("q4_k_m", target.stat().st_size)
    assert report.digests.target == digest_of(target)
    write_sidecar(report, changed=[], moment=now())
    made = read_sidecar(target)
    assert made is not None
    assert made["quantised"] == {
        "program": str(tmp_path / QUANTIZE),
        "imatrix": {"file": str(matrix), "blake3": digest_of(matrix)},
    }


def test_a_type_that_the_rows_do_not_allow_is_told_of(folder: Path, tmp_path: Path) -> None:
    report = quantise(maker(folder), tmp_path / "a.gguf", "q4_k_m", program(tmp_path / QUANTIZE))
    matrices = [tensor for tensor in read_header(report.target).tensors if len(tensor.shape) > 1]
    (warning,) = report.warnings
    assert warning.english().startswith(f"{len(matrices)} of {len(matrices)} matrices have larger types than Q4_K_M")
    assert f"F16 × {len(matrices)}" in warning.english()
    assert "(32, 64 numbers) do not divide by 256" in warning.english()
    assert report.as_json()["warnings"] == [warning.as_json()]
    assert quantise(maker(folder), tmp_path / "b.gguf", "q4_0", program(tmp_path / QUANTIZE)).warnings == ()


@pytest.mark.parametrize(
    ("does", "said"),
    [(FAILS, "failed"), (CUTS, "not what was asked for"), (LOSES, "not what was asked for"), ("", "cannot be read")],
)
def test_a_program_that_fails_leaves_the_older_file(folder: Path, tmp_path: Path, does: str, said: str) -> None:
    target = tmp_path / "out" / "model.gguf"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(AppError, match=said) as caught:
        quantise(maker(folder), target, "q4_k_m", program(tmp_path / QUANTIZE, does))
    assert caught.value.hint
    assert left_in(target.parent) == ["model.gguf"]
    assert target.read_bytes() == b"old"


def test_a_missing_matrix_is_named_where_only_the_program_knows(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AppError) as caught:
        quantise(maker(folder), tmp_path / "a.gguf", "iq3_xs", program(tmp_path / QUANTIZE, FAILS))
    assert "--imatrix" in caught.value.hint.english()


def test_a_stop_ends_the_program_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    target, stop = tmp_path / "out" / "model.gguf", threading.Event()
    with pytest.raises(Stopped):
        quantise(
            maker(folder),
            target,
            "q4_k_m",
            program(tmp_path / QUANTIZE, HANGS),
            progress=lambda _done, _total: stop.set(),
            stop_requested=stop.is_set,
        )
    assert left_in(target.parent) == []


def test_a_forecast_is_no_more_than_the_model_in_16_bits() -> None:
    for outtype in BITS:
        assert 0 < forecast_bytes(outtype, 1_000_000) <= 1_000_000
    assert BITS.keys() >= NEED_IMATRIX
