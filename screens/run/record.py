"""What Run has read of one job so far: its curves, its pace, the end of its log, its telemetry. Grows by reading on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, cast

from data.files import tail_bytes
from data.jobs.folder import Event, JobFolder
from data.jobs.pace import Pace, PaceMeter
from data.jobs.status import Status
from data.jsontext import parse_json
from data.log import LogReader, last_exception, log_end
from data.text import inert
from tui.machine import Gpu, Machine
from tui.widgets.plot import Series

_LOSS: Final = "loss"
_EVAL: Final = "eval_loss"
_SAMPLE_BYTES: Final = 32 << 10
_READS_AT_ONCE: Final = 16


@dataclass(slots=True)
class RunRecord:
    """Everything of one job that is read bit by bit; ``read`` runs in a thread, one at a time."""

    folder: JobFolder
    loss: Series = field(default_factory=Series)
    evaluations: Series = field(default_factory=Series)
    machine: Machine | None = None
    exception: tuple[str, ...] = ()
    is_read: bool = False
    _offset: int = 0
    _meter: PaceMeter = field(default_factory=PaceMeter)
    _failed_attempt: int = -1
    log: LogReader = field(init=False)

    def __post_init__(self) -> None:
        self.log = LogReader(self.folder.log)

    def restart_log(self) -> None:
        """Begin at the end of the log again: another view has forgotten the lines."""
        self.log = LogReader(self.folder.log)

    @property
    def pace(self) -> Pace | None:
        """How fast the present stage goes."""
        return self._meter.pace()

    def read(self, status: Status, attempt: int) -> list[str]:
        """Read what is new in events, log and telemetry; return the new lines of the log."""
        batch = self.folder.events(self._offset)
        self._offset = batch.offset
        for event in batch.events:
            self._take(event)
        lines = self.log.newer()
        for _more in range(_READS_AT_ONCE):
            more = self.log.newer()
            if not more:
                break
            lines += more
        self.machine = read_machine(self.folder)
        if status is Status.FAILED and self._failed_attempt != attempt:
            self._failed_attempt = attempt
            self.exception = tuple(last_exception(log_end(self.folder.log)))
        self.is_read = True
        return lines

    def _take(self, event: Event) -> None:
        self._meter.add(event)
        if event["kind"] != "metric":
            return
        step = event.get("step")
        if not isinstance(step, (int, float)):
            return
        for name, series in ((_LOSS, self.loss), (_EVAL, self.evaluations)):
            value = event.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                series.add(float(step), float(value))


def read_machine(folder: JobFolder) -> Machine | None:
    """Return the last telemetry sample of a job; None when there is none."""
    for line in reversed(tail_bytes(folder.telemetry, _SAMPLE_BYTES).splitlines()):
        try:
            value: object = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return _machine(cast("dict[str, object]", value))
    return None


def _machine(sample: dict[str, object]) -> Machine:
    cards = sample.get("gpus")
    found = cast("list[dict[str, object]]", cards) if isinstance(cards, list) else []
    return Machine(
        gpus=tuple(
            Gpu(
                number=_whole(card.get("index")) or 0,
                name=inert(str(card.get("name") or "GPU")),
                load=_part(card.get("utilization_percent")),
                memory_used_bytes=_whole(card.get("memory_used_bytes")),
                memory_total_bytes=_whole(card.get("memory_total_bytes")),
                temperature_c=_number(card.get("temperature_c")),
                power_w=_number(card.get("power_w")),
            )
            for card in found
        ),
        cpu=_part(sample.get("cpu_percent")),
        memory_used_bytes=_whole(sample.get("memory_used_bytes")),
        memory_total_bytes=_whole(sample.get("memory_total_bytes")),
        disk_free_bytes=_whole(sample.get("disk_free_bytes")),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _part(value: object) -> float | None:
    number = _number(value)
    return None if number is None else number / 100
