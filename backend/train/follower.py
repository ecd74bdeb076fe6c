"""Follow a training: trainer_log.jsonl and the log become stages, progress, metrics and, at the end, artefacts.

Runs in the supervisor four times a second: standard library only, and only new bytes are read.
"""

from __future__ import annotations

import ast
import math
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, cast

from backend.jobs.work import Event, failed_event
from backend.train import checkpoint, failure
from backend.train.tail import Tail
from data.i18n import Message, _
from data.jobs.report import size_bytes
from data.jsontext import parse_json

_LABELS: Final[Mapping[str, Message]] = {
    "importing": _("Starting LLaMA-Factory"),
    "tokenizing": _("Preparing the dataset"),
    "loading": _("Loading the model"),
    "training": _("Training"),
    "evaluating": _("Evaluating"),
    "predicting": _("Predicting"),
    "saving": _("Saving"),
}
# The first marker of a line that is found decides. Texts of LLaMA-Factory 0.9.x and transformers 4.55 to 5.6.
_MARKERS: Final = (
    (b"***** Running training *****", "training"),
    (b"***** Running Evaluation *****", "evaluating"),
    (b"***** Running Prediction *****", "predicting"),
    (b"***** Running Generation *****", "predicting"),
    (b"Saving model checkpoint to", "saving"),
    (b"Starting JIT checkpointing", "saving"),
    (b">> Loading dataset ", "tokenizing"),
    (b"Running tokenizer on dataset", "tokenizing"),
    (b"loading weights file", "loading"),
    (b"Loading checkpoint shards", "loading"),
    (b"Loading weights:", "loading"),
)
_TOTAL: Final = re.compile(rb"Total optimization steps = ([\d,]+)")
_BAR: Final = re.compile(rb"\| (\d+)/(\d+) \[")
_NAMES: Final[Mapping[str, str]] = {"current_steps": "step", "lr": "learning_rate", "total_tokens": "tokens"}
# Not measured values, or wrong after a resume (elapsed, remaining, throughput): readers reckon from the times.
_LEFT_OUT: Final = frozenset({"total_steps", "percentage", "elapsed_time", "remaining_time", "throughput"})
_STEPS_UNIT: Final = "steps"
_SIZE_INTERVAL_S: Final = 1.0
_ROWS_BYTES: Final = 128 << 10  # about a thousand rows a poll; in memory each is ten times its length


