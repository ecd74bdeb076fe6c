"""The real llama-quantize: importance matrices of both forms, what it takes for one, and a disk that fills up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.convert.converter import convert
from backend.convert.imatrix import check_file
from backend.convert.llama_cpp import find_quantize
from backend.convert.quantise import quantise
from backend.ollama.discover import FoundBinary
from data.errors import AppError, RequestError
from data.gguf import check, read_header
from data.paths import Paths
from data.settings import load_settings
from tests.disks import small_disk
from tests.unit.model_folder import write_model
from tests.unit.test_convert_imatrix import older, write_matrix

pytestmark = [pytest.mark.real, pytest.mark.slow]
WIDTH = 256
CONFIG = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 8, "num_key_value_heads": 8}


@pytest.fixture(scope="module")
def program(binary: FoundBinary) -> Path:
    found = find_quantize(Paths.default(), load_settings(Paths.default().settings).values)
    assert found is not None, binary
    return found.path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, config=CONFIG)
    return folder


def matrices(model: Path, place: Path) -> list[str]:
    convert(model, place)
    return [tensor.name for tensor in read_header(place).tensors if len(tensor.shape) == 2]


@pytest.mark.parametrize("form", ["new", "old"])
def test_a_type_with_two_bits_is_made_with_a_matrix_of_either_form(
    model: Path, program: Path, tmp_path: Path, form: str
) -> None:
    names, imatrix = matrices(model, tmp_path / "wide.gguf"), tmp_path / "imatrix"
    if form == "new":
        write_matrix(imatrix, names=names, width=WIDTH)
    else:
        imatrix.write_bytes(older(names, WIDTH))
    check_file(imatrix)
    target = tmp_path / "out" / "a.gguf"
    report = quantise(lambda wide: convert(model, wide), target, "iq2_xxs", program, imatrix=imatrix)
    assert check(target) == ()
    assert report.quantised is not None
    assert report.quantised.imatrix == imatrix
    assert "IQ2_XXS" in {tensor.type.name for tensor in read_header(target).tensors}
    assert [path.name for path in target.parent.iterdir()] == ["a.gguf"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b"imatrix.chunk_size", b"imatrix.chunk_seas"),
        lambda whole: whole.replace(b".counts", b".county"),
        lambda _whole: b"",
        lambda _whole: b"which weights matter most",
    ],
    ids=["cut off", "another key", "no counts", "empty", "text"],
)
def test_what_is_refused_before_the_start_is_what_the_program_would_refuse(
    model: Path, program: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    names, imatrix = matrices(model, tmp_path / "wide.gguf"), tmp_path / "imatrix"
    imatrix.write_bytes(spoil(write_matrix(imatrix, names=names, width=WIDTH).read_bytes()))
    with pytest.raises(RequestError):
        check_file(imatrix)
    with pytest.raises(AppError, match="failed"):
        quantise(lambda wide: convert(model, wide), tmp_path / "out" / "a.gguf", "iq2_xxs", program, imatrix=imatrix)
    assert list((tmp_path / "out").iterdir()) == []


def choke(disk: Path) -> None:
    """Write until nothing more fits, whatever another program writes meanwhile."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1 << 16))


def test_a_disk_that_fills_up_under_the_real_program_is_said_to_be_full(program: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", config={**CONFIG, "hidden_size": 1024, "intermediate_size": 4096})
    with small_disk(tmp_path / "disk", "400m") as disk:

        def fill_up(done: int, _total: int) -> None:
            if done == 1:
                choke(disk)

        with pytest.raises(AppError, match="not enough space"):
            quantise(
                lambda wide: convert(tmp_path / "model", wide),
                disk / "a.gguf",
                "q5_k_m",
                program,
                progress=fill_up,
            )
        assert [path.name for path in disk.iterdir()] == ["ballast"]
