"""Has a merge taken? Little models whose weights were changed, or not, where an adapter says that it acts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from backend.export.adapter import read_adapter
from backend.export.check import KIND, Request
from backend.export.compare import Comparison, compare
from data.errors import AppError, RequestError
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from data.log import last_exception, log_end
from data.paths import HOME_VARIABLE
from screens.job_lines import JobDetail, failure_lines
from tests.support import Yard
from tests.unit.model_folder import write_model, write_safetensors
from tui.commands.root import run

Q = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"


def f32(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return "F32", array.shape, array.astype("<f4").tobytes()


def write_adapter(folder: Path, factors: Mapping[str, float], **whole: np.ndarray) -> Path:
    """Write a LoRA of rank 2; the value of each module is what fills its B."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    tensors = {}
    for module, value in factors.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = f32(np.ones((2, 4)))
        tensors[f"base_model.model.{module}.lora_B.weight"] = f32(np.full((4, 2), value))
    for name, array in whole.items():
        tensors[f"base_model.model.{name}"] = f32(array)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def changed_copy(base: Path, target: Path, change: Mapping[str, float], *, dtype: str = "<f4") -> Path:
    """Copy a model of float32 weights; add a number to some of its tensors, and store all as ``dtype``."""
    target.mkdir()
    for file in base.iterdir():
        if file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    raw = (base / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[begin:end], "<f4").reshape(entry["shape"]).copy()
        array.flat[-1] += change.get(name, 0.0)
        kind = "F32" if dtype == "<f4" else "F16"
        tensors[name] = (kind, array.shape, array.astype(dtype).tobytes())
    write_safetensors(target / "model.safetensors", tensors)
    return target


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_model(tmp_path / "base")
    return tmp_path / "base"


def check(base: Path, merged: Path, *adapters: Path) -> Comparison:
    return compare(base, merged, [read_adapter(adapter) for adapter in adapters])


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_a_merge_that_took_differs_where_the_adapter_acts(base: Path, tmp_path: Path, dtype: str) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5, DOWN: 0.5})
    merged = changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0, f"{DOWN}.weight": 1.0}, dtype=dtype)
    found = check(base, merged, adapter)
    assert found.has_taken
    assert found.changed == (f"{Q}.weight", f"{DOWN}.weight")
    assert (found.unchanged, found.strayed, found.absent, found.idle) == ((), (), (), ())


def test_a_merge_into_nothing_is_seen(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5, DOWN: 0.5})
    found = check(base, changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0}), adapter)
    assert not found.has_taken
    assert found.unchanged == (f"{DOWN}.weight",)


def test_rounding_to_another_type_is_no_change(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5})
    found = check(base, changed_copy(base, tmp_path / "merged", {}, dtype="<f2"), adapter)
    assert found.unchanged == (f"{Q}.weight",)
    assert found.strayed == ()


def test_a_change_where_nothing_acts_is_named(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5})
    merged = changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0, "model.norm.weight": 1.0})
    assert check(base, merged, adapter).strayed == ("model.norm.weight",)


def test_an_adapter_that_was_never_trained_is_named(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.0})
    found = check(base, changed_copy(base, tmp_path / "merged", {}), adapter)
    assert not found.has_taken
    assert found.idle == (Q,)


def test_an_adapter_of_a_larger_model_is_named(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5, "model.layers.7.mlp.up_proj": 0.5})
    found = check(base, changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0}), adapter)
    assert not found.has_taken
    assert found.absent == ("model.layers.7.mlp.up_proj.weight",)


def test_nan_is_no_change_that_counts(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5})
    found = check(base, changed_copy(base, tmp_path / "merged", {f"{Q}.weight": float("nan")}), adapter)
    assert not found.has_taken
    assert found.not_finite == (f"{Q}.weight",)


def test_whole_tensors_of_an_adapter_count_under_their_own_names(base: Path, tmp_path: Path) -> None:
    head = {"lm_head.modules_to_save.weight": np.ones((260, 32))}
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5}, **head)
    merged = changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0, "lm_head.weight": 1.0})
    assert check(base, merged, adapter).changed == ("lm_head.weight", f"{Q}.weight")


def test_a_prefix_that_one_class_has_and_the_other_not_is_bridged(base: Path, tmp_path: Path) -> None:
    merged = changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0})
    adapter = write_adapter(tmp_path / "adapter", {"language_model." + Q: 0.5})
    assert check(base, merged, adapter).changed == (f"{Q}.weight",)
    other = write_adapter(tmp_path / "other", {"model.layers.5.self_attn.q_proj": 0.5})
    assert check(base, merged, other).absent == ("model.layers.5.self_attn.q_proj.weight",)


