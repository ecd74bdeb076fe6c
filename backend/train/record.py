"""What a run leaves beside its weights: the arguments in LLaMA Board's form, and the facts that later steps must reuse.

Template, thinking flag and default system are properties of the run: changed halfway, the model degrades.
Standard library only, since it runs in the supervisor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.lf import yamlform
from backend.lf.lists import names_in
from backend.lf.peft import ADAPTER_WEIGHTS
from data.files import write_atomic
from data.jobs.spec import JobSpec, now, rfc3339
from data.jsontext import parse_json

ARGUMENTS_FILE: Final = "training_args.yaml"
RECORD_FILE: Final = "paddock.json"
VERSION: Final = 1

# LLaMA Board (webui/common.py, _clean_cmd) leaves out None, False and "" but for these.
_KEPT_WHEN_EMPTY: Final = frozenset(
    {
        "packing",
        "enable_thinking",
        "use_reentrant_gc",
        "double_quantization",
        "freeze_vision_tower",
        "freeze_multi_modal_projector",
    }
)
# What LLaMA-Factory takes when the key is left out (hparams/data_args.py of 0.9.5).
_DEFAULTS: Final[Mapping[str, object]] = {
    "template": None,
    "enable_thinking": True,
    "preserve_thinking": False,
    "default_system": None,
    "tool_format": None,
    "cutoff_len": 2048,
    "train_on_prompt": False,
    "mask_history": False,
    "stage": "sft",
    "finetuning_type": "lora",
    "dataset": None,
    "dataset_dir": "data",
}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run decided about its prompts; None and empty where nobody recorded it."""

    template: str | None = None
    enable_thinking: bool | None = None
    default_system: str | None = None
    cutoff_len: int | None = None
    tool_format: str | None = None
    origin: str = ""
    """The file that says so; empty where none does"""
    preserve_thinking: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """What a run was trained on, as its record names it."""

    names: tuple[str, ...]
    folder: str
    """``dataset_dir``; where relative, it counts from the workspace of ``job``"""
    job: str = ""
    """The training; empty where another program ran it"""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The facts of a training run that evaluation, chat, export and the Modelfile take over."""

    job: str
    model: str
    template: str | None
    enable_thinking: bool | None
    default_system: str | None
    cutoff_len: int
    values: Mapping[str, object]
    """The whole of paddock.json"""


def write_record(output_dir: Path, spec: JobSpec, args: Mapping[str, object]) -> None:
    """Write ``training_args.yaml`` and ``paddock.json`` into ``output_dir``."""
    write_atomic(output_dir / ARGUMENTS_FILE, yamlform.dump(board_form(args), sort_keys=True))
    record: dict[str, object] = {
        "version": VERSION,
        "job": spec.id,
        "started_at": rfc3339(now()),
        "model": args.get("model_name_or_path"),
        "adapters": args.get("adapter_name_or_path"),
        **{name: args.get(name, default) for name, default in _DEFAULTS.items()},
        "versions": spec.params.get("versions", {}),
    }
    write_atomic(output_dir / RECORD_FILE, json.dumps(record, ensure_ascii=False, indent=2) + "\n")


def merge_of(args: Mapping[str, object]) -> dict[str, object]:
    """Return what decides the model that an export with ``args`` (normalised) writes: base, adapters, type, template.

    Adapters by size and time as well: a training that goes on writes others into the same folder. The template gives
    the tokenizer its tokens.
    """
    return {
        "model": str(args.get("model_name_or_path") or ""),
        "adapters": [
            [folder, *_state_of(Path(folder) / ADAPTER_WEIGHTS)]
            for folder in names_in(args.get("adapter_name_or_path"))
        ],
        "infer_dtype": str(args.get("infer_dtype") or "auto"),
        "template": str(args.get("template") or ""),
    }


def _state_of(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def copy_record(source: Path, target: Path, merge: Mapping[str, object] | None = None) -> None:
    """Put the record of the run in ``source`` (an output_dir or a checkpoint) beside the weights made of it.

    So that whoever meets the merged model later still knows the template it was trained with; ``merge``
    (``merge_of``) tells whether it is the one that another export would make. Does nothing where
    there is no record; raises OSError.
    """
    record = read_record(source)
    if record is not None:
        values = {**record.values, "exported_from": str(source), **({"merge": dict(merge)} if merge else {})}
        write_atomic(target / RECORD_FILE, json.dumps(values, ensure_ascii=False, indent=2) + "\n")


def _places(folder: Path) -> tuple[Path, ...]:
    """Return where a record of ``folder`` may lie, the nearest first: that of a checkpoint lies in the output_dir."""
    return (folder, folder.parent) if folder.name.startswith("checkpoint-") else (folder,)


def read_record(output_dir: Path) -> RunRecord | None:
    """Read ``paddock.json`` of a training's output_dir (or of a checkpoint in it); None where there is no good one."""
    for folder in _places(output_dir):
        try:
            raw: object = parse_json((folder / RECORD_FILE).read_bytes())
        except (OSError, ValueError):
            continue
        return _parse(raw)
    return None


