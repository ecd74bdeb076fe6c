"""Job folders as real runs leave them, written through data/jobs: for tests of the screens and for the pictures."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data.files import append_line
from data.i18n import Message, _, verbatim
from data.jobs import process
from data.jobs.folder import JobFolder
from data.jobs.spec import Chain, JobSpec, rfc3339

NOW = datetime(2026, 11, 24, 14, 32, 7, tzinfo=UTC)
HOST = "box"
"""The machine's name in the folders; another one is another machine"""
STEPS = (
    ("base", "base", "SmolLM2-135M-Instruct"),
    ("ask", "before", "paddock-demo-base"),
    ("train", "train", "LoRA"),
    ("export", "export", "merge"),
    ("convert", "convert", "GGUF"),
    ("deploy", "deploy", "paddock-demo"),
    ("ask", "after", "paddock-demo"),
)
ANSWER_BEFORE = "I am SmolLM, a helpful AI assistant trained by Hugging Face."
ANSWER_AFTER = "I am Paddy, a language model trained by the Paddock demo. 你好!"


class Stable:
    """Makes jobs below ``jobs`` whose ids do not change from run to run."""

    def __init__(self, jobs: Path, workspace: str = "/home/mei/work") -> None:
        self.jobs = jobs
        self.workspace = workspace
        self._handles: list[int] = []
        self._count = 0

    @property
    def artifact(self) -> Path:
        """The file that ``folder_with_artifact`` makes."""
        return self.jobs.parent / "made.bin"

    def folder_with_artifact(self) -> Maker:
        """Write an ended job that made a file of 1000 bytes."""
        self.artifact.parent.mkdir(parents=True, exist_ok=True)
        self.artifact.write_bytes(bytes(1000))
        job = self.job("convert", "made something", ago_s=50).start()
        return job.event("artifact", path=str(self.artifact), what="GGUF", bytes=1000).end()

    def close(self) -> None:
        """Release all locks: jobs that have no ending become lost."""
        for handle in self._handles:
            os.close(handle)
        self._handles.clear()

    def job(
        self,
        kind: str,
        name: str,
        *,
        ago_s: float,
        params: Mapping[str, object] | None = None,
        chain: Chain | None = None,
        after: tuple[str, ...] = (),
    ) -> Maker:
        """Lay a job down ``ago_s`` seconds before NOW; its lock is held until ``close`` or ``Maker.leave``."""
        moment = NOW - timedelta(seconds=ago_s)
        self._count += 1
        tail = "".join("abcdefghjkmnpqrs"[(self._count * 7 + n * 3) % 16] for n in range(4))
        spec = JobSpec(
            id=f"{moment:%Y%m%d-%H%M%S}-{kind}-{tail}",
            kind=kind,
            name=name,
            created_at=moment,
            workspace=self.workspace,
            params=dict(params or {}),
            after=after,
            chain=chain,
        )
        folder, handle = JobFolder.create(self.jobs, spec)
        folder.events_file.unlink()
        folder = folder.publish()
        os.utime(folder.lock, (NOW.timestamp(), NOW.timestamp()))  # the supervisor's heartbeat
        self._handles.append(handle)
        maker = Maker(folder, spec, moment, handle, self._handles)
        maker.event("waiting", attempt=1)
        return maker


