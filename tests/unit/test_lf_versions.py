from __future__ import annotations

from pathlib import Path

import pytest

from backend.lf.versions import (
    cuda_of_torch,
    metadata_of,
    release_of,
    satisfies,
    torch_mismatches,
    unmet_requirements,
)
from backend.setup import llamafactory

# llamafactory 0.9.5, dist-info/METADATA
METADATA = """\
Metadata-Version: 2.4
Name: llamafactory
Requires-Dist: accelerate<=1.11.0,>=1.3.0
Requires-Dist: einops
Requires-Dist: transformers!=4.52.0,!=4.57.0,<=5.6.0,>=4.55.0
Requires-Dist: trl<=0.24.0,>=0.18.0
Requires-Dist: deepspeed<=0.18.4,>=0.10.0; extra == "deepspeed"

Text
"""
# torch 2.11.0, dist-info/METADATA
TORCH_METADATA = """\
Metadata-Version: 2.4
Requires-Dist: filelock
Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.2; platform_system == "Linux"
Requires-Dist: nvidia-cudnn-cu13==9.19.0.56; platform_system == "Linux"
Requires-Dist: triton==3.6.0; platform_system == "Linux"
Requires-Dist: optree>=0.13.0; extra == "optree"
Requires-Dist: nvidia-extra>=1; extra == "more"
"""


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("5.6.0", "!=4.52.0,!=4.57.0,<=5.6.0,>=4.55.0", True),
        ("4.57.0", "!=4.52.0,!=4.57.0,<=5.6.0,>=4.55.0", False),
        ("5.7.0", "<=5.6.0", False),
        ("5.6.0.post1", "<=5.6.0", True),
        ("2.11", "==2.11.0", True),
        ("2.11.3", "==2.11.*", True),
        ("2.12.0", "!=2.11.*", True),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2.0", ">1.9,<2.0", False),
        ("1.0", "", True),
    ],
)
def test_bounds(version: str, bounds: str, expected: bool) -> None:
    assert satisfies(version, bounds) is expected


def test_the_numbers_of_a_version() -> None:
    assert release_of("2.11.0+cu130") == (2, 11, 0)
    assert release_of("1!2.0rc1") == (2, 0)
    assert release_of("none") == ()


def test_a_torchaudio_of_another_torch_is_found() -> None:
    fits = {"torch": "2.11.0+cu130", "torchaudio": "2.11.0", "torchvision": "0.26.0"}
    assert torch_mismatches(fits) == []
    assert torch_mismatches({**fits, "torch": "2.15.0"}) == [
        ("torchaudio", "2.11.0", "2.15"),
        ("torchvision", "0.26.0", "0.30"),
    ]
    assert torch_mismatches({"torch": "2.11.0"}) == []
    assert torch_mismatches({}) == []


def test_what_llamafactory_requires_is_read_from_its_own_metadata() -> None:
    packages = {"accelerate": "1.11.0", "transformers": "5.9.1", "trl": "0.9.0", "deepspeed": "0.1.0"}
    assert unmet_requirements(METADATA, packages) == [
        ("transformers", "5.9.1", "!=4.52.0,!=4.57.0,<=5.6.0,>=4.55.0"),
        ("trl", "0.9.0", "<=0.24.0,>=0.18.0"),
    ]


def test_metadata_is_found_beside_the_package(tmp_path: Path) -> None:
    (tmp_path / "llamafactory-0.9.5.dist-info").mkdir()
    (tmp_path / "llamafactory-0.9.5.dist-info" / "METADATA").write_text(METADATA)
    assert metadata_of("llamafactory", [tmp_path / "none", tmp_path]) == METADATA
    assert metadata_of("torch", [tmp_path]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from typing import Optional\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "13.0"),
        ("cuda = '12.8'\n", "12.8"),
        ("cuda: Optional[str] = None\n", None),
        ("", None),
    ],
)
def test_the_cuda_of_a_torch(text: str, expected: str | None) -> None:
    assert cuda_of_torch(text) == expected


def test_the_heavy_part_of_torch_is_fetched_piece_by_piece() -> None:
    assert llamafactory.heavy_requirements(TORCH_METADATA) == [
        "cuda-toolkit[cublas,cudart]==13.0.2",
        "nvidia-cudnn-cu13==9.19.0.56",
        "triton==3.6.0",
    ]


def test_the_shipped_pins_name_the_wanted_versions_and_fit_each_other() -> None:
    lines = llamafactory.CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {f"{name}=={pins[name]}" for name in ("llamafactory", "torch", "torchaudio", "torchvision")} == set(
        llamafactory.WANTED
    )
    assert torch_mismatches(pins) == []
    assert unmet_requirements(METADATA, pins) == []
    assert not any("@" in line or "://" in line for line in lines)
