"""The demo's chain: what is laid down, on which device, and what its summary says."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import pipeline
from backend.telemetry.gpus import Gpu, NotAvailable
from data.errors import RequestError
from data.paths import Paths
from data.settings import Settings

ABSENT = NotAvailable()


def gpu(index: int, free_gib: float) -> Gpu:
    total = 80 << 30
    used = total - int(free_gib * 2**30)
    return Gpu(index, f"GPU-{index}", "H", total, used, ABSENT, ABSENT, ABSENT, ABSENT)


def test_every_step_waits_for_the_one_before_it_and_knows_its_place(tmp_path: Path) -> None:
    specs = pipeline.demo_chain(Paths.under(tmp_path), Settings(), tmp_path, {"PATH": ""})
    kinds = [spec.kind for spec in specs]
    assert kinds == ["setup", "base", "ask", "train", "export", "convert", "deploy", "ask"]
    assert [spec.after for spec in specs] == [(), *((spec.id,) for spec in specs[:-1])]
    assert {spec.chain.id for spec in specs if spec.chain} == {specs[0].chain.id if specs[0].chain else ""}
    assert [spec.chain.position for spec in specs if spec.chain] == list(range(len(specs)))
    assert specs[0].params["what"] == ["llamafactory", "ollama"]
    assert specs[-1].params["expect"] == "Paddy"


def test_two_demos_share_the_base_and_nothing_else(tmp_path: Path) -> None:
    one, two = (pipeline.demo_chain(Paths.under(tmp_path), Settings(), tmp_path, {"PATH": ""}) for _round in range(2))
    outputs = [{spec.kind: spec.params for spec in chain} for chain in (one, two)]
    assert outputs[0]["base"]["target"] == outputs[1]["base"]["target"]
    assert outputs[0]["train"]["output_dir"] != outputs[1]["train"]["output_dir"]
    assert outputs[0]["convert"]["target"] != outputs[1]["convert"]["target"]


@pytest.mark.parametrize(
    ("gpus", "wanted"),
    [
        ([], None),
        ([gpu(0, 1.0)], None),  # a full GPU is not waited for
        ([gpu(0, 8.0), gpu(1, 40.0), gpu(2, 5.0)], (1,)),
        ([Gpu(0, "u", "n", ABSENT, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT)], None),
    ],
)
def test_the_demo_takes_one_gpu_with_room_or_the_cpu(gpus: list[Gpu], wanted: tuple[int, ...] | None) -> None:
    request = pipeline._demo_device(gpus)
    assert (request.ids if request else None) == wanted


def test_a_demo_that_does_not_exist_has_no_summary() -> None:
    with pytest.raises(RequestError):
        pipeline.demo_summary([])
