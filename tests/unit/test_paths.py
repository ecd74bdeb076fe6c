"""Where things are kept, and that looking creates nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.paths import HOME_VARIABLE, Paths


def everything(paths: Paths) -> list[Path]:
    """Return every place that ``paths`` names."""
    names = list(Paths._fields)
    names += [name for name, value in vars(Paths).items() if isinstance(value, property)]
    return [getattr(paths, name) for name in names]


def test_one_variable_moves_everything(tmp_path: Path) -> None:
    paths = Paths.default({HOME_VARIABLE: str(tmp_path)})
    assert all(place.is_relative_to(tmp_path) for place in everything(paths))
    assert list(tmp_path.iterdir()) == []


def test_a_relative_home_and_a_tilde_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Paths.default({HOME_VARIABLE: "here"}).state == tmp_path / "here" / "state"
    assert Paths.default({HOME_VARIABLE: "~/there"}).state == tmp_path / "there" / "state"


def test_without_it_the_directories_of_the_platform_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    paths = Paths.default({})
    assert paths.settings == tmp_path / "config" / "paddock" / "settings.toml"
    assert paths.jobs == tmp_path / "state" / "paddock" / "jobs"
    assert paths.llamafactory == tmp_path / "data" / "paddock" / "llamafactory"
    assert paths.cache == tmp_path / "cache" / "paddock"
    assert list(tmp_path.iterdir()) == []


def test_no_two_things_share_a_place(tmp_path: Path) -> None:
    places = everything(Paths.under(tmp_path))
    assert len(set(places)) == len(places)
