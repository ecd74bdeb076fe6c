"""Why a training or an export failed, from the end of its log: what, why and what to do. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from data.errors import AppError
from data.files import tail_bytes
from data.i18n import Message, _

# "ValueError: text", "torch.OutOfMemoryError: text", with torchrun's "[rank0]: " in front; not "Error: " of a log line.
_EXCEPTION: Final = re.compile(
    r"^(?:\[rank\d+\]:\s*)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|NotFound|Failed|Refused))"
    r"(?::\s*(.*))?$"
)
_TRACEBACK: Final = re.compile(r"^(?:\[rank\d+\]:\s*)?Traceback \(most recent call last\)")
_DETAIL_CHARACTERS: Final = 600
_LOG_TAIL_BYTES: Final = 64 << 10

Hint = Callable[[re.Match[str]], Message]


def _rule(pattern: str, title: Message, hint: Message | Hint) -> tuple[re.Pattern[str], Message, Message | Hint]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL), title, hint


# Tried in order on "Type: text" of the last exception, then on the whole end of the log.
_RULES: Final = (
    _rule(
        r"CUDA out of memory|OutOfMemoryError|HIP out of memory",
        _("The GPU's memory is not enough"),
        _(
            "Lower per_device_train_batch_size or cutoff_len (and raise gradient_accumulation_steps), use "
            "quantization_bit: 4, or take a GPU with more free memory: paddock gpus"
        ),
    ),
    _rule(
        r"Undefined dataset (\S+) in",
        _("The dataset is not registered"),
        lambda found: _(
            "Add {name} to dataset_info.json in dataset_dir, or correct the name to one that is listed there.",
            name=found[1],
        ),
    ),
    _rule(
        # LLaMA-Factory 0.9.5 data/converter.py reads the columns of the format; none of them has a default.
        r"llamafactory/data/converter\.py\".*?(?P<cause>KeyError: '([^'\n]+)')",
        _("A column of the dataset is missing from its rows"),
        lambda found: _(
            "Map a column that the rows have by `columns` in dataset_info.json, or give every row a column {name}, "
            "empty where there is nothing to say. It is also missing where `formatting` is not that of the rows.",
            name=found[2],
        ),
    ),
    _rule(
        r"Cannot find valid samples|Cannot open .*dataset_info\.json",
        _("The dataset has no rows that can be used"),
        _("Its columns or its formatting do not fit dataset_info.json."),
    ),
    _rule(
        r"Output directory already exists and is not empty",
        _("output_dir holds an earlier model and no checkpoint"),
        _("Give another output_dir, or set overwrite_output_dir: true to replace what is there."),
    ),
    _rule(
        r"gated repo|GatedRepoError|awaiting a review|401 Client Error|Access to model .* is restricted",
        _("The model is behind a licence"),
        _("Accept it on the model's page, set HF_TOKEN in the environment and start again."),
    ),
    _rule(
        r"is not a local folder and is not a valid model identifier|RepositoryNotFoundError",
        _("The model does not exist"),
        _("Correct model_name_or_path: a folder, or owner/name on the hub (a private one needs HF_TOKEN)."),
    ),
    _rule(
        r"couldn't connect to|OfflineModeIsEnabled|LocalEntryNotFoundError|NameResolutionError|Max retries exceeded"
        r"|ConnectTimeout|ConnectionError|Connection refused.*huggingface|ProxyError",
        _("The model hub cannot be reached"),
        _("Check the network and the proxy, name a mirror in HF_ENDPOINT, or give a local folder as the model."),
    ),
    _rule(
        r"No space left on device|os error 28|PytorchStreamWriter failed|Disk quota exceeded",
        _("The disk is full"),
        _("Free some space; save_total_limit keeps fewer checkpoints. Then resume: complete checkpoints are kept."),
    ),
    _rule(
        r"libtorchaudio|libtorchvision|operator torchvision::nms does not exist|undefined symbol.*torch",
        _("The versions of torch, torchaudio and torchvision clash"),
        _("paddock doctor names the versions that fit; paddock setup llamafactory makes an environment with them."),
    ),
    _rule(
        r"Some keys are not used by the HfArgumentParser: (\[.*?\])",
        _("LLaMA-Factory does not know some of the arguments"),
        lambda found: _("Remove or correct: {names}", names=found[1]),
    ),
    _rule(
        r"To fix: run `([^`]+)`",
        _("LLaMA-Factory lacks a package, or has the wrong version of it"),
        lambda found: _("In LLaMA-Factory's environment, run: {command}", command=found[1]),
    ),
    _rule(
        r"No module named '([^']+)'",
        _("LLaMA-Factory's environment lacks a package"),
        lambda found: _("Install it there: pip install {name}", name=found[1].partition(".")[0]),
    ),
    _rule(
        r"size mismatch for|does not match the shape|shapes cannot be multiplied",
        _("The adapter or checkpoint does not belong to this model"),
        _("Use the base model that it was trained on; adapter_config.json beside it names it."),
    ),
    _rule(
        r"Target modules .* not found in the base model",
        _("lora_target names layers that this model does not have"),
        _("Use lora_target: all"),
    ),
    _rule(
        r"Template (\S+) does not exist",
        _("The template does not exist"),
        lambda found: _("{name} is no template of this LLaMA-Factory; see its README for the names.", name=found[1]),
    ),
    _rule(
        r"ArrowInvalid|DatasetGenerationError|JSON parse error|JSONDecodeError",
        _("A file of the dataset cannot be read"),
        _("Each row must be an object with the same keys and the same types in each column."),
    ),
    _rule(
        r"Address already in use|EADDRINUSE",
        _("The port of the ranks is taken"),
        _("Set MASTER_PORT to a free port, or leave it unset, and start again."),
    ),
    _rule(
        r"NCCL error|ncclInternalError|ncclUnhandledCudaError|ProcessGroupNCCL",
        _("The GPUs could not talk to each other"),
        _("Set NCCL_DEBUG=INFO and start again to see why; NCCL_P2P_DISABLE=1 helps on some machines."),
    ),
    _rule(
        r"does not support `?pure_bf16|setup doesn't support bf16|doesn't support bf16/gpu",
        _("This device cannot compute in bf16"),
        _("Use fp16: true instead, or neither of the two."),
    ),
    _rule(
        r"CUDA error: no kernel image|no NVIDIA driver|driver version is insufficient|driver initialization failed",
        _("torch cannot use this GPU"),
        _("The driver and torch's CUDA version do not fit; paddock doctor shows both."),
    ),
    _rule(
        r"Cannot merge adapters to a quantized model",
        _("An adapter cannot be merged into a quantised model"),
        _("Name the model without quantisation in model_name_or_path and remove quantization_bit."),
    ),
)


def new_tail(log: Path, start: int) -> str:
    """Return the end of what was written to ``log`` behind the byte ``start``: an attempt's own last words."""
    size = log.stat().st_size if log.exists() else 0
    wanted = min(_LOG_TAIL_BYTES, max(0, size - start))
    return tail_bytes(log, wanted).decode("utf-8", "replace") if wanted else ""


