"""How far a file has been read that somebody else reads."""

from __future__ import annotations

from pathlib import Path
from queue import Queue

from backend.export.reading import position, watching


def test_the_place_is_told_while_the_file_is_open(tmp_path: Path) -> None:
    file, link = tmp_path / "model.safetensors", tmp_path / "link"
    file.write_bytes(bytes(1000))
    link.symlink_to(file)
    assert position(file) is None
    told = Queue[int]()
    with file.open("rb", buffering=0) as stream, watching(link, told.put):
        stream.read(300)
        while told.get(timeout=30) != 300:
            pass
        stream.read()
        while told.get(timeout=30) != 1000:
            pass
    assert position(file) is None