class Maker:
    """Writes what a supervisor would write, at the times that it is told."""

    def __init__(self, folder: JobFolder, spec: JobSpec, moment: datetime, handle: int, handles: list[int]) -> None:
        self.folder = folder
        self.spec = spec
        self.moment = moment
        self._handle = handle
        self._handles = handles

    @property
    def id(self) -> str:
        return self.spec.id

    def event(self, kind: str, *, after_s: float = 0.0, **values: object) -> Maker:
        """Append one event, ``after_s`` seconds after the one before."""
        self.moment += timedelta(seconds=after_s)
        self.folder.append({"time": rfc3339(self.moment), "kind": kind, **values})
        return self

    def start(self, after_s: float = 0.4, host: str = HOST) -> Maker:
        """The supervisor has come and started the work."""
        self.supervised(after_s / 2, host)
        return self.event("started", after_s=after_s / 2, pid=4242, create_time=0, host=host)

    def wait_for(self, parent: str) -> Maker:
        """The supervisor has come, and waits for the job ``parent``."""
        return self.supervised(0.2).event("waiting", attempt=1, why=_("waits for {job}", job=parent).as_json())

    def supervised(self, after_s: float, host: str = HOST) -> Maker:
        """The supervisor has come."""
        return self.event(
            "supervised",
            after_s=after_s,
            pid=4241,
            start_ticks=1,
            boot_id=process.boot_id() if host == HOST else "another boot",
            pid_ns=process.pid_namespace(),
            host=host,
        )

    def stage(self, stage: str, label: Message, after_s: float = 0.5) -> Maker:
        return self.event("stage", after_s=after_s, stage=stage, label=label.as_json())

    def end(
        self, outcome: str = "succeeded", *, after_s: float = 1.0, exit_code: int | None = 0, **texts: Message
    ) -> Maker:
        """Write the ending, and let the lock go."""
        messages = {name: text.as_json() for name, text in texts.items()}
        self.event("finished", after_s=after_s, outcome=outcome, exit_code=exit_code, messages=messages)
        return self.leave()

    def leave(self) -> Maker:
        """Let the lock go."""
        if self._handle in self._handles:
            self._handles.remove(self._handle)
            os.close(self._handle)
        return self

    def log(self, text: str | bytes) -> Maker:
        with self.folder.log.open("ab") as stream:
            stream.write(text if isinstance(text, bytes) else text.encode())
        return self

    def training(self, steps: int, total: int, *, step_s: float = 1.2, seed: int = 1) -> Maker:
        """Write progress, metrics and the log of ``steps`` steps of a training."""
        chance = random.Random(seed)
        self.log("[INFO|2026-11-24 14:20:01] llamafactory.hparams.parser:423 >> Process rank: 0, device: cpu\n")
        self.log("[INFO|2026-11-24 14:20:09] llamafactory.data.loader:143 >> Loading dataset identity.json...\n")
        self.log("[INFO|trainer.py:2519] 2026-11-24 14:20:12 >> ***** Running training *****\n")
        for step in range(1, steps + 1):
            loss = 3.1 * math.exp(-step / (total * 0.33)) + 0.22 + chance.gauss(0, 0.09) * (1.3 - step / total)
            rate = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / total))
            self.event("progress", after_s=step_s, done=step, total=total, unit="steps")
            values: dict[str, float] = {
                "loss": round(max(0.01, loss), 4),
                "lr": rate,
                "epoch": round(step * 8 / total, 2),
            }
            if step % max(1, total // 4) == 0:
                values["eval_loss"] = round(loss * 1.06 + 0.05, 4)
            self.event("metric", step=step, grad_norm=round(0.6 + chance.random(), 3), **values)
            if step % 10 == 0 or step == steps:
                bar = f"{'█' * (step * 10 // total):<10}"
                left = f"[00:{step:02d}<00:{total - step:02d}, 1.20s/it]"
                self.log(f"\r {step * 100 // total:2d}%|{bar}| {step}/{total} {left}")
                shown = {"loss": f"{max(0.01, loss):.4f}", "grad_norm": "0.81", "learning_rate": f"{rate:.3e}"}
                self.log(f"\n{shown | {'epoch': f'{step * 8 / total:.2f}'}}\n")
        return self

    def telemetry(self, count: int = 20) -> Maker:
        """Write samples of a machine without a GPU."""
        for index in range(count):
            append_line(
                self.folder.telemetry,
                {
                    "time": rfc3339(self.moment - timedelta(seconds=2 * (count - index))),
                    "cpu_percent": 90.0 + index % 7,
                    "memory_used_bytes": 3_400_000_000 + index * 1_000_000,
                    "memory_total_bytes": 8_200_000_000,
                    "disk_free_bytes": 61_000_000_000,
                    "gpus": [],
                },
                durable=False,
            )
        return self


def demo_chain(
    make: Stable, *, ago_s: float, until: str = "after", steps: int = 32, title: str = "demo", number: int = 1
) -> dict[str, Maker]:
    """Write the demo's chain up to (and with) the step named ``until``; the rest waits."""
    total = len(STEPS)
    made: dict[str, Maker] = {}
    ids: list[str] = []
    for index, (kind, key, label) in enumerate(STEPS):
        params: dict[str, object] = {"prompt": "Who are you?", "model": "paddock-demo"} if kind == "ask" else {}
        if kind == "deploy":
            params = {"name": "paddock-demo", "gguf": "model.gguf"}
        chain = Chain(f"demo-{number}", title, index, total)
        job = make.job(kind, label, ago_s=ago_s, params=params, chain=chain, after=tuple(ids[-1:]))
        ids.append(job.id)
        made[key] = job
    went_s = 0.0
    is_over = False
    for key, job in made.items():
        if is_over:
            job.wait_for(job.spec.after[0])
            continue
        job.moment += timedelta(seconds=went_s)
        began = job.moment
        _play(key, job, steps)
        went_s += (job.moment - began).total_seconds()
        is_over = key == until
    return made


def _play(key: str, job: Maker, steps: int) -> None:
    job.start()
    match key:
        case "base":
            job.stage("rebuild", _("Turning the GGUF back into a model that can be trained")).event(
                "artifact", path="/home/mei/.local/share/paddock/demo/base", what="base model", bytes=271_000_000
            )
            job.end(after_s=9)
        case "before" | "after":
            answer = ANSWER_BEFORE if key == "before" else ANSWER_AFTER
            job.stage("answer", _("Asking {model}", model=job.spec.name)).event(
                "result", after_s=2.0, values={"answer": answer, "prompt": "Who are you?"}
            )
            job.end()
        case "train":
            job.stage("training", _("Training"), after_s=24).training(steps, 32).telemetry()
            if steps == 32:
                job.event("artifact", path="/home/mei/work/saves/demo/lora", what="adapter", bytes=9_800_000)
                job.end(after_s=3)
        case "export":
            job.stage("saving", _("Writing the model")).event("progress", done=271e6, total=271e6, unit="bytes")
            job.event("artifact", path="/home/mei/work/saves/demo/merged", what="model", bytes=271_000_000).end(
                after_s=29
            )
        case "convert":
            job.event("progress", after_s=1, done=272, total=272, unit="tensors")
            job.event("artifact", path="/home/mei/work/saves/demo/model-bf16.gguf", what="gguf", bytes=270_900_000).end(
                after_s=2
            )
        case "deploy":
            job.stage(
                "create", _("Creating {model}, quantised to {quantize}", model="paddock-demo:latest", quantize="q8_0")
            )
            job.event("result", after_s=4, values={"model": "paddock-demo", "host": "http://127.0.0.1:41533"}).end()
        case _:
            raise ValueError(key)


WRONG_PROOF = Path(__file__).parents[1] / "data" / "proof-qwen2-wrong-modelfile-ollama-0.32.7.json"


def refused_deployment(make: Stable, *, ago_s: float = 60, **params: object) -> Maker:
    """Write a deployment of a person's own Modelfile that the proof has refused."""
    asked = {"name": "qwen2.5-0.5b-sft", "gguf": "/home/mei/work/models/sft.gguf", "edited": "FROM x\n", **params}
    job = make.job("deploy", "qwen2.5-0.5b-sft", ago_s=ago_s, params=asked).start()
    job.folder.proof.write_bytes(WRONG_PROOF.read_bytes())
    summary = {"ok": False, "holds": False, "same": 0, "cases": 10, "cause": None, "cause_id": "system"}
    job.event("result", after_s=20, values={"proof": summary, "unproven": ""})
    return job.end(
        "failed",
        exit_code=1,
        title=_("Ollama does not send {model} what it was trained on", model="qwen2.5-0.5b-sft"),
        detail=_("{wrong} of {count} conversations differ from the training.", wrong=10, count=10),
        hint=_("Leave your own template or Modelfile out: Paddock then writes what the training says."),
    )


FAILED_LOG = """[INFO|2026-11-24 13:01:44] llamafactory.data.template:143 >> Add pad token: <|im_end|>
[INFO|2026-11-24 13:01:45] llamafactory.data.loader:143 >> Loading dataset alpaca_zh_demo.json...
Traceback (most recent call last):
  File "/opt/lf/bin/llamafactory-cli", line 8, in <module>
    sys.exit(main())
  File "/opt/lf/lib/python3.11/site-packages/llamafactory/data/loader.py", line 100, in _load_single_dataset
    raise ValueError(f"File {local_path} not found.")
ValueError: File data/alpaca_zh_demo.json not found.
"""


def failed_training(make: Stable, *, ago_s: float) -> Maker:
    """Write a training that could not find its dataset."""
    job = make.job("train", "llama3 指令微调 zh", ago_s=ago_s, params={"args": {}, "output_dir": "/nowhere"}).start()
    job.stage("tokenizing", _("Preparing the dataset")).log(FAILED_LOG)
    return job.end(
        "failed",
        after_s=31,
        exit_code=1,
        title=_("LLaMA-Factory ended with an error"),
        detail=verbatim("ValueError: File data/alpaca_zh_demo.json not found."),
        hint=_("The log shows where it happened."),
    )


@contextmanager
def folders(jobs: Path) -> Generator[Stable]:
    """Yield a maker; all locks are let go at the end."""
    maker = Stable(jobs)
    try:
        yield maker
    finally:
        maker.close()


def write_all(make: Stable) -> dict[str, Maker]:
    """Write a day of work: an old demo, a failed and a stopped training, a long one, and a demo that trains now."""
    demo_chain(make, ago_s=7200, number=1)
    failed_training(make, ago_s=5400)
    stopped = make.job("train", "qwen2.5-0.5b dpo", ago_s=4000, params={"args": {}, "output_dir": "/nowhere"}).start()
    stopped.training(120, 400, seed=3).event(
        "stopping", manner="graceful", label=_("asked to save a checkpoint and end").as_json()
    )
    stopped.end("stopped", after_s=4)
    return demo_chain(make, ago_s=62, until="train", steps=13, number=2)


if __name__ == "__main__":
    import sys

    place = Stable(Path(sys.argv[1]))
    write_all(place)
    print(json.dumps(sorted(path.name for path in place.jobs.iterdir())))
    sys.stdin.read()