def explain(log_tail: str, exit_code: int | None = None) -> AppError | None:
    """Return the reason of a failure from the end of its log; None where the log names no exception or known cause.

    ``exit_code`` is 128+N after signal N: SIGKILL means that somebody, often the kernel, killed it.
    """
    raised = exceptions(log_tail)
    exception = raised[-1] if raised else ""
    # The last exception first, then those that led to it, then the text around them.
    for text in (*reversed(raised), _after_traceback(log_tail) if exit_code != 137 else ""):
        for pattern, title, hint in _RULES:
            found = pattern.search(text)
            if found is not None:
                detail = text if text in raised else _line_of(found)
                return AppError(title, _shortened(detail), hint(found) if callable(hint) else hint)
    if exit_code == 137:
        return AppError(
            _("The work was killed"),
            _("SIGKILL, with nothing said before: the usual sign of a machine or container out of memory."),
            _("See dmesg or the container's limit; use a smaller model, batch or preprocessing_num_workers."),
        )
    if exception:
        return AppError(
            _("LLaMA-Factory ended with an error"), _shortened(exception), _("The log shows where it happened.")
        )
    return None


def exceptions(log_tail: str) -> list[str]:
    """Return "Type: text" of the Python exceptions in ``log_tail`` in their order, their further lines joined.

    Left out are torchrun's ChildFailedError and the launcher's CalledProcessError, which only say that a rank failed.
    """
    lines = log_tail.replace("\r", "\n").split("\n")
    found: list[str] = []
    for number, line in enumerate(lines):
        match = _EXCEPTION.match(line)
        if match is None or match[1].endswith(("ChildFailedError", "CalledProcessError")):
            continue
        found.append(match[1] + (f": {match[2]}" if match[2] else "") + _continued(lines[number + 1 : number + 5]))
    return found


def _continued(lines: list[str]) -> str:
    """Return the further lines of a message (indented or plain text up to an empty line, a log line or a traceback)."""
    text = ""
    for line in lines:
        if not line.strip() or line.startswith(("[", "Traceback", "During handling")) or _EXCEPTION.match(line):
            break
        text += " " + line.strip()
    return text


def _after_traceback(log_tail: str) -> str:
    """Return the log from its first traceback on: ordinary lines before it must not be taken for the cause."""
    lines = log_tail.replace("\r", "\n").split("\n")
    for number, line in enumerate(lines):
        if _TRACEBACK.match(line):
            return "\n".join(lines[number:])
    return "\n".join(lines[-15:])


def _line_of(found: re.Match[str]) -> str:
    """Return the line in which ``found`` begins: the cause, where the last exception says only that it failed."""
    begin = found.start("cause" if "cause" in found.re.groupindex else 0)
    start = found.string.rfind("\n", 0, begin) + 1
    end = found.string.find("\n", begin)
    return found.string[start : end if end >= 0 else None].strip()


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _DETAIL_CHARACTERS else text[: _DETAIL_CHARACTERS - 1] + "…"
