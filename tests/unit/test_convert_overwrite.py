"""What a conversion never writes over: the model that it reads, and a file of a person's own beside the GGUF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backend.convert.converter import convert, convert_adapter
from backend.convert.overwrite import refuse_foreign_sidecar, refuse_own_files
from backend.convert.sidecar import sidecar_of, write_sidecar
from backend.convert.target import real_target
from backend.export.conversion import foresee
from backend.export.plan import draft
from backend.export.source import read_source
from data.errors import RequestError
from data.jobs.spec import now
from screens.export.changes import apply
from tests.unit.adapter_run import CHECKPOINT, write_adapter_run
from tests.unit.llama_cpp_folder import NOBODY
from tests.unit.model_folder import write_adapter, write_model
from tui.commands.root import run as run_command

OWN = "own file {} would be overwritten"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def made(model: Path, target: Path) -> Path:
    """Convert ``model`` as a job does, with its sidecar."""
    write_sidecar(convert(model, target), changed=[], moment=now())
    return target


def as_it_is(model: Path) -> Path:
    return model / "model.safetensors"


def by_a_link(model: Path) -> Path:
    (model / "x.gguf").symlink_to("model.safetensors")
    return real_target(model / "x.gguf")


def by_another_folder(model: Path) -> Path:
    model.with_name("again").symlink_to(model)
    return model.with_name("again") / "model.safetensors"


def in_a_cache(model: Path) -> Path:
    store = model.with_name("blobs")
    store.mkdir()
    (model / "model.safetensors").rename(store / "0123")
    (model / "model.safetensors").symlink_to(store / "0123")
    return real_target(model / "model.safetensors")


def its_tokenizer(model: Path) -> Path:
    return model / "tokenizer.json"


def beside_it(model: Path) -> Path:
    return model / "config"


@pytest.mark.parametrize("name", [as_it_is, by_a_link, by_another_folder, in_a_cache, its_tokenizer, beside_it])
def test_the_models_own_files_are_never_written_over(model: Path, name: Callable[[Path], Path]) -> None:
    with pytest.raises(RequestError, match="own file"):
        refuse_own_files(name(model), (model,))


def test_what_conversions_have_made_in_the_models_folder_gives_way(model: Path) -> None:
    for name in ("a.gguf", "b"):
        target = made(model, model / name)
        for path in (target, sidecar_of(target)):
            refuse_own_files(path, (model,))
        refuse_foreign_sidecar(target)
    refuse_own_files(model.with_name("model.safetensors"), (model,))  # of another folder
    (model / "c.gguf").write_bytes(b"")
    refuse_own_files(model / "c.gguf", (model,))


@pytest.mark.parametrize(
    "text", ["mine", "{}", '{"version": 1, "made_by": {"program": "other"}, "gguf": {}}', "[" * 9999]
)
def test_a_file_that_only_looks_like_a_sidecar_is_kept(tmp_path: Path, text: str) -> None:
    refuse_foreign_sidecar(tmp_path / "x.gguf")
    sidecar_of(tmp_path / "x.gguf").write_text(text)
    with pytest.raises(RequestError, match="beside the GGUF exists already"):
        refuse_foreign_sidecar(tmp_path / "x.gguf")


def test_the_command_keeps_them_with_force_too(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_HOME", str(model.with_name("home")))
    monkeypatch.chdir(model)
    before = {file: file.read_bytes() for file in model.iterdir()}
    for name, own in (("config", "config.json"), ("model.safetensors", "model.safetensors")):
        assert run_command(["convert", ".", "-o", name, "--force"]) == 2
        assert OWN.format(own) in capsys.readouterr().err
    sidecar_of(model / "x.gguf").write_text("mine")
    assert run_command(["convert", ".", "-o", "x.gguf"]) == 2
    assert "holds something else" in " ".join(capsys.readouterr().err.split())
    assert {file: file.read_bytes() for file in before} == before


def test_an_adapters_base_is_kept_too(model: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "lora", model, {"model.layers.0.self_attn.v_proj": (16, 32)}, 4, np.random.default_rng(1))
    before = (model / "config.json").read_bytes()
    with pytest.raises(RequestError, match=OWN.format("config.json")):
        convert_adapter(tmp_path / "lora", model / "config.json")
    assert (model / "config.json").read_bytes() == before


def test_an_export_says_so_before_the_merge(tmp_path: Path) -> None:
    write_adapter_run(tmp_path)
    plan = draft(read_source(tmp_path / CHECKPOINT), tmp_path)
    assert plan.gguf is not None
    foresee(plan, NOBODY)
    for file in (plan.gguf.parent / "config", tmp_path / "base" / "model.safetensors"):
        with pytest.raises(RequestError, match="own file"):
            foresee(apply(plan, "file", str(file), home=""), NOBODY)
    plan.gguf.parent.mkdir(parents=True)
    sidecar_of(plan.gguf).write_text("mine")
    with pytest.raises(RequestError, match="beside the GGUF"):
        foresee(plan, NOBODY)
