"""A little program that behaves like ``llamafactory-cli train`` and ``export`` of LLaMA-Factory 0.9.5, without torch.

    python fake_trainer.py install FOLDER      makes FOLDER/bin/{python,llamafactory-cli} and the dist-info folders
    FOLDER/bin/llamafactory-cli train FILE     "trains" with the arguments in FILE (one ``key: value`` a line)
    FOLDER/bin/llamafactory-cli export FILE    "merges" into export_dir

How it behaves is read from ``$FAKE_TRAINER`` (JSON) or ``fake_trainer.json`` in the working directory:

    delay_s 0.0           seconds a step (export: a block)
    import_s 0.0          seconds before the first line
    fail ""               what goes wrong, a key of FAILURES, at step ``at`` (3)
    noise 0               bytes of noise a step on stdout
    save_s 0.0            seconds that a checkpoint takes
    kill_wait_s 0.1       seconds between SIGTERM and its checkpoint (transformers: 3)
    ranks 1               processes under a launcher, each in a session of its own, as torchrun does
    deaf false            ignores SIGTERM and SIGABRT
    export_bytes 1000000  bytes of the exported weights
    merged ""             a folder of safetensors that the export comes to, instead
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

VERSIONS = {
    "llamafactory": "0.9.5",
    "torch": "2.11.0",
    "torchaudio": "2.11.0",
    "torchvision": "0.26.0",
    "transformers": "5.6.0",
    "peft": "0.18.1",
}

FAILURES = {
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
    "disk_full": "OSError: [Errno 28] No space left on device",
    "value": "ValueError: Something that no rule knows.",
    "gated": "OSError: You are trying to access a gated repo.\nMake sure to have access to it.",
    "kill": "",
    "torn": "",
    "hang": "",
    "exit": "",
}


def install(folder: Path) -> None:
    """Make an environment that ``backend.lf.find`` takes for one with LLaMA-Factory."""
    programs = folder / "bin"
    site = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    programs.mkdir(parents=True)
    site.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (programs / "python").symlink_to(sys.executable)
    script = programs / "llamafactory-cli"
    here = str(Path(__file__).absolute())
    script.write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_path({here!r}, run_name='__main__')\n")
    script.chmod(0o755)
    for name, version in VERSIONS.items():
        (site / f"{name}-{version}.dist-info").mkdir()
    source = site / "transformers" / "training_args.py"
    source.parent.mkdir()
    source.write_text("class TrainingArguments:\n    enable_jit_checkpoint: bool = field(\n")


def read_arguments(file: Path) -> dict:
    """Read ``key: value`` lines; values are JSON where they can be, else text."""
    values = {}
    for line in file.read_text().splitlines():
        key, _colon, text = line.partition(": ")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def behaviour() -> dict:
    """Return how to behave."""
    file = Path("fake_trainer.json")
    text = os.environ.get("FAKE_TRAINER") or (file.read_text() if file.exists() else "{}")
    return {"delay_s": 0.0, "import_s": 0.0, "fail": "", "at": 3, "noise": 0, "save_s": 0.0, "ranks": 1,
            "kill_wait_s": 0.1, "export_bytes": 1_000_000, "deaf": False, "merged": ""} | json.loads(text)  # fmt: skip


def say(text: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def info(text: str) -> None:
    """Write a line in the form of transformers' log."""
    say(f"[INFO|trainer.py:1469] {time.strftime('%Y-%m-%d %H:%M:%S')},000 >> {text}")


