"""The weights on their way into a GGUF: numbers that no model or no type should hold are refused with what helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.convert.converter import convert
from data.errors import AppError
from tests.unit.model_folder import write_model, write_weights


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_nan_and_inf_are_refused_with_the_name_of_the_weight(
    tmp_path: Path, number: float, outtype: str, dtype: str
) -> None:
    weights = write_model(tmp_path / "model", dtype=dtype)
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = number
    write_weights(tmp_path / "model", weights, dtype=dtype)
    with pytest.raises(AppError, match=r"layers\.1\.mlp\.up_proj\.weight holds NaN or Inf"):
        convert(tmp_path / "model", tmp_path / "out" / "model.gguf", outtype=outtype)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "refusing", "helping"),
    [(7e4, ["f16"], ["bf16", "f32"]), (1e8, ["f16", "q8_0"], ["bf16", "f32"]), (3.4e38, ["f16", "bf16"], ["f32"])],
)
def test_a_number_too_large_for_a_type_is_refused_with_the_types_that_hold_it(
    tmp_path: Path, number: float, refusing: list[str], helping: list[str]
) -> None:
    weights = write_model(tmp_path / "model")
    weights["lm_head.weight"][0, 0] = number
    write_weights(tmp_path / "model", weights)
    for outtype in refusing:
        with pytest.raises(AppError, match="does not fit the type") as caught:
            convert(tmp_path / "model", tmp_path / "a.gguf", outtype=outtype)
        assert caught.value.hint.english() == f"Convert with --outtype {' or '.join(helping)}."
    for outtype in helping:
        convert(tmp_path / "model", tmp_path / f"{outtype}.gguf", outtype=outtype)


def test_a_number_that_no_type_holds_is_refused_without_naming_one(tmp_path: Path) -> None:
    weights = write_model(tmp_path / "model")
    doubled = {name: value.astype(np.float64) for name, value in weights.items()}
    doubled["lm_head.weight"][0, 0] = 1e300
    write_weights(tmp_path / "model", doubled, dtype="F64")
    for outtype in ("f16", "bf16", "f32", "q8_0"):
        with pytest.raises(AppError, match="does not fit the type") as caught:
            convert(tmp_path / "model", tmp_path / "a.gguf", outtype=outtype)
        assert "No type of a GGUF" in caught.value.hint.english()