def test_a_pickled_adapter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(RequestError) as caught:
        read_adapter(tmp_path)
    assert "safetensors" in caught.value.hint.english()


@pytest.mark.parametrize("lacking", ["base", "merged", "adapters", "python", "template"])
def test_a_request_that_lacks_something_names_it(lacking: str) -> None:
    params: dict[str, object] = {"base": "b", "merged": "m", "adapters": ["a"], "python": "p", "template": "t"}
    assert Request.read(params).adapters == (Path("a"),)
    with pytest.raises(AppError, match=lacking):
        Request.read({**params, lacking: [] if lacking == "adapters" else ""})


def test_a_merge_that_changed_more_than_the_adapter_does_is_no_failure_and_is_said(
    base: Path, tmp_path: Path, yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ[HOME_VARIABLE] = str(yard.root)
    adapter = write_adapter(tmp_path / "adapter", {Q: 0.5})
    changes = {f"{Q}.weight": 1.0, "model.norm.weight": 1.0, f"{DOWN}.weight": 1.0}
    params = {
        "base": str(base),
        "merged": str(changed_copy(base, tmp_path / "merged", changes)),
        "adapters": [str(adapter)],
        "answers": False,
    }
    (job_id,) = yard.launch(JobSpec.new(KIND, "merge check", workspace=str(tmp_path), params=params))
    assert yard.until(job_id).status is Status.SUCCEEDED
    for words in (["jobs", "watch", job_id, "--plain"], ["jobs", "show", job_id]):
        assert run(words) == 0
        said = "".join(capsys.readouterr())
        assert "2 tensors differ from the base's although no adapter acts there" in said
        assert f"{DOWN}.weight, model.norm.weight" in said
        assert run(["--lang", "zh_CN", *words]) == 0
        assert "有 2 个张量与基础模型不同，而没有适配器作用于它们" in "".join(capsys.readouterr())


ENDINGS = {
    "template": (
        "  File ...\nIndexError: index out of range in self",
        "exit 1",
        "IndexError: index out of range in self",
        "The template llama3 adds tokens that the model has no embedding for",
    ),
    "assertion": (
        "/native/cuda/Indexing.cu:1553: block: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed.\n"  # noqa: ISC004
        "torch.AcceleratorError: CUDA error: device-side assert triggered",
        "exit 1",
        "device-side assert",
        "The template llama3 adds tokens",
    ),
    "memory": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "exit 1",
        "CUDA out of memory",
        "Resume with more free memory.",
    ),
    "killed": ("Loading checkpoint shards", "kill -9 $$", "SIGKILL", "Resume with more free memory."),
    "package": (
        "ModuleNotFoundError: No module named 'tiktoken'",
        "exit 1",
        "No module named 'tiktoken'",
        "Install it there: pip install tiktoken",
    ),
    "other": ("ValueError: nobody knows this", "exit 1", "ValueError: nobody knows this", "The log shows where it"),
    "words": ("bash: cannot do that", "exit 1", "bash: cannot do that", "The log has its last words."),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_inference_that_ends_before_it_answers_says_why_and_what_helps(
    ending: str, base: Path, tmp_path: Path, yard: Yard
) -> None:
    said, end, why, remedy = ENDINGS[ending]
    (tmp_path / "said").write_text(f"{said}\n")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{{\"loading\": 1}}'\ncat {tmp_path}/said >&2\n{end}\n")
    python.chmod(0o755)
    params = {
        "base": str(base),
        "merged": str(changed_copy(base, tmp_path / "merged", {f"{Q}.weight": 1.0})),
        "adapters": [str(write_adapter(tmp_path / "adapter", {Q: 0.5}))],
        "python": str(python),
        "template": "llama3",
    }
    (job_id,) = yard.launch(JobSpec.new(KIND, "merge check", workspace=str(tmp_path), params=params))
    job = yard.until(job_id)
    assert job.status is Status.FAILED
    assert job.state.title.english() == "The merged model could not be asked"
    assert why in job.state.detail.english()
    assert remedy in job.state.hint.english()
    exception = tuple(last_exception(log_end(job.folder.log)))
    shown = [text for line in failure_lines(JobDetail(job, exception=exception)) for text, _role in line]
    assert sum(remedy in text for text in shown) == 1, shown