def read_facts(folder: Path) -> RunFacts:
    """Read what a run decided: Paddock's record, else the arguments as LLaMA Board saves them.

    ``folder`` is an output_dir, a checkpoint in it, or a model that was exported from it with its record.
    """
    for place in _places(folder):
        record = read_record(place)
        if record is not None:
            return _facts(record, (place if (place / RECORD_FILE).is_file() else place.parent) / RECORD_FILE)
        found = _read_arguments(place / ARGUMENTS_FILE)
        if found is not None:
            return found
    return RunFacts()


def read_data(folder: Path) -> Data | None:
    """Read what a run was trained on, from where ``read_facts`` reads; None where nobody recorded it."""
    for place in _places(folder):
        record = read_record(place)
        args = record.values if record is not None else _arguments(place / ARGUMENTS_FILE)
        if args is None:
            continue
        said, where = args.get("dataset"), args.get("dataset_dir") or _DEFAULTS["dataset_dir"]
        names = tuple(names_in(said))
        return Data(names, str(where), record.job if record is not None else "") if names else None
    return None


def facts_in(value: object, origin: Path) -> RunFacts:
    """Return the facts of a record that was copied into ``origin``; empty where ``value`` is no good record."""
    record = _parse(value)
    return RunFacts() if record is None else _facts(record, origin)


def _facts(record: RunRecord, origin: Path) -> RunFacts:
    tool_format = record.values.get("tool_format")
    return RunFacts(
        record.template,
        record.enable_thinking,
        record.default_system,
        record.cutoff_len,
        tool_format if isinstance(tool_format, str) else None,
        str(origin),
        record.values.get("preserve_thinking") is True,
    )


def _read_arguments(file: Path) -> RunFacts | None:
    args = _arguments(file)
    if args is None:
        return None
    template, thinking = args.get("template"), args.get("enable_thinking", _DEFAULTS["enable_thinking"])
    system, cutoff_len = args.get("default_system"), args.get("cutoff_len", _DEFAULTS["cutoff_len"])
    tool_format = args.get("tool_format")
    return RunFacts(
        template if isinstance(template, str) else None,
        thinking if isinstance(thinking, bool) else None,
        system if isinstance(system, str) else None,
        cutoff_len if isinstance(cutoff_len, int) else None,
        tool_format if isinstance(tool_format, str) else None,
        str(file),
        args.get("preserve_thinking") is True,
    )


def _arguments(file: Path) -> dict[str, object] | None:
    try:
        value = yamlform.load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def board_form(args: Mapping[str, object]) -> dict[str, object]:
    """Return ``args`` as LLaMA Board saves them: without what is empty, but for the flags that count when false."""
    return {
        name: value
        for name, value in args.items()
        if name in _KEPT_WHEN_EMPTY or (value is not None and value is not False and value != "")
    }


def _parse(raw: object) -> RunRecord | None:
    if not isinstance(raw, dict):
        return None
    value = cast("dict[str, object]", raw)
    template, system, thinking = (value.get(name) for name in ("template", "default_system", "enable_thinking"))
    cutoff_len = value.get("cutoff_len")
    if value.get("version") != VERSION or not isinstance(value.get("job"), str):
        return None
    return RunRecord(
        job=str(value["job"]),
        model=str(value.get("model") or ""),
        template=template if isinstance(template, str) else None,
        enable_thinking=thinking if isinstance(thinking, bool) else None,
        default_system=system if isinstance(system, str) else None,
        cutoff_len=cutoff_len if isinstance(cutoff_len, int) else 2048,
        values=value,
    )
