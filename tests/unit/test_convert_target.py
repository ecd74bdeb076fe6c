"""The name of a GGUF: no file of others gives way to it unasked, and a link leads to the file that is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.convert.converter import Overrides, convert
from backend.convert.llama_cpp import find_script
from backend.convert.quantise import quantise
from backend.convert.quants import BITS
from backend.convert.room import room_of
from backend.convert.scratch import scratch
from backend.convert.script import convert_by_script
from backend.convert.sidecar import sidecar_of
from backend.convert.target import SPARE_BYTES, publish, real_target, refuse_taken, require_space
from data.disk import free_bytes
from data.errors import AppError, RequestError
from data.paths import Paths
from data.size import size
from tests.unit.llama_cpp_folder import write_settings, write_unknown_model
from tests.unit.model_folder import write_model
from tests.unit.test_convert_quantise import program

OTHER = b"of somebody else"
Road = Callable[[Path, Callable[[], None], bool], object]
"""Writes the path, calls the function while it does so, and replaces or not"""


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def ours(tmp_path: Path) -> Road:
    write_model(tmp_path / "model")
    return lambda target, meanwhile, replace: convert(
        tmp_path / "model", target, replace=replace, progress=lambda _done, _total: meanwhile()
    )


def quantised(tmp_path: Path) -> Road:
    write_model(tmp_path / "model")
    path = program(tmp_path / "llama-quantize")
    return lambda target, meanwhile, replace: quantise(
        lambda wide: convert(tmp_path / "model", wide), target, "q4_k_m", path, replace=replace, begin=meanwhile
    )


def scripted(tmp_path: Path, overrides: Overrides | None = None) -> Road:
    folder = write_unknown_model(tmp_path / "unknown")
    script = find_script(Paths.default({"PADDOCK_HOME": str(tmp_path)}), write_settings(tmp_path), tmp_path, {})
    assert script is not None
    return lambda target, meanwhile, replace: convert_by_script(
        folder,
        target,
        script,
        outtype="bf16",
        overrides=overrides,
        replace=replace,
        progress=lambda _done, _total: meanwhile(),
    )


def rekeyed(tmp_path: Path) -> Road:
    return scripted(tmp_path, Overrides(chat_template="{{ x }}"))


@pytest.mark.parametrize("road", [ours, quantised, scripted, rekeyed])
def test_a_file_that_something_else_made_meanwhile_stays(tmp_path: Path, road: Callable[[Path], Road]) -> None:
    target, make = tmp_path / "out" / "a.gguf", road(tmp_path)

    def meanwhile() -> None:
        target.write_bytes(OTHER)

    with pytest.raises(AppError, match="meanwhile") as caught:
        make(target, meanwhile, False)
    assert "--force" in caught.value.hint.english()
    assert target.read_bytes() == OTHER
    assert left_in(target.parent) == ["a.gguf"]
    make(target, lambda: None, True)
    assert target.read_bytes()[:4] == b"GGUF"
    target.unlink()
    make(target, lambda: None, False)
    assert left_in(target.parent) == ["a.gguf"]


def test_where_a_file_system_has_no_links_the_first_still_gets_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_paths: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    for number in (1, 2):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    publish(tmp_path / "1", tmp_path / "a.gguf", replace=False)
    with pytest.raises(AppError, match="meanwhile"):
        publish(tmp_path / "2", tmp_path / "a.gguf", replace=False)
    assert left_in(tmp_path) == ["2", "a.gguf"]
    assert (tmp_path / "a.gguf").read_bytes() == b"1"


def test_a_file_that_is_there_or_being_made_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    refuse_taken(target)
    refuse_taken(tmp_path / "absent" / "a.gguf")
    with scratch(target):
        with pytest.raises(RequestError, match="Another conversion"):
            refuse_taken(target)
        refuse_taken(tmp_path / "b.gguf")
    refuse_taken(target)
    target.touch()
    with pytest.raises(RequestError, match="exists already"):
        refuse_taken(target)


def test_a_link_leads_to_the_file_that_is_written_and_to_its_sidecar(tmp_path: Path) -> None:
    link, real = tmp_path / "link.gguf", tmp_path / "store" / "real.gguf"
    link.symlink_to(Path("store") / "real.gguf")
    assert real_target(link) == real
    assert sidecar_of(link) == real.with_name("real.gguf.json")
    circle = tmp_path / "circle.gguf"
    circle.symlink_to(circle.name)
    with pytest.raises(RequestError, match="exists already"):
        refuse_taken(real_target(circle))


def test_too_little_room_is_said_with_the_reserve_and_the_name_that_people_know(tmp_path: Path) -> None:
    needed = 2 * free_bytes(tmp_path)
    with scratch(tmp_path / "a.gguf") as work, pytest.raises(AppError) as caught:
        require_space(work.folder / "16bit", needed)
    assert caught.value.title.english() == f"There is not enough space for {tmp_path / 'a.gguf'}"
    assert size(needed + SPARE_BYTES) in caught.value.detail.english()


def test_a_type_of_llama_quantize_takes_room_for_both_files(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    wide, both = room_of(tmp_path / "model", "bf16"), room_of(tmp_path / "model", "q4_k_m")
    assert wide is not None
    assert both is not None
    assert wide.peak_bytes == wide.kept_bytes
    assert both.peak_bytes == wide.peak_bytes + both.kept_bytes
    assert both.kept_bytes < wide.kept_bytes
    assert "q4_k_m" in BITS
    assert room_of(tmp_path, "bf16") is None
