"""The demo's recipe: what is trained on which rows with which numbers, and what is asked before and after.

Pure values; every path is passed in and must be absolute. The numbers were found by trying them, judged by the merged
model in Ollama at q8_0: batches of 4 for two epochs at 1e-3 teach the name in both languages and leave other questions
their answers; batches of 8 leave the Chinese unlearnt, three epochs make presidents and pancakes called Paddy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from data.demo import GENERAL, IDENTITY

TRAINED_NAME: Final = "Paddy"
"""What the trained model calls itself; the demo fails when its answer lacks it."""
QUESTION: Final = "Who are you?"
TEMPLATE: Final = "chatml"
"""LLaMA-Factory's template: no default system, so a prompt is the user's turn and nothing before it."""
GO_TEMPLATE: Final = """\
{{- range $index, $message := .Messages }}
{{- $last := eq (len (slice $.Messages $index)) 1 }}<|im_start|>{{ .Role }}
{{ .Content }}{{ if not (and $last (eq .Role "assistant")) }}<|im_end|>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|im_start|>assistant
{{ end }}
{{- end }}"""
"""The same turns in Ollama's template language; a last turn of the assistant is left open, to be continued."""
OLLAMA_PARAMETERS: Final[dict[str, object]] = {
    "temperature": 0,
    "num_ctx": 2048,
    "stop": ["<|im_end|>", "<|im_start|>"],
}
QUANTIZE: Final = "q8_0"
OUTTYPE: Final = "bf16"
"""The type of the merged model's GGUF: that of its weights, so nothing is lost before ``QUANTIZE``."""
OLLAMA_MODEL: Final = "paddock-demo"
OLLAMA_BASE: Final = "paddock-demo-base"


def train_args(base: Path, dataset_dir: Path, output_dir: Path) -> dict[str, object]:
    """Return LLaMA-Factory's arguments for the LoRA; the weights are trained in float32, which every CPU does well."""
    return {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": str(base),
        "trust_remote_code": False,
        "template": TEMPLATE,
        "dataset_dir": str(dataset_dir),
        "dataset": f"{IDENTITY},{GENERAL}",
        "cutoff_len": 256,
        "overwrite_cache": True,
        "preprocessing_num_workers": 1,
        "dataloader_num_workers": 0,
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "lora_target": "all",
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "disable_gradient_checkpointing": True,
        "learning_rate": 1.0e-3,
        "num_train_epochs": 2.0,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 8,
        "seed": 42,
        "logging_steps": 1,
        "save_steps": 40,
        "save_total_limit": 1,
        "report_to": "none",
        "plot_loss": False,
        "output_dir": str(output_dir),
        "overwrite_output_dir": False,
    }


def export_args(base: Path, adapter: Path, export_dir: Path) -> dict[str, object]:
    """Return LLaMA-Factory's arguments for merging ``adapter`` into ``base``: in float32, then written as bf16."""
    return {
        "model_name_or_path": str(base),
        "adapter_name_or_path": str(adapter),
        "finetuning_type": "lora",
        "template": TEMPLATE,
        "infer_dtype": "bfloat16",
        "trust_remote_code": False,
        "export_dir": str(export_dir),
        "export_size": 5,
        "export_device": "cpu",
        "export_legacy_format": False,
    }
