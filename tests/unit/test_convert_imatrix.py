"""Importance matrices: which types need one, and what is none, told before anything starts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from backend.convert.converter import convert
from backend.convert.imatrix import check_file, misfit
from backend.convert.quants import BITS, NEED_IMATRIX, USUAL, WITH_IMATRIX
from data.errors import RequestError
from tests.unit.model_folder import write_model

NAMES = ("blk.0.attn_q.weight", "blk.0.ffn_up.weight")


def write_matrix(path: Path, *, leave_out: str = "", names: Sequence[str] = NAMES, width: int = 32) -> Path:
    """Write a matrix as llama.cpp's llama-imatrix does now; ``leave_out`` names keys and ends of tensors."""
    writer = GGUFWriter(path, "none")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["texts.txt"])
    for name in ("chunk_count", "chunk_size"):
        if name != leave_out:
            writer.add_uint32(f"imatrix.{name}", 8)
    for name in names:
        for end, count in ((".in_sum2", width), (".counts", 1)):
            if end != leave_out:
                writer.add_tensor(name + end, np.ones((1, count), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def older(names: Sequence[str] = NAMES, values: int = 32, *, count: int | None = None, trailer: bytes = b"") -> bytes:
    """Return a matrix as llama-imatrix wrote it until 2025."""
    entries = [
        struct.pack("<i", len(name)) + name.encode() + struct.pack(f"<ii{values}f", 3, values, *[1.0] * values)
        for name in names
    ]
    return struct.pack("<i", len(names) if count is None else count) + b"".join(entries) + trailer


def test_both_forms_are_taken(tmp_path: Path) -> None:
    check_file(write_matrix(tmp_path / "new.gguf"))
    (tmp_path / "old.dat").write_bytes(older())
    check_file(tmp_path / "old.dat")
    (tmp_path / "older.dat").write_bytes(older(trailer=struct.pack("<ii", 40, 5) + b"a.txt"))
    check_file(tmp_path / "older.dat")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither"),
        (b"which weights matter", "neither"),
        (struct.pack("<i", 2**31 - 1) * 100, "neither"),
        (struct.pack("<i", 3) + struct.pack("<i", 2**31 - 1) * 100, "neither"),
        (older()[:-4], "cut off"),
        (older(count=3), "cut off|neither"),
        (older(values=1, names=["a"])[:-8] + struct.pack("<i", 2**31 - 1), "cut off"),
        (b"GGUF", "not a usable GGUF"),
    ],
)
def test_what_is_no_matrix_is_refused_with_its_reason(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.dat").write_bytes(content)
    with pytest.raises(RequestError) as caught:
        check_file(tmp_path / "x.dat")
    assert any(part in str(caught.value) for part in said.split("|")), str(caught.value)
    assert "llama-imatrix" in caught.value.hint.english()


@pytest.mark.parametrize(
    ("leave_out", "said"),
    [("chunk_size", "lacks imatrix.chunk_size"), (".counts", "is not whole"), (".in_sum2", "is not whole")],
)
def test_a_gguf_that_is_no_whole_matrix_is_refused(tmp_path: Path, leave_out: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_file(write_matrix(tmp_path / "x.gguf", leave_out=leave_out))
    assert said in str(caught.value)


def test_a_matrix_that_is_cut_off_and_a_model_are_refused(tmp_path: Path) -> None:
    whole = write_matrix(tmp_path / "x.gguf").read_bytes()
    (tmp_path / "x.gguf").write_bytes(whole[: -len(whole) // 4])
    write_model(tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "model.gguf")
    for name, said in (("x.gguf", "cut off"), ("model.gguf", "another kind of GGUF"), (".", "no importance matrix")):
        with pytest.raises(RequestError) as caught:
            check_file(tmp_path / name)
        assert said in str(caught.value)


def test_types_and_matrices_go_together_or_are_told_apart() -> None:
    some = Path("/some/imatrix.gguf")
    assert all(misfit(outtype, some) is None for outtype in BITS)
    for outtype in ("auto", "bf16", "f16", "f32", "q8_0"):
        wrong = misfit(outtype, some)
        assert wrong is not None
        assert "no use" in wrong.title.english()
        assert misfit(outtype, None) is None
    for outtype in BITS:
        assert (misfit(outtype, None) is not None) == (outtype in NEED_IMATRIX)
    assert set(WITH_IMATRIX) <= NEED_IMATRIX
    assert not NEED_IMATRIX & set(USUAL)
