"""Follow an export: bytes of the weights that are written, then the rename to the final name. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from backend.jobs.work import Event, failed_event
from backend.train import failure, record
from backend.train.tail import Tail
from data.errors import AppError
from data.i18n import Message, _
from data.jobs.report import size_bytes

_LABELS: Final[Mapping[str, Message]] = {
    "importing": _("Starting LLaMA-Factory"),
    "loading": _("Loading the model"),
    "merging": _("Preparing the weights"),
    "quantising": _("Quantising the weights"),
    "packing": _("Packing the quantised weights"),
    "saving": _("Writing the model"),
}
_MARKERS: Final = (
    (b"Loading weights: 100%", "merging"),  # the merge itself says nothing before it is done
    (b"Merged ", "merging"),
    (b"loading weights file", "loading"),
    (b"Loading weights:", "loading"),
    (b"Loading checkpoint shards", "loading"),
    (b"Convert model dtype to", "saving"),
    (b"Packing model", "packing"),
)
_BLOCKS: Final = re.compile(rb"Quantizing \S+ blocks\s*:[^|]*\|[^|]*\|\s*(\d+)/(\d+) ")
"""The bar of GPTQ (optimum 2.2, gptq/quantizer.py quantize_model)"""
_WEIGHTS: Final = (".safetensors", ".bin")


class ExportFollower:
    """Turns the growing folder of an export into events, and gives it its final name when it is complete.

    ``run`` is the training whose weights these are: its record goes into the folder, too, with what decides in
    ``args``.
    """

    def __init__(
        self,
        *,
        partial: Path,
        target: Path,
        base: Path,
        log: Path,
        log_offset: int = 0,
        run: Path | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        self._partial = partial
        self._run = run
        self._args = args or {}
        self._target = target
        self._log = Tail(log, log_offset, returns=True)
        self._log_start = log_offset
        # How large a quantised model will be is not known before the end.
        self._total = 0 if self._args.get("export_quantization_bit") else weight_bytes(base)
        self._stage = ""
        self._written = -1

    def poll(self) -> list[Event]:
        """Return the events for what is new."""
        events: list[Event] = []
        if not self._stage:
            self._enter("importing", events)
        self._read_log(self._log.lines(), events)
        written = weight_bytes(self._partial)
        if written and written != self._written:
            self._enter("saving", events)
            self._written = written
            # A base in float32 is written in bfloat16: then the sum is not known before the end.
            total = self._total if written <= self._total else None
            events.append({"kind": "progress", "done": written, "total": total, "unit": "bytes"})
        return events

    def finish(self, exit_code: int | None) -> list[Event]:
        """Give a complete export its name; of a failed one return the reason and remove what it wrote."""
        events: list[Event] = []
        self._read_log(self._log.drain(), events)
        error = (
            self._complete()
            if exit_code == 0
            else failure.explain(failure.new_tail(self._log.path, self._log_start), exit_code)
        )
        if error is None and exit_code == 0:
            written = weight_bytes(self._target)
            size = size_bytes(self._target)
            events.append({"kind": "progress", "done": written, "total": written, "unit": "bytes"})
            events.append({"kind": "artifact", "path": str(self._target), "what": "model", "bytes": size})
            events.append({"kind": "result", "values": {"export_dir": str(self._target), "bytes": size}})
            return events
        if exit_code != 0:  # a complete model that only lacks its name is kept
            shutil.rmtree(self._partial, ignore_errors=True)
        if error is not None:
            events.append(failed_event(error))
        return events

    def mark(self) -> Mapping[str, object]:
        """Return what an adopting supervisor needs to go on."""
        return {"log": self._log.offset, "stage": self._stage, "written": self._written}

    def restore(self, mark: Mapping[str, object]) -> None:
        """Go on from ``mark``; values of a wrong form are passed over."""
        offset, stage, written = mark.get("log"), mark.get("stage"), mark.get("written")
        self._log.offset = offset if isinstance(offset, int) else self._log.offset
        self._stage = stage if isinstance(stage, str) and stage in _LABELS else ""
        self._written = written if isinstance(written, int) else -1

    def _complete(self) -> AppError | None:
        """Rename the folder; return what keeps it from being a model."""
        if not self._partial.is_dir() and weight_bytes(self._target):
            return None  # an earlier supervisor came this far
        if not weight_bytes(self._partial) or not (self._partial / "config.json").is_file():
            return AppError(
                _("The export wrote no model"),
                _("There are no weights and config.json in its folder."),
                _("The log shows what LLaMA-Factory did instead."),
            )
        try:
            if self._run is not None:
                record.copy_record(self._run, self._partial, record.merge_of(self._args))
            with contextlib.suppress(FileNotFoundError):
                self._target.rmdir()  # an empty folder may be there; a full one stays and makes the rename fail
            self._partial.rename(self._target)
        except OSError as error:
            return AppError(
                _("The export cannot get its name"),
                f"{self._target}: {error.strerror}",
                _("The complete model is in {folder}; move it by hand or resume the job.", folder=self._partial),
            )
        return None

    def _read_log(self, lines: Iterable[bytes], events: list[Event]) -> None:
        for line in lines:
            if blocks := _BLOCKS.match(line):
                self._enter("quantising", events)
                done, total = map(int, blocks.groups())
                events.append({"kind": "progress", "done": done, "total": total, "unit": "blocks"})
            for marker, stage in _MARKERS:
                if marker in line:
                    self._enter(stage, events)
                    break

    def _enter(self, stage: str, events: list[Event]) -> None:
        if stage != self._stage:
            self._stage = stage
            events.append({"kind": "stage", "stage": stage, "label": _LABELS[stage].as_json()})


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the weight files directly in ``folder``; 0 where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name.endswith(_WEIGHTS))
    except OSError:
        return 0
