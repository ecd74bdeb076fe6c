"""A LoRA adapter as GGUF: what arrives of it, and what a GGUF adapter cannot say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gguf.constants import GGUFValueType
from gguf.gguf_writer import GGUFValue, GGUFWriter

from backend.convert.converter import convert_adapter
from backend.convert.sidecar import read_sidecar, write_sidecar
from data.errors import RequestError
from data.gguf import check, read_header
from data.jobs.spec import now
from tests.unit.model_folder import write_adapter, write_model
from tui.commands.convert import check_adapter
from tui.commands.root import run as run_command

RANK = 4
SHAPES = {
    "model.layers.0.self_attn.q_proj": (32, 32),
    "model.layers.0.self_attn.v_proj": (16, 32),
    "model.layers.1.mlp.down_proj": (32, 64),
}


def adapter(place: Path, **changes: object) -> Path:
    write_model(place / "base")
    write_adapter(place / "lora", place / "base", SHAPES, RANK, np.random.default_rng(1), changes)
    return place / "lora"


def test_each_change_becomes_two_matrices_that_multiply_to_it(tmp_path: Path) -> None:
    source = adapter(tmp_path)
    weights = write_adapter(source, tmp_path / "base", SHAPES, RANK, np.random.default_rng(1))
    target = tmp_path / "out" / "lora.gguf"
    report = convert_adapter(source, target, outtype="f32")
    header = read_header(target)
    assert check(header) == ()
    assert report.tensors == len(header.tensors) == 6
    assert header.keys["general.type"] == "adapter"
    assert header.keys["adapter.lora.alpha"] == 2 * RANK
    halves = {
        tensor.name: np.frombuffer(
            target.read_bytes(), "<f4", tensor.size_bytes // 4, header.data_offset + tensor.offset
        ).reshape(tensor.shape[::-1])
        for tensor in header.tensors
    }
    inside = "base_model.model.model.layers.1.mlp.down_proj.lora"
    assert np.array_equal(halves["blk.1.ffn_down.weight.lora_a"], weights[f"{inside}_A.weight"])
    assert np.array_equal(halves["blk.1.ffn_down.weight.lora_b"], weights[f"{inside}_B.weight"])
    high = weights["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"].reshape(4, 2, 4, RANK)
    assert np.array_equal(halves["blk.0.attn_q.weight.lora_b"], high.swapaxes(1, 2).reshape(32, RANK))


def test_of_the_base_its_configuration_is_enough(tmp_path: Path) -> None:
    source = adapter(tmp_path, base_model_name_or_path="somebody/elsewhere")
    (tmp_path / "base" / "model.safetensors").unlink()
    with pytest.raises(RequestError, match="base model of the adapter is not here") as caught:
        convert_adapter(source, tmp_path / "a.gguf")
    assert "--base" in caught.value.hint.english()
    convert_adapter(source, tmp_path / "a.gguf", base=tmp_path / "base")


def test_rslora_is_written_with_the_alpha_that_gives_its_scale(tmp_path: Path) -> None:
    convert_adapter(adapter(tmp_path, use_rslora=True), tmp_path / "a.gguf")
    alpha = read_header(tmp_path / "a.gguf").keys["adapter.lora.alpha"]
    assert alpha == pytest.approx(2 * RANK * math.sqrt(RANK))


def test_an_activated_adapter_says_from_which_tokens_on_it_acts(tmp_path: Path) -> None:
    source = adapter(tmp_path, alora_invocation_tokens=[1, 2**32 - 1, 3])
    convert_adapter(source, tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    begin, end = header.spans["adapter.alora.invocation_tokens"]
    writer = GGUFWriter(None, "llama")
    value = GGUFValue(
        [1, 2**32 - 1, 3], GGUFValueType.ARRAY, GGUFValueType.UINT32
    )  # as convert_lora_to_gguf.py sets it
    packed = writer._pack_val(value.value, value.type, add_vtype=True, sub_type=value.sub_type)
    assert (tmp_path / "a.gguf").read_bytes()[begin:end].endswith(b"invocation_tokens" + packed)
    names = list(header.keys)
    assert names[names.index("adapter.lora.alpha") + 1] == "adapter.alora.invocation_tokens"
    for nothing in (None, []):
        convert_adapter(adapter(tmp_path, alora_invocation_tokens=nothing), tmp_path / "b.gguf")
        assert "adapter.alora.invocation_tokens" not in read_header(tmp_path / "b.gguf").keys


@pytest.mark.parametrize("tokens", ["1, 2", [1, -1], [2**32], [True], [1.5], {"1": 2}])
def test_tokens_of_an_activated_adapter_that_are_none_are_refused(tmp_path: Path, tokens: object) -> None:
    with pytest.raises(RequestError, match="no usable alora_invocation_tokens"):
        convert_adapter(adapter(tmp_path, alora_invocation_tokens=tokens), tmp_path / "a.gguf")


def with_eyes(place: Path, shapes: Mapping[str, Sequence[int]]) -> Path:
    """Write an adapter that changes matrices of the text and two of the eyes."""
    write_model(place / "base", config={"architectures": ["Qwen2VLForConditionalGeneration"]})
    eyes = {f"visual.blocks.{number}.attn.qkv": (48, 16) for number in (0, 1)}
    write_adapter(place / "lora", place / "base", {**shapes, **eyes}, RANK, np.random.default_rng(1))
    return place / "lora"


def test_what_an_adapter_changes_of_the_eyes_is_counted_and_said(tmp_path: Path) -> None:
    source = with_eyes(tmp_path, SHAPES)
    report = convert_adapter(source, tmp_path / "a.gguf")
    assert (report.tensors, report.left_out) == (6, 4)
    (note,) = check_adapter(source, None, tmp_path / "b.gguf", "f16").notes()
    assert note.english() == "The GGUF will hold the model's text only: 4 weights of its eyes are left out."
    with pytest.raises(RequestError, match="cannot be written as a GGUF adapter"):
        convert_adapter(with_eyes(tmp_path, {}), tmp_path / "b.gguf")


def test_an_adapter_says_its_base_and_its_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = adapter(tmp_path, base_model_name_or_path="owner/base"), tmp_path / "a.gguf"
    report = convert_adapter(source, target, base=tmp_path / "base", description="Fine-tuned.")
    write_sidecar(report, changed=[], moment=now())
    made = read_sidecar(target)
    assert made is not None
    assert made["base"] == {"name": "owner/base", "folder": str(tmp_path / "base")}
    assert read_header(target).text("general.description") == "Fine-tuned."
    assert run_command(["gguf", "show", str(target)]) == 0
    assert "owner/base" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        *({"lora_alpha": math.nan}, {"lora_alpha": 1e300}, {"lora_alpha": True}),
        *({"lora_alpha": 3e38, "use_rslora": True}, {"r": True}, {"r": 2**2000, "use_rslora": True}),
    ],
)
def test_an_alpha_or_a_rank_that_no_training_has_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="no usable lora_alpha, r"):
        convert_adapter(adapter(tmp_path, **changes), tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


def nothing_there(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def half_a_pair(folder: Path) -> None:
    write_adapter(folder, folder.parent / "base", {}, RANK, np.random.default_rng(1))
    source = folder / "adapter_model.safetensors"
    header = {"base_model.model.lm_head.lora_A.weight": {"dtype": "F32", "shape": [4, 32], "data_offsets": [0, 512]}}
    head = json.dumps(header).encode()
    source.write_bytes(len(head).to_bytes(8, "little") + head + bytes(512))


def whole_weight(folder: Path) -> None:
    source = folder / "adapter_model.safetensors"
    header = {"base_model.model.lm_head.weight": {"dtype": "F32", "shape": [4, 32], "data_offsets": [0, 512]}}
    head = json.dumps(header).encode()
    source.write_bytes(len(head).to_bytes(8, "little") + head + bytes(512))


def another_model(folder: Path) -> None:
    write_adapter(folder, folder.parent / "base", {"transformer.h.0.attn": (8, 8)}, RANK, np.random.default_rng(1))


def tied_output(folder: Path) -> None:
    config = folder.parent / "base" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tie_word_embeddings": True}))
    write_adapter(folder, folder.parent / "base", {"lm_head": (260, 32)}, RANK, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nothing_there, "no adapter in"),
        (no_weights, "holds no weights"),
        (half_a_pair, "not complete"),
        (whole_weight, "cannot be written as a GGUF adapter"),
        (another_model, "does not fit the base model"),
        (tied_output, "cannot be written as a GGUF adapter"),
    ],
)
def test_an_unusable_folder_is_refused_with_a_remedy(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    source = adapter(tmp_path)
    spoil(source)
    with pytest.raises(RequestError, match=said) as caught:
        convert_adapter(source, tmp_path / "out" / "a.gguf")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 64, "num_attention_heads": 8}, "hidden_size"),
        ({"num_attention_heads": 8}, "hidden_size"),
        ({"num_key_value_heads": 4}, "num_key_value_heads"),
        ({"intermediate_size": 96}, "intermediate_size"),
        ({"vocab_size": 300}, "vocab_size"),
        ({"num_hidden_layers": 1}, "model.layers.1"),
        ({"architectures": ["Phi3ForCausalLM"]}, "has no place"),
    ],
)
def test_a_base_that_the_adapter_does_not_fit_is_refused_by_its_name(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    adapter(tmp_path)
    shapes = {
        **SHAPES,
        "model.layers.0.self_attn.k_proj": (16, 32),
        "model.layers.0.mlp.up_proj": (64, 32),
        "lm_head": (260, 32),
    }
    write_adapter(tmp_path / "lora", tmp_path / "base", shapes, RANK, np.random.default_rng(1))
    convert_adapter(tmp_path / "lora", tmp_path / "right.gguf")
    write_model(tmp_path / "other", config=changes)
    with pytest.raises(RequestError, match="does not fit the base model") as caught:
        convert_adapter(tmp_path / "lora", tmp_path / "a.gguf", base=tmp_path / "other")
    assert str(tmp_path / "other") in caught.value.title.english()
    assert said in caught.value.detail.english()
    assert str(tmp_path / "base") in caught.value.hint.english()
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "LOHA"},
        {"layer_replication": [[0, 2], [1, 2]]},
        {"invocation_string": "<|start_of_role|>"},
        {"use_dora": True},
        {"init_lora_weights": "pissa_niter_4"},
        {"modules_to_save": ["embed_tokens"]},
        {"alpha_pattern": {"q_proj": 3}},
        {"use_rslora": True, "rank_pattern": {"q_proj": 3}},
    ],
)
def test_what_a_gguf_adapter_cannot_say_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="cannot be written as a GGUF adapter") as caught:
        convert_adapter(adapter(tmp_path, **changes), tmp_path / "a.gguf")
    is_mergeable = not {"layer_replication", "invocation_string"} & changes.keys()
    assert ("Merge it first" in caught.value.hint.english()) == is_mergeable


def test_the_command_refuses_it_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    adapter(tmp_path, peft_type=None)
    assert run_command(["convert", "lora", "--adapter"]) == 2
    assert "does not say what kind of adapter" in capsys.readouterr().err
    assert run_command(["convert", "lora", "--adapter", "--template", "qwen"]) == 2
    assert "A GGUF adapter has no template" in capsys.readouterr().err
    assert not (tmp_path / "home" / "state" / "jobs").exists()
