"""What a job costs the work that runs in it: a fake trainer of 10,000 steps alone, and followed by its supervisor.

The trainer logs every step, as fast as it can and at one step a millisecond. Measured are its own duration, how long
after its end the job has ended too, the processor time of the supervisor and the most memory that it ever had.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backend.lf import find as finding
from backend.lf.find import LlamaFactory
from backend.train.spec import train_spec
from data.jobs.folder import JobFolder
from data.jobs.spec import parse_time
from data.jobs.status import Status
from tests.bench.result import Result
from tests.bench.terminal import peak_mb
from tests.support import Yard, program

ROUNDS = 5
STEPS = 10_000
SUPERVISOR_MB = 30.0
PACES = {"as fast as it can": 0.0, "one step a ms": 0.001}
RIVAL = "the same program alone"
_LIMIT_S = 120.0


class _Job(NamedTuple):
    """What one followed training took."""

    trained_s: float
    """From the start of the trainer to its end"""
    lag_s: float
    """From there until the job's ending was on the disk"""
    processor_s: float
    supervisor_mb: float


@dataclass(frozen=True, slots=True)
class _Place:
    """A workspace with rows and a stand-in LLaMA-Factory."""

    root: Path
    lf: LlamaFactory

    @classmethod
    def make(cls, root: Path) -> _Place:
        (root / "data").mkdir(parents=True)
        (root / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}', encoding="utf-8")
        (root / "data" / "rows.json").write_text("[]", encoding="utf-8")
        subprocess.run(program("fake_trainer.py", "install", root / "env"), check=True)
        lf = finding.look(root / "env" / "bin" / "python", "settings")
        if lf is None:
            message = "the stand-in LLaMA-Factory was not taken for one"
            raise RuntimeError(message)
        return cls(root, lf)

    def arguments(self, output_dir: str) -> dict[str, object]:
        return {
            "model_name_or_path": "org/model",
            "stage": "sft",
            "do_train": True,
            "dataset": "rows",
            "template": "chatml",
            "output_dir": output_dir,
            "logging_steps": 1,
            "save_steps": STEPS,
            "max_steps": STEPS,
        }

    def alone(self, number: int) -> float:
        """Run the trainer without us; return its seconds."""
        output_dir = self.root / f"alone-{number}"
        output_dir.mkdir()
        file = self.root / "alone.yaml"
        lines = (f"{name}: {json.dumps(value)}" for name, value in self.arguments(str(output_dir)).items())
        file.write_text("\n".join(lines), encoding="utf-8")
        with (self.root / "alone.log").open("wb") as log:
            began = time.perf_counter()
            subprocess.run(
                [str(self.lf.bin / "llamafactory-cli"), "train", str(file)],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
            return time.perf_counter() - began

    def followed(self, yard: Yard, number: int) -> _Job:
        """Run the trainer as a job; return what it took."""
        spec = train_spec(self.arguments(f"job-{number}"), workspace=self.root, lf=self.lf, check=False)
        job_id = yard.launch(spec)[0]
        supervisor = yard.supervisor(job_id)
        processor_s = memory_mb = 0.0
        end = time.monotonic() + _LIMIT_S
        while not yard.job(job_id).status.is_ended and time.monotonic() < end:
            try:
                processor_s, memory_mb = _processor_s(supervisor), peak_mb(supervisor)
            except (OSError, RuntimeError):  # it went between two looks: what was last seen counts
                break
            time.sleep(0.05)
        job = yard.until(job_id, timeout_s=_LIMIT_S)
        if job.status is not Status.SUCCEEDED or job.state.metrics.get("step") != STEPS:
            message = f"the followed training went wrong: {job.state}"
            raise RuntimeError(message)
        trained_s, lag_s = _times(job.folder)
        return _Job(trained_s, lag_s, processor_s, memory_mb)


def _processor_s(pid: int) -> float:
    """Return the processor time of one process so far, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _times(folder: JobFolder) -> tuple[float, float]:
    """Return how long the work ran, by the file that its shim leaves at its end, and how much later the job ended."""
    events = {str(event["kind"]): parse_time(str(event["time"])).timestamp() for event in folder.events().events}
    ended = folder.exit_file.stat().st_mtime
    return ended - events["started"], events["finished"] - ended


def measure() -> Iterator[Result]:
    """Alternate the two at each pace, and compare medians."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as folder:
        place = _Place.make(Path(folder) / "work")
        yard = Yard(Path(folder) / "home")
        try:
            for pace, delay_s in PACES.items():
                (place.root / "fake_trainer.json").write_text(json.dumps({"delay_s": delay_s}), encoding="utf-8")
                alone, jobs = [], []
                for number in range(ROUNDS):
                    alone.append(place.alone(number + int(delay_s * 1e6)))
                    jobs.append(place.followed(yard, number + int(delay_s * 1e6)))
                yield from _results(pace, statistics.median(alone), jobs)
        finally:
            yard.close()


def _results(pace: str, alone_s: float, jobs: list[_Job]) -> Iterator[Result]:
    trained_s = statistics.median(job.trained_s for job in jobs)
    name = f"training of {STEPS:,} steps, {pace}"
    yield Result(f"{name}: its time", trained_s, "s", RIVAL, alone_s)
    yield Result(f"{name}: added to it", trained_s - alone_s, "s")
    yield Result(f"{name}: from its end to the job's", statistics.median(job.lag_s for job in jobs), "s")
    yield Result(f"{name}: processor time of the supervisor", statistics.median(j.processor_s for j in jobs), "s")
    most_mb = max(job.supervisor_mb for job in jobs)
    yield Result(f"{name}: most memory of the supervisor", most_mb, "MB", most=SUPERVISOR_MB)
