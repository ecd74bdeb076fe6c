"""Converting a little folder: what is written, what is refused, and that nothing half is ever left."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf.quants import dequantize

from backend.convert.converter import convert
from backend.convert.planning import make_plan
from backend.convert.refusal import UnknownHereError
from backend.convert.stream import Stopped
from data.errors import AppError, RequestError
from data.gguf import check, read_header
from tests.unit.model_folder import write_model, write_safetensors, write_tokenizer, write_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    write_model(place)
    return place


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def tensor(path: Path, name: str) -> np.ndarray:
    header = read_header(path)
    found = next(tensor for tensor in header.tensors if tensor.name == name)
    raw = np.frombuffer(path.read_bytes(), np.uint8)[header.data_offset + found.offset :][: found.size_bytes]
    kinds = {"F32": 0, "F16": 1, "Q8_0": 8, "BF16": 30}
    rows = raw.reshape(*found.shape[:0:-1], -1)
    return dequantize(rows, kinds[found.type.name]).reshape(found.shape[::-1])  # type: ignore[arg-type]


@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_weight_arrives(tmp_path: Path, outtype: str, shards: int) -> None:
    weights = write_model(tmp_path / "model", shards=shards)
    target = tmp_path / "out" / "model.gguf"
    seen: list[tuple[int, int]] = []
    report = convert(
        tmp_path / "model", target, outtype=outtype, progress=lambda done, total: seen.append((done, total))
    )
    assert check(target) == ()
    assert report.size_bytes == target.stat().st_size
    assert report.tensors == len(weights)
    assert seen[-1][0] == seen[-1][1] > 0
    tolerance = {"f32": 0.0, "f16": 1e-3, "bf16": 1e-2, "q8_0": 2e-2}[outtype] * 4
    assert np.allclose(
        tensor(target, "blk.1.ffn_down.weight"), weights["model.layers.1.mlp.down_proj.weight"], atol=tolerance
    )
    heads = weights["model.layers.0.self_attn.k_proj.weight"].reshape(2, 2, 4, 32)
    interleaved = np.stack([heads[:, 0], heads[:, 1]], axis=2).reshape(16, 32)
    assert np.allclose(tensor(target, "blk.0.attn_k.weight"), interleaved, atol=tolerance)
    assert left_in(target.parent) == ["model.gguf"]


def test_auto_takes_the_type_of_the_source(tmp_path: Path) -> None:
    write_model(tmp_path / "half", dtype="F16")
    write_model(tmp_path / "full", dtype="F32")
    assert make_plan(tmp_path / "half").outtype == "f16"
    assert make_plan(tmp_path / "full").outtype == "f16"


def test_a_tied_model_has_no_output_matrix_even_when_its_file_has_one(tmp_path: Path) -> None:
    weights = write_model(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(
        json.dumps({**json.loads((tmp_path / "model" / "config.json").read_text()), "tie_word_embeddings": True})
    )
    convert(tmp_path / "model", tmp_path / "a.gguf")
    assert len(weights) - 1 == len(read_header(tmp_path / "a.gguf").tensors)


def test_the_text_of_a_model_with_eyes_is_converted_and_the_rest_counted(tmp_path: Path) -> None:
    rope = {"type": "mrope", "mrope_section": [1, 2, 1]}
    config = {"architectures": ["Qwen2VLForConditionalGeneration"], "rope_scaling": rope, "vision_config": {"depth": 1}}
    weights = write_model(tmp_path / "model", config=config)
    eyes = {
        "visual.patch_embed.proj.weight": np.ones((4, 3), np.float32),
        "visual.merger.ln_q.weight": np.ones(4, np.float32),
    }
    write_weights(tmp_path / "model", weights | eyes)
    report = convert(tmp_path / "model", tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    assert (header.architecture, report.left_out, len(header.tensors)) == ("qwen2vl", 2, len(weights))
    sections = header.array("qwen2vl.rope.dimension_sections")
    assert sections is not None
    assert list(sections.values()) == [1, 2, 1, 0]


def write_one_layer(place: Path, config: Mapping[str, object]) -> dict[str, Any]:
    """Write a model and return what its experts stand beside: its weights without a second layer and any MLP."""
    weights = write_model(place, config=config)
    return {name: value for name, value in weights.items() if "layers.1." not in name and ".mlp." not in name}


def test_stacks_of_experts_that_lie_transposed_are_turned(tmp_path: Path) -> None:
    """Llama 4: gate and up of an expert lie side by side, each number of the input a row."""
    experts, width, inner = 3, 32, 64
    config = {
        "architectures": ["Llama4ForCausalLM"],
        "num_hidden_layers": 1,
        "head_dim": 8,
        "intermediate_size": inner,
        "intermediate_size_mlp": 96,
        "num_local_experts": experts,
    }
    weights = write_one_layer(tmp_path / "model", config)
    random = np.random.default_rng(5)
    inside = "model.layers.0.feed_forward."
    stacks = {
        f"{inside}experts.gate_up_proj": (experts, width, 2 * inner),
        f"{inside}experts.down_proj": (experts, inner, width),
        f"{inside}router.weight": (experts, width),
        f"{inside}shared_expert.gate_proj.weight": (inner, width),
        f"{inside}shared_expert.up_proj.weight": (inner, width),
        f"{inside}shared_expert.down_proj.weight": (width, inner),
    }
    weights |= {name: random.standard_normal(shape).astype(np.float32) for name, shape in stacks.items()}
    write_weights(tmp_path / "model", weights)
    convert(tmp_path / "model", tmp_path / "a.gguf", outtype="f32")
    gate_up, down = weights[f"{inside}experts.gate_up_proj"], weights[f"{inside}experts.down_proj"]
    assert (tensor(tmp_path / "a.gguf", "blk.0.ffn_gate_exps.weight") == gate_up[..., :inner].swapaxes(1, 2)).all()
    assert (tensor(tmp_path / "a.gguf", "blk.0.ffn_up_exps.weight") == gate_up[..., inner:].swapaxes(1, 2)).all()
    assert (tensor(tmp_path / "a.gguf", "blk.0.ffn_down_exps.weight") == down.swapaxes(1, 2)).all()
    del weights[f"{inside}experts.down_proj"]
    write_weights(tmp_path / "model", weights)
    with pytest.raises(RequestError, match="lacks weights"):
        convert(tmp_path / "model", tmp_path / "b.gguf")


def test_experts_of_qwen3_vl_come_out_the_same_as_published_and_as_transformers_saves_them(tmp_path: Path) -> None:
    experts, width, inner = 3, 32, 96
    config = {
        "architectures": ["Qwen3VLMoeForConditionalGeneration"],
        "num_hidden_layers": 1,
        "moe_intermediate_size": inner,
        "num_experts": experts,
    }
    plain = write_one_layer(tmp_path / "published", config)
    random = np.random.default_rng(5)
    inside = "model.layers.0."
    shapes = {
        f"{inside}self_attn.q_norm.weight": (8,),
        f"{inside}self_attn.k_norm.weight": (8,),
        f"{inside}mlp.gate.weight": (experts, width),
        f"{inside}mlp.experts.gate_up_proj": (experts, width, 2 * inner),
        f"{inside}mlp.experts.down_proj": (experts, inner, width),
    }
    published = plain | {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    saved = {
        name: np.ascontiguousarray(value.swapaxes(1, 2)) if ".experts." in name else value
        for name, value in published.items()
    }
    write_model(tmp_path / "saved", config=config)
    for place, weights in ((tmp_path / "published", published), (tmp_path / "saved", saved)):
        write_weights(place, weights)
        convert(place, place / "a.gguf", outtype="q8_0", name="same")
    assert (tmp_path / "published" / "a.gguf").read_bytes() == (tmp_path / "saved" / "a.gguf").read_bytes()
    gate = tensor(tmp_path / "saved" / "a.gguf", "blk.0.ffn_gate_exps.weight")
    assert np.allclose(gate, published[f"{inside}mlp.experts.gate_up_proj"][..., :inner].swapaxes(1, 2), atol=0.05)


def test_a_text_of_another_kind_under_known_eyes_is_not_known(tmp_path: Path) -> None:
    text = {"model_type": "mistral4"}
    write_model(tmp_path / "model", config={"architectures": ["Mistral3ForConditionalGeneration"], "text_config": text})
    with pytest.raises(UnknownHereError, match="mistral4"):
        make_plan(tmp_path / "model")


def test_a_shard_that_is_removed_while_the_first_is_read_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "model", config={"hidden_size": 128, "num_hidden_layers": 8}, shards=2)
    second = tmp_path / "model" / "model-00002-of-00002.safetensors"
    with pytest.raises(AppError, match="cannot be read") as caught:
        convert(
            tmp_path / "model",
            tmp_path / "out" / "a.gguf",
            progress=lambda _done, _total: second.unlink(missing_ok=True),
        )
    assert str(second) in caught.value.title.english()
    assert left_in(tmp_path / "out") == []


def test_an_older_file_stays_until_the_new_one_is_whole(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.gguf"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(Stopped):
        convert(folder, target, stop_requested=lambda: True)
    assert target.read_bytes() == b"old"
    convert(folder, target)
    assert target.read_bytes()[:4] == b"GGUF"
    assert left_in(target.parent) == ["model.gguf"]


@pytest.mark.parametrize("after", [0, 1, 5, 20])
def test_a_stop_leaves_nothing(folder: Path, tmp_path: Path, after: int) -> None:
    asked = iter(range(1000))
    with pytest.raises(Stopped):
        convert(folder, tmp_path / "out" / "model.gguf", stop_requested=lambda: next(asked) >= after)
    assert not (tmp_path / "out").exists() or left_in(tmp_path / "out") == []


def test_a_stop_after_the_last_byte_leaves_nothing_either(folder: Path, tmp_path: Path) -> None:
    seen: list[bool] = []
    with pytest.raises(Stopped):
        convert(
            folder,
            tmp_path / "out" / "model.gguf",
            progress=lambda done, total: seen.append(done == total),
            stop_requested=lambda: any(seen),
        )
    assert left_in(tmp_path / "out") == []


def test_a_folder_that_has_the_targets_name_is_said_to_be_in_the_way(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.gguf"
    target.mkdir(parents=True)
    with pytest.raises(AppError, match="cannot be written"):
        convert(folder, target)
    assert left_in(target.parent) == ["model.gguf"]


@pytest.mark.parametrize("room", [100, 5_000, 60_000])
def test_a_disk_that_refuses_leaves_nothing(folder: Path, tmp_path: Path, room: int) -> None:
    """A limit on the size of files fails the write in the middle, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(AppError, match="cannot be written"):
            convert(folder, tmp_path / "out" / "model.gguf", outtype="f32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(tmp_path / "out") == []


def test_a_vocabulary_that_the_embedding_does_not_have_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    """Padding a vocabulary to two thousand million tokens would take all memory before anything was said."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 2**31}))
    with pytest.raises(RequestError) as caught:
        convert(folder, tmp_path / "out" / "model.gguf")
    assert "2147483648" in caught.value.detail.english()
    assert not (tmp_path / "out").exists() or left_in(tmp_path / "out") == []


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def quantised(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["SparseMambaForCausalLM"]}))


def no_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}))


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def missing_layer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))


def surplus_layer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))


def missing_shard(folder: Path) -> None:
    write_model(folder, shards=3)
    (folder / "model.safetensors").unlink()
    (folder / "model-00002-of-00003.safetensors").unlink()


def extra_shard(folder: Path) -> None:
    write_model(folder, shards=3)  # the model.safetensors of the fixture is the extra file


def shards_without_index(folder: Path) -> None:
    write_model(folder, shards=2)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").unlink()


def index_names_another_folder(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))


def cut_off(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def eight_bits(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", {"lm_head.weight": ("U8", (2, 2), bytes(4))})


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def unknown_pre_tokenizer(folder: Path) -> None:
    write_tokenizer(
        folder,
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Punctuation", "behavior": "Isolated"},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                ],
            }
        },
    )


def more_tokens_than_rows(folder: Path) -> None:
    write_model(folder, config={"vocab_size": 200})


def unknown_rope(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": {"rope_type": "spiral", "factor": 2.0}}))


def wrong_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": "four"}))


REFUSALS: list[tuple[Callable[[Path], None], str]] = [
    (adapter, "adapter"),
    (quantised, "quantised already .gptq."),
    (pickled, "pickled"),
    (no_weights, "holds no weights"),
    (unknown_architecture, "SparseMambaForCausalLM"),
    (no_architecture, "architecture"),
    (broken_config, "config.json of the model cannot be read"),
    (config_is_a_list, "config.json of the model cannot be read"),
    (missing_layer, "lacks weights"),
    (surplus_layer, "has no place"),
    (missing_shard, "not complete"),
    (extra_shard, "not complete"),
    (shards_without_index, "not complete"),
    (index_names_another_folder, "not complete"),
    (cut_off, "not a usable safetensors file"),
    (eight_bits, "has the type U8"),
    (no_tokenizer, "no tokenizer"),
    (unknown_pre_tokenizer, "not recognised"),
    (more_tokens_than_rows, "more tokens than"),
    (unknown_rope, "spiral"),
    (wrong_width, "num_attention_heads"),
]


@pytest.mark.parametrize(("spoil", "said"), REFUSALS, ids=[spoil.__name__ for spoil, _said in REFUSALS])
def test_what_cannot_be_converted_is_refused_with_a_remedy(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(folder)
    with pytest.raises(RequestError, match=said) as caught:
        convert(folder, tmp_path / "out" / "model.gguf")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_the_ids_of_a_run_must_be_tokens_of_the_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no token <eot>"):
        convert(folder, tmp_path / "a.gguf", eos="<eot>")


def test_a_vocabulary_that_would_abort_the_server_is_not_written(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "bos_token_id": 5000}))
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}))
    with pytest.raises(AppError, match="contradicts itself"):
        convert(folder, tmp_path / "out" / "a.gguf")
    assert left_in(tmp_path / "out") == []


def test_a_tokenizer_whose_ids_are_unknown_is_recognised_by_its_structure(folder: Path, tmp_path: Path) -> None:
    report = convert(folder, tmp_path / "a.gguf")
    assert (report.pre_tokenizer, report.pre_tokenizer_found_by) == ("gpt-2", "structure")
