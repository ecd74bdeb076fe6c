"""The rules of LLaMA-Factory's own parser (hparams/parser.py of 0.9.5) that need no torch to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from backend.lf.checks import Check
from data.i18n import Message, _

Args = Mapping[str, object]
_Rule = tuple[str, Callable[[Args], bool], Message, Message]


def _on(args: Args, *names: str) -> bool:
    return any(bool(args.get(name)) for name in names)


def _stage(args: Args) -> str:
    return str(args.get("stage") or "sft")


def _method(args: Args) -> str:
    return str(args.get("finetuning_type") or "lora")


def _number(args: Args, name: str, default: float) -> float:
    value = args.get(name, default)
    return value if isinstance(value, (int, float)) else default


_REMOVE: Final = _("Remove one of the two.")

_MODEL_RULES: Final[tuple[_Rule, ...]] = (
    (
        "rule.adapter",
        lambda a: _on(a, "adapter_name_or_path") and _method(a) != "lora",
        _("adapter_name_or_path goes with finetuning_type lora only"),
        _("Set finetuning_type: lora, or name the trained model in model_name_or_path."),
    ),
    (
        "rule.quantization",
        lambda a: a.get("quantization_bit") is not None and _method(a) not in ("lora", "oft"),
        _("A quantised model can be trained with lora or oft only"),
        _("Set finetuning_type: lora, or remove quantization_bit."),
    ),
    (
        "rule.pissa",
        lambda a: a.get("quantization_bit") is not None and _on(a, "pissa_init"),
        _("pissa_init does not work on a quantised model"),
        _REMOVE,
    ),
    (
        "rule.resize_vocab",
        lambda a: a.get("quantization_bit") is not None and _on(a, "resize_vocab"),
        _("resize_vocab does not work on a quantised model"),
        _REMOVE,
    ),
    (
        "rule.new_adapter",
        lambda a: (
            a.get("quantization_bit") is not None and _on(a, "adapter_name_or_path") and _on(a, "create_new_adapter")
        ),
        _("A quantised model cannot get a new adapter on top of another"),
        _("Merge the first adapter, or remove quantization_bit."),
    ),
    (
        "rule.adapters",
        lambda a: a.get("quantization_bit") is not None and "," in str(a.get("adapter_name_or_path") or ""),
        _("A quantised model takes one adapter only"),
        _("Merge the adapters first."),
    ),
)

_TRAIN_RULES: Final[tuple[_Rule, ...]] = (
    (
        "rule.nothing",
        lambda a: not _on(a, "do_train", "do_eval", "do_predict"),
        _("The arguments ask for nothing: neither do_train nor do_eval nor do_predict is set"),
        _("Add do_train: true"),
    ),
    (
        "rule.dataset",
        lambda a: _on(a, "do_train") and not _on(a, "dataset", "tokenized_path"),
        _("No dataset is named"),
        _("Set dataset to a name from dataset_info.json."),
    ),
    (
        "rule.eval_dataset",
        lambda a: (
            _on(a, "do_eval", "do_predict", "predict_with_generate")
            and not _on(a, "eval_dataset")
            and _number(a, "val_size", 0.0) < 1e-6
        ),
        _("An evaluation needs rows: neither eval_dataset nor val_size is set"),
        _("Set val_size: 0.1, or eval_dataset to a name from dataset_info.json."),
    ),
    (
        "rule.two_eval_datasets",
        lambda a: _on(a, "eval_dataset") and _number(a, "val_size", 0.0) > 1e-6,
        _("eval_dataset and val_size exclude each other"),
        _REMOVE,
    ),
    (
        "rule.predict_with_generate",
        lambda a: _stage(a) != "sft" and _on(a, "predict_with_generate"),
        _("predict_with_generate goes with stage sft only"),
        _REMOVE,
    ),
    (
        "rule.neat_packing",
        lambda a: _stage(a) != "sft" and _on(a, "neat_packing"),
        _("neat_packing goes with stage sft only"),
        _REMOVE,
    ),
    (
        "rule.masks",
        lambda a: _stage(a) != "sft" and _on(a, "train_on_prompt", "mask_history"),
        _("train_on_prompt and mask_history go with stage sft only"),
        _REMOVE,
    ),
    (
        "rule.both_masks",
        lambda a: _on(a, "train_on_prompt") and _on(a, "mask_history"),
        _("train_on_prompt and mask_history exclude each other"),
        _REMOVE,
    ),
    (
        "rule.do_predict",
        lambda a: _stage(a) == "sft" and _on(a, "do_predict") and not _on(a, "predict_with_generate"),
        _("do_predict saves predictions only with predict_with_generate"),
        _("Add predict_with_generate: true"),
    ),
    (
        "rule.best_model",
        lambda a: _stage(a) in ("rm", "ppo") and _on(a, "load_best_model_at_end"),
        _("The stages rm and ppo cannot load the best model at the end"),
        _("Remove load_best_model_at_end."),
    ),
    (
        "rule.ppo_train",
        lambda a: _stage(a) == "ppo" and not _on(a, "do_train"),
        _("The stage ppo can only train"),
        _("Use stage sft to evaluate a model."),
    ),
    (
        "rule.reward_model",
        lambda a: _stage(a) == "ppo" and not _on(a, "reward_model"),
        _("The stage ppo needs a reward model"),
        _("Set reward_model."),
    ),
    (
        "rule.streaming",
        lambda a: _on(a, "streaming") and _number(a, "max_steps", -1) <= 0,
        _("streaming needs max_steps: the number of rows is not known"),
        _("Set max_steps, or remove streaming."),
    ),
    (
        "rule.streaming_val",
        lambda a: _on(a, "streaming") and 1e-6 < _number(a, "val_size", 0.0) < 1,
        _("With streaming, val_size is a number of rows"),
        _("Set val_size to a whole number."),
    ),
    (
        "rule.streaming_samples",
        lambda a: _on(a, "streaming") and a.get("max_samples") is not None,
        _("max_samples does not work with streaming"),
        _REMOVE,
    ),
    (
        "rule.val_size",
        lambda a: not _on(a, "dataset") and _number(a, "val_size", 0.0) > 1e-6,
        _("val_size takes rows from dataset, and no dataset is named"),
        _("Set dataset, or remove val_size."),
    ),
    (
        "rule.accuracy",
        lambda a: _on(a, "predict_with_generate") and _on(a, "compute_accuracy"),
        _("predict_with_generate and compute_accuracy exclude each other"),
        _REMOVE,
    ),
    (
        "rule.galore_deepspeed",
        lambda a: _on(a, "deepspeed") and _on(a, "use_galore", "use_apollo"),
        _("GaLore and APOLLO do not work with DeepSpeed"),
        _REMOVE,
    ),
    (
        "rule.fp8",
        lambda a: _on(a, "fp8") and a.get("quantization_bit") is not None,
        _("fp8 does not work on a quantised model"),
        _REMOVE,
    ),
    (
        "rule.infer_backend",
        lambda a: str(a.get("infer_backend") or "huggingface") != "huggingface",
        _("infer_backend is for chat and API servers, not for training"),
        _("Remove infer_backend."),
    ),
    (
        "rule.device_map",
        lambda a: _on(a, "do_train") and a.get("quantization_device_map") == "auto",
        _("quantization_device_map: auto does not work in training"),
        _("Remove it."),
    ),
    (
        "rule.bf16_fp16",
        lambda a: _on(a, "bf16") and _on(a, "fp16"),
        _("bf16 and fp16 exclude each other"),
        _REMOVE,
    ),
)


def train_rules(args: Args, *, torchrun: bool) -> list[Check]:
    """Return an error for each rule of the parser that a training with ``args`` breaks."""
    found = _broken((*_MODEL_RULES, *_TRAIN_RULES), args)
    if args.get("deepspeed") and not torchrun:
        found.append(
            Check(
                "rule.deepspeed",
                "error",
                _("DeepSpeed needs torchrun, and with one GPU LLaMA-Factory does not start it"),
                _("Set FORCE_TORCHRUN=1 in the environment, use several GPUs, or remove deepspeed."),
            )
        )
    if torchrun and args.get("use_badam") and args.get("badam_mode") == "ratio":
        found.append(
            Check(
                "rule.badam",
                "error",
                _("BAdam with badam_mode ratio does not work on several GPUs"),
                _("Set badam_mode: layer with DeepSpeed ZeRO-3, or use one GPU."),
            )
        )
    layerwise = [name for name in ("galore_layerwise", "apollo_layerwise") if args.get(name)]
    if torchrun and layerwise:
        found.append(
            Check(
                "rule.layerwise",
                "error",
                _("{name} does not work on several GPUs", name=layerwise[0]),
                _("Remove it, or use one GPU."),
            )
        )
    return found


def export_rules(args: Args) -> list[Check]:
    """Return an error for each rule that an export with ``args`` breaks (train/tuner.py, export_model)."""
    found = _broken(_MODEL_RULES[:1], args)
    if not args.get("export_dir"):
        found.append(Check("export_dir.missing", "error", _("No folder is named for the export"), _("Set export_dir.")))
    if args.get("adapter_name_or_path") and args.get("export_quantization_bit"):
        found.append(
            Check(
                "rule.export_quantization",
                "error",
                _("An adapter has to be merged before the model is quantised"),
                _("Export twice: first without export_quantization_bit, then the merged model."),
            )
        )
    if args.get("adapter_name_or_path") and args.get("quantization_bit"):
        found.append(
            Check(
                "rule.export_quantized",
                "error",
                _("An adapter cannot be merged into a quantised model"),
                _("Remove quantization_bit; the adapter fits the model without quantisation."),
            )
        )
    size = args.get("export_size")
    if isinstance(size, int) and not isinstance(size, bool) and size < 1:
        # transformers 5.6: `max_shard_size` "0GB", and one below, is no error; each tensor is above it.
        found.append(
            Check(
                "export_size.none",
                "warning",
                _("export_size {size} writes every tensor into a file of its own", size=size),
                _("Give the gigabytes of a file, as 5; leave it out for LLaMA-Factory's own 5."),
            )
        )
    if args.get("export_legacy_format"):
        found.append(
            Check(
                "export.legacy",
                "error",
                _("export_legacy_format writes pickle files, which run code when they are loaded"),
                _("Remove it; everything that follows reads safetensors, and transformers 5 writes nothing else."),
            )
        )
    return found


def _broken(rules: Iterable[_Rule], args: Args) -> list[Check]:
    return [Check(id_, "error", message, remedy) for id_, breaks, message, remedy in rules if breaks(args)]