class Trainer:
    """One rank of a training."""

    def __init__(self, args: dict, how: dict) -> None:
        self.how = how
        self.output_dir = Path(args["output_dir"])
        self.total = int(args.get("max_steps") or 10)
        self.logging_steps = int(args.get("logging_steps") or 1)
        self.save_steps = int(args.get("save_steps") or 500)
        self.jit = args.get("enable_jit_checkpoint") is True
        self.overwrite = args.get("overwrite_output_dir") is True
        self.main = os.environ.get("RANK", "0") == "0"
        self.aborted = False
        self.terminated_at = None

    def run(self) -> None:
        """Train to the end, or until asked to stop."""
        step = self.resumed_step()
        self.listen()
        say("[INFO|2026-11-24 04:21:00] llamafactory.data.loader:144 >> Loading dataset rows.json...")
        info("loading weights file model.safetensors")
        info("***** Running training *****")
        info(f"  Total optimization steps = {self.total:,}")
        started = time.monotonic()
        while step < self.total and not self.aborted:
            if self.terminated_at is not None and time.monotonic() - self.terminated_at >= self.how["kill_wait_s"]:
                self.save(step, jit=True)
                break
            time.sleep(self.how["delay_s"])
            step += 1
            self.go_wrong(step)
            self.report(step, time.monotonic() - started)
            if step % self.save_steps == 0:
                self.save(step)
        self.finish(step)

    def resumed_step(self) -> int:
        """Return the step of the last checkpoint; refuse as LLaMA-Factory does."""
        log = self.output_dir / "trainer_log.jsonl"
        if self.overwrite:
            if self.main:
                log.unlink(missing_ok=True)
            return 0
        steps = [int(folder.name.rpartition("-")[2]) for folder in self.output_dir.glob("checkpoint-*")]
        if not steps and (self.output_dir / "adapter_model.safetensors").exists():
            raise ValueError("Output directory already exists and is not empty. Please set `overwrite_output_dir`.")
        if steps:
            state = json.loads((self.output_dir / f"checkpoint-{max(steps)}" / "trainer_state.json").read_text())
            return int(state["global_step"])
        return 0

    def listen(self) -> None:
        """Set the handlers that LLaMA-Factory and transformers set once they are imported."""
        if self.how["deaf"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGABRT, signal.SIG_IGN)
            return
        if os.environ.get("LLAMABOARD_ENABLED") == "1":
            signal.signal(signal.SIGABRT, lambda _number, _frame: setattr(self, "aborted", True))
        if self.jit:
            signal.signal(signal.SIGTERM, self.on_terminate)
            info("JIT checkpoint signal handler registered for SIGTERM")

    def on_terminate(self, _number: int, _frame: object) -> None:
        """Note the wish for a checkpoint."""
        self.terminated_at = self.terminated_at or time.monotonic()

    def report(self, step: int, elapsed: float) -> None:
        """Write what a step leaves: the bar, and at times a line in each log."""
        if not self.main:
            return
        bar = f" {step * 100 // self.total}%|##   | {step}/{self.total} [00:00<00:00,  9.99it/s]"
        sys.stdout.write("\r" + "x" * self.how["noise"] + "\r" + bar)
        if step % self.logging_steps:
            return
        loss, rate, epoch = 5.0 / step**0.5, 1e-3 * (1 - step / self.total), step / 10
        row = {"current_steps": step, "total_steps": self.total, "loss": loss, "lr": rate, "epoch": epoch,
               "percentage": round(step / self.total * 100, 2), "elapsed_time": f"0:00:{int(elapsed):02}",
               "remaining_time": "0:00:01"}  # fmt: skip
        with (self.output_dir / "trainer_log.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        printed = {"loss": loss, "grad_norm": 0.1 + loss / 10, "learning_rate": rate, "epoch": epoch}
        say("\n" + str({name: f"{value:.4g}" for name, value in printed.items()}))  # transformers 5 prints text

    def save(self, step: int, *, jit: bool = False) -> None:
        """Write a checkpoint; with ``jit`` under transformers' marker file until it is complete."""
        if not self.main:
            return
        folder = self.output_dir / f"checkpoint-{step}"
        info("Starting JIT checkpointing..." if jit else f"Saving model checkpoint to {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        sentinel = folder / "checkpoint-is-incomplete.txt"
        if jit:
            sentinel.write_text("in progress\n")
        for part in range(10):
            with (folder / "adapter_model.safetensors").open("ab" if part else "wb") as stream:
                stream.write(bytes(1000))
            time.sleep(self.how["save_s"] / 10)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        sentinel.unlink(missing_ok=True)

    def finish(self, step: int) -> None:
        """Leave what the end of a training leaves."""
        if not self.main:
            return
        (self.output_dir / "adapter_model.safetensors").write_bytes(bytes(1000))
        (self.output_dir / "adapter_config.json").write_text("{}")
        (self.output_dir / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        (self.output_dir / "train_results.json").write_text(json.dumps({"train_loss": 1.0, "epoch": step / 10}))
        row = {"current_steps": step, "total_steps": self.total, "epoch": step / 10, "percentage": 100.0}
        with (self.output_dir / "trainer_log.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        info("Training completed. Do not forget to share your model on huggingface.co/models =)")

    def go_wrong(self, step: int) -> None:
        """Fail in the chosen way at the chosen step."""
        if step == self.how["at"] and self.how["fail"]:
            go_wrong(self.how["fail"], self.output_dir)


def go_wrong(kind: str, output_dir: Path) -> None:
    """Fail as ``kind`` says."""
    if kind == "torn":
        with (output_dir / "trainer_log.jsonl").open("a") as stream:
            stream.write('{"current_steps": 3, "total_st')
    if kind in ("kill", "torn"):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        sys.exit(3)
    while kind == "hang":
        time.sleep(3600)
    say('Traceback (most recent call last):\n  File "launcher.py", line 1, in launch\n    run_exp()')
    say(FAILURES[kind])
    sys.exit(1)


def export(args: dict, how: dict) -> None:
    """Write a model in ten blocks."""
    folder = Path(args["export_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    info("loading weights file model.safetensors")
    if how["merged"]:
        shutil.copytree(how["merged"], folder, dirs_exist_ok=True)
        return
    say("[INFO|2026-11-24 04:21:01] llamafactory.model.adapter:144 >> Fine-tuning method: LoRA")
    say("[INFO|2026-11-24 04:21:01] llamafactory.train.tuner:144 >> Convert model dtype to: torch.bfloat16.")
    for block in range(10):
        time.sleep(how["delay_s"])
        if block == how["at"] and how["fail"]:
            go_wrong(how["fail"], folder)
        with (folder / "model.safetensors").open("ab") as stream:
            stream.write(bytes(how["export_bytes"] // 10))
    (folder / "config.json").write_text("{}")
    (folder / "Modelfile").write_text("FROM .\n")


def launch_ranks(how: dict) -> int:
    """Do as torchrun does: start the ranks in sessions of their own and wait for them."""
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:]],
            env=os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            start_new_session=True,
        )
        for rank in range(how["ranks"])
    ]
    return max(abs(rank.wait()) for rank in ranks)


def main() -> int:
    """Do what the command line says."""
    verb, name = sys.argv[1], Path(sys.argv[2])
    if verb == "install":
        install(name)
        return 0
    args, how = read_arguments(name), behaviour()
    time.sleep(how["import_s"])
    if verb == "export":
        export(args, how)
    elif how["ranks"] > 1 and "RANK" not in os.environ:
        return launch_ranks(how)
    else:
        Trainer(args, how).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