class TrainFollower:
    """Turns what LLaMA-Factory writes into events, for one attempt of one training."""

    def __init__(self, output_dir: Path, log: Path, *, trainer_log_offset: int = 0, log_offset: int = 0) -> None:
        self._output_dir = output_dir
        self._trainer_log = Tail(output_dir / checkpoint.TRAINER_LOG, trainer_log_offset, limit_bytes=_ROWS_BYTES)
        self._log = Tail(log, log_offset, returns=True)
        self._log_start = log_offset
        self._stage = ""
        self._total = 0
        self._done = -1
        self._bar = 0
        self._printed: deque[dict[str, float]] = deque(maxlen=64)
        self._first_loss: float | None = None
        self._last_loss: float | None = None
        self._last_eval_loss: float | None = None
        self._saved_bytes = 0
        self._look_at = 0.0
        self._started_at = time.time()

    def poll(self) -> list[Event]:
        """Return the events for what is new."""
        events: list[Event] = []
        if not self._stage:
            self._enter("importing", events)
        # The log second: the line with grad_norm is printed a moment after the one in trainer_log.jsonl.
        rows = self._rows(self._trainer_log.lines())
        self._read_log(self._log.lines(), events)
        self._read_rows(rows, events)
        self._watch_saving(events)
        return events

    def finish(self, exit_code: int | None) -> list[Event]:
        """Return what is left, the artefacts, the result, and ``failed`` with the reason when it did fail."""
        events: list[Event] = []
        rows = self._rows(self._trainer_log.drain())
        self._read_log(self._log.drain(), events)
        self._read_rows(rows, events)
        events += self._artifacts()
        events.append({"kind": "result", "values": self._result(exit_code)})
        if exit_code:
            error = failure.explain(failure.new_tail(self._log.path, self._log_start), exit_code)
            if error is not None:
                events.append(failed_event(error))
        return events

    def mark(self) -> Mapping[str, object]:
        """Return what an adopting supervisor needs to go on."""
        return {
            "trainer_log": self._trainer_log.offset,
            "log": self._log.offset,
            "stage": self._stage,
            "total": self._total,
            "done": self._done,
            "first_loss": self._first_loss,
            "last_loss": self._last_loss,
            "last_eval_loss": self._last_eval_loss,
            "started_at": self._started_at,
        }

    def restore(self, mark: Mapping[str, object]) -> None:
        """Go on from ``mark``; values of a wrong form are passed over."""
        self._trainer_log.offset = _whole(mark.get("trainer_log"), self._trainer_log.offset)
        self._log.offset = _whole(mark.get("log"), self._log.offset)
        stage = mark.get("stage")
        self._stage = stage if isinstance(stage, str) else ""
        self._total = _whole(mark.get("total"), 0)
        self._done = _whole(mark.get("done"), -1)
        self._bar = max(self._done, 0)
        self._first_loss = _number(mark.get("first_loss"))
        self._last_loss = _number(mark.get("last_loss"))
        self._last_eval_loss = _number(mark.get("last_eval_loss"))
        self._started_at = _number(mark.get("started_at")) or self._started_at

    # The log: stages, the number of steps, what is printed beside the loss

    def _read_log(self, lines: Iterable[bytes], events: list[Event]) -> None:
        before = self._bar
        for line in lines:
            for marker, stage in _MARKERS:
                if marker in line:
                    self._enter(stage, events)
                    break
            if b"{'" in line:
                self._read_printed(line, events)
            found = _BAR.search(line)
            if found is not None:
                self._read_bar(int(found[1]), int(found[2]), events)
            elif b"Total optimization steps" in line and (total := _TOTAL.search(line)):
                self._total = int(total[1].replace(b",", b""))
        if self._bar > max(before, self._done):
            self._progress(self._bar, events)

    def _read_bar(self, done: int, total: int, events: list[Event]) -> None:
        """Take the step from the progress bar, between two logged ones; bars of other things have another total."""
        if total == self._total and done > self._bar:
            self._bar = done
            self._enter("training", events)

    def _read_printed(self, line: bytes, events: list[Event]) -> None:
        """Keep the numbers of a line like ``{'loss': '5.653', 'grad_norm': '0.4039'}`` (text since transformers 5)."""
        start, end = line.find(b"{'"), line.rfind(b"}") + 1
        if end <= start or len(line) > 4096 or b"'epoch'" not in line:
            return
        try:
            raw: object = ast.literal_eval(line[start:end].decode("utf-8", "replace"))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return
        if not isinstance(raw, dict):
            return
        values = {str(k): n for k, v in cast("dict[object, object]", raw).items() if (n := _number(v)) is not None}
        if "grad_norm" in values or "eval_runtime" in values:  # else it is LLaMA-Factory's own, shorter line
            self._printed.append(values)
            if "loss" in values and self._stage in ("evaluating", "saving"):
                self._enter("training", events)

    # The trainer log gives progress and metrics

    @staticmethod
    def _rows(lines: Iterable[bytes]) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for line in lines:
            start = line.rfind(b'{"current_steps"')  # a line that was torn by a kill stands in front of the next one
            try:
                value: object = parse_json(line[max(0, start) :])
            except ValueError:
                continue
            if isinstance(value, dict):
                rows.append(cast("dict[str, object]", value))
        return rows

    def _read_rows(self, rows: Iterable[dict[str, object]], events: list[Event]) -> None:
        step = -1
        for row in rows:
            step = _whole(row.get("current_steps"), -1)
            self._total = _whole(row.get("total_steps"), 0) or self._total
            values = {
                _NAMES.get(name, name): number
                for name, value in row.items()
                if name not in _LEFT_OUT and (number := _number(value)) is not None
            }
            if len(values.keys() - {"step", "epoch", "tokens"}) == 0 and "loss" not in row:
                continue  # the closing line of a training, or a step of an evaluation: progress only
            values |= {k: v for k, v in self._printed_beside(values).items() if k not in values}
            values["step"] = step
            broken = [_NAMES.get(name, name) for name, value in row.items() if _is_not_finite(value)]
            self._first_loss = self._first_loss if self._first_loss is not None else values.get("loss")
            self._last_loss = values.get("loss", self._last_loss)
            self._last_eval_loss = values.get("eval_loss", self._last_eval_loss)
            event: Event = {"kind": "metric", **values}
            if broken:
                event["not_finite"] = broken
            events.append(event)
        if step > self._done:
            self._progress(step, events)

    def _printed_beside(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the further numbers printed for the step of ``values`` and forget those of earlier steps."""
        for position, printed in enumerate(self._printed):
            if all(
                _close(values[name], printed[name])
                for name in ("loss", "eval_loss", "epoch")
                if name in values and name in printed
            ) and ("loss" in values) == ("loss" in printed):
                for _earlier in range(position + 1):
                    self._printed.popleft()
                return {k: v for k, v in printed.items() if not k.startswith("eval_") or k == "eval_loss"}
        return {}

    # Saving can take minutes without a word: its growing files are the sign of life that a stop waits for.

    def _watch_saving(self, events: list[Event]) -> None:
        moment = time.monotonic()
        if self._stage != "saving" or moment < self._look_at:
            return
        self._look_at = moment + _SIZE_INTERVAL_S
        found = self._newest_checkpoint()
        written = size_bytes(found) if found else 0
        if written != self._saved_bytes:
            self._saved_bytes = written
            label = _("Saving ({megabytes} MB written)", megabytes=round(written / 1e6, 1))
            events.append({"kind": "stage", "stage": "saving", "label": label.as_json()})

    def _newest_checkpoint(self) -> Path | None:
        folders = [folder for folder in self._output_dir.glob("checkpoint-*") if folder.is_dir()]
        return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)

    # The end

    def _artifacts(self) -> list[Event]:
        found = checkpoint.inspect(self._output_dir)
        events: list[Event] = []
        for step in found.checkpoints:
            folder = self._output_dir / f"checkpoint-{step}"
            events.append({"kind": "artifact", "path": str(folder), "what": "checkpoint", "bytes": size_bytes(folder)})
        for name in checkpoint.WEIGHT_FILES:
            path = self._output_dir / name
            if path.is_file():
                what = "adapter" if name.startswith("adapter") else "model"
                own = sum(file.stat().st_size for file in self._output_dir.iterdir() if file.is_file())
                events.append({"kind": "artifact", "path": str(self._output_dir), "what": what, "bytes": own})
                break
        return events

    def _result(self, exit_code: int | None) -> dict[str, object]:
        values: dict[str, object] = {"output_dir": str(self._output_dir), "steps": max(self._done, 0)}
        for name in ("first_loss", "last_loss", "last_eval_loss"):
            number = cast("float | None", getattr(self, f"_{name}"))
            if number is not None:
                values[name] = number
        # train_results.json of a run that was stopped is wrong, and one from an earlier attempt is not ours.
        path = self._output_dir / "train_results.json"
        if exit_code == 0 and self._total and self._done >= self._total and path.exists():
            raw: object = None
            if path.stat().st_mtime >= self._started_at - 1:
                try:
                    raw = parse_json(path.read_bytes())
                except (OSError, ValueError):
                    raw = None
            if isinstance(raw, dict):
                values["train_results"] = raw
        return values

    def _enter(self, stage: str, events: list[Event]) -> None:
        if stage != self._stage:
            self._stage = stage
            self._saved_bytes = 0
            events.append({"kind": "stage", "stage": stage, "label": _LABELS[stage].as_json()})

    def _progress(self, done: int, events: list[Event]) -> None:
        self._done = done
        events.append({"kind": "progress", "done": done, "total": self._total or None, "unit": _STEPS_UNIT})


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _number(value: object) -> float | None:
    """Return a finite number; text that spells one counts (transformers 5 prints its metrics so)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None  # no JSON reader takes NaN


def _is_not_finite(value: object) -> bool:
    """Say whether ``value`` is NaN or infinite: a training that diverges, which must not look like silence."""
    return isinstance(value, float) and not math.isfinite(value)


def _close(one: float, other: float) -> bool:
    """Say whether the printed ``other`` (four digits) can be ``one``."""
    return abs(one - other) <= 2e-3 * max(abs(one), abs(other), 1e-3)
