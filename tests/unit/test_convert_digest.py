"""Digests of files whose bytes pass by: whatever is skipped, repeated or out of order, it is the file's BLAKE3."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from backend.convert.converter import convert
from backend.convert.digest import OutputDigest, SourceDigests
from data.errors import AppError
from tests.unit.model_folder import write_model


@given(st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 400_000)), max_size=12), st.integers(0, 3_100_000))
def test_the_digest_is_that_of_the_file_in_whatever_order_its_pieces_come(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]], size: int
) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    content = os.urandom(size)
    path.write_bytes(content)
    with SourceDigests() as digests:
        for begin, length in pieces:
            if begin + length <= size:
                digests.pass_by(path, begin, memoryview(content)[begin : begin + length])
        assert digests.result(path) == blake3(content).hexdigest()


def test_a_file_that_became_shorter_is_said_to_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    with SourceDigests() as digests:
        digests.pass_by(path, 20, memoryview(b"abc"))
        with pytest.raises(AppError, match="changed"):
            digests.result(path)


def test_what_is_added_is_digested_in_order() -> None:
    with OutputDigest() as digest:
        for number in range(100):
            digest.add(bytes([number]) * 10_000)
        expected = blake3(b"".join(bytes([number]) * 10_000 for number in range(100)))
        assert digest.result() == expected.hexdigest()


@pytest.mark.parametrize("outtype", ["f32", "q8_0"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_conversion_knows_the_digests_of_what_it_read_and_wrote(tmp_path: Path, outtype: str, tied: bool) -> None:
    folder = tmp_path / "model"
    write_model(folder, shards=3)
    if tied:  # then lm_head is in a shard, and nobody reads it for the GGUF
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace("{", '{"tie_word_embeddings": true, ', 1))
    report = convert(folder, tmp_path / "a.gguf", outtype=outtype)
    expected = {path: blake3(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.safetensors"))}
    assert dict(report.digests.sources) == expected
    assert report.digests.target == blake3((tmp_path / "a.gguf").read_bytes()).hexdigest()
