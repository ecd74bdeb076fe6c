"""Stopping: the wish (a file), the ladder that carries it out, and endings for jobs without a supervisor."""

from __future__ import annotations

import time

from backend.jobs import processes
from backend.jobs.work import HURRY, StopStep
from data.i18n import _
from data.jobs.folder import JobFolder, Manner


class StopLadder:
    """Climbs the rungs of a stop, one ``step`` a tick; each rung is an event."""

    def __init__(self, folder: JobFolder, shim: int, steps: tuple[StopStep, ...], *, grace_s: float) -> None:
        self._folder = folder
        self._shim = shim
        self._steps = steps
        self._grace_s = grace_s
        self._manner: Manner = "graceful"
        self._rung = -1
        self._since = 0.0
        self._progress_at = 0.0
        self._repeat_at = 0.0

    def progressed(self) -> None:
        """Note a sign of progress: a rung that allows it waits on."""
        self._progress_at = time.monotonic()

    def step(self, manner: Manner) -> None:
        """Do what is due."""
        moment = time.monotonic()
        if manner == "now" and self._manner != "now":
            self._manner = "now"
            self._steps = HURRY
            self._rung = -1
        if self._rung < 0 or self._is_over(moment):
            if self._rung < len(self._steps) - 1:
                self._rung += 1
                self._enter(moment)
            elif moment >= self._repeat_at:  # nothing is above force: again, for those that were born meanwhile
                self._repeat_at = moment + 1.0
                self._send(self._steps[self._rung])

    def _is_over(self, moment: float) -> bool:
        step = self._steps[self._rung]
        wait_s = max(step.wait_s, self._grace_s) if step.progress_extends else step.wait_s
        begin = max(self._since, self._progress_at) if step.progress_extends else self._since
        return moment - begin >= wait_s

    def _enter(self, moment: float) -> None:
        step = self._steps[self._rung]
        self._since = moment
        self._repeat_at = moment + 1.0
        count = self._send(step)
        self._folder.append(
            {
                "kind": "stopping",
                "manner": self._manner,
                "step": self._rung + 1,
                "of": len(self._steps),
                "signal": int(step.signal),
                "processes": count,
                "label": step.label.as_json(),
            }
        )

    def _send(self, step: StopStep) -> int:
        everything = processes.of_job(self._folder.id) - {self._shim}
        match step.to:
            case "tree":
                targets = everything
            case "root":
                targets = processes.roots(self._shim, everything)
            case "ranks":
                targets = processes.ranks(everything) or processes.roots(self._shim, everything)
        processes.send(targets, step.signal)
        return len(targets)


def stopped_without_work() -> dict[str, object]:
    """Return the ending of a job that was stopped while nobody ran it."""
    detail = _("It was stopped before a process ran it.")
    return {"kind": "finished", "outcome": "stopped", "exit_code": None, "messages": {"detail": detail.as_json()}}
