"""Runs of `paddock demo` with nothing replaced: real LLaMA-Factory, real Ollama, a home of their own.

The first run's command is killed with SIGKILL as soon as the chain stands; the second one is left alone. Both are made
once and looked at by several tests: each takes some minutes.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.jobs.launch import request_stop
from backend.lf.find import LlamaFactory
from backend.ollama.discover import FoundBinary
from backend.pipeline import demo_places
from data.jobs.library import Job
from tests.support import Yard, wait_until

ENTRY = [sys.executable, "-P", "-m", "tui.cli"]
CHAIN = ["base", "ask", "train", "export", "convert", "deploy", "ask"]
_LONG_S = 900.0
_LOADED = "OLLAMA_HOST"
"""A person's own server must not be seen: the demo's own one is the point"""


class DemoRuns(Yard):
    """A home in which the demo runs with the installed programs."""

    def __init__(self, root: Path, lf: LlamaFactory, binary: FoundBinary) -> None:
        super().__init__(root)
        root.mkdir(parents=True)
        self._programs = {"PADDOCK_LLAMAFACTORY_PYTHON": str(lf.python), "PADDOCK_OLLAMA_BINARY": str(binary.path)}

    @property
    def environ(self) -> dict[str, str]:
        """The person's environment with this home in it."""
        kept = {name: value for name, value in super().environ.items() if name != _LOADED}
        return {**kept, **self._programs, "LANG": "C.UTF-8", "TERM": "xterm-256color"}

    def paddock(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with nothing on its standard input."""
        return subprocess.run(
            [*ENTRY, *words],
            env=self.environ,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONG_S,
        )

    def chains(self) -> dict[str, list[Job]]:
        """Return the jobs of each run, in order."""
        found: dict[str, list[Job]] = {}
        for job in self.library.list():
            if job.spec.chain is not None:
                found.setdefault(job.spec.chain.id, []).append(job)
        return found

    @cached_property
    def killed(self) -> list[str]:
        """The ids of the first run's jobs; the command that laid them down was killed before the first had done much.

        What a person sees who types the command again, on a terminal and elsewhere, is in ``offered`` and ``first``.
        """
        command = subprocess.Popen(
            [*ENTRY, "demo"],
            env=self.environ,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            chain = wait_until(self._supervised, timeout_s=60, what="the demo's jobs, each with its supervisor")
        finally:
            command.send_signal(signal.SIGKILL)
            _out, err = command.communicate(timeout=60)
        assert (command.returncode, err) == (-signal.SIGKILL, b""), "it ended by itself, before it was killed"
        return chain

    def _supervised(self) -> list[str]:
        chains = list(self.chains().values())
        whole = [job for job in chains[-1] if job.state.supervisor] if chains else []
        return [job.id for job in whole] if len(whole) == len(CHAIN) else []

    @cached_property
    def offered(self) -> tuple[str, int]:
        """What `paddock demo` draws on a terminal while the first run is at work, answered with y, then Ctrl-C."""
        assert self.killed
        return on_a_terminal([*ENTRY, "demo"], self.environ, self.root)

    @cached_property
    def first(self) -> Mapping[str, Any]:
        """The summary of the first run, as the command says it that was typed after the kill."""
        assert self.offered[1] == 130
        return self._summary(len(self.killed))

    @cached_property
    def second(self) -> Mapping[str, Any]:
        """The summary of the second run: another chain in the same home."""
        assert self.first
        return self._summary(2 * len(CHAIN))

    def _summary(self, jobs_then: int) -> Mapping[str, Any]:
        done = self.paddock("demo", "--json")
        assert done.returncode == 0, done.stdout + done.stderr[-4000:]
        assert sum(map(len, self.chains().values())) == jobs_then
        summary: Mapping[str, Any] = json.loads(done.stdout)
        return summary

    @property
    def base(self) -> Path:
        """The folder of the base model that all runs share."""
        return demo_places(self.paths, "").base

    def merged(self, summary: Mapping[str, Any]) -> Path:
        """Return the folder of the merged model of a run."""
        job = self.library.get(next(step["job"] for step in summary["steps"] if step["name"] == "export"))
        return Path(str(job.spec.params["export_dir"]))

    def converted(self, summary: Mapping[str, Any]) -> Path:
        """Return the GGUF of a run."""
        job = self.library.get(next(step["job"] for step in summary["steps"] if step["name"] == "convert"))
        return Path(str(job.spec.params["target"]))

    def close(self) -> None:
        """Stop the server that the demo leaves running, then whatever else still lives."""
        for job in self.library.list():
            if job.status.is_live:
                request_stop(job, "now")
        self.ids = [job.id for job in self.library.list()]
        wait_until(lambda: not any(self.alive(job_id) for job_id in self.ids), timeout_s=60, what="an end of all jobs")
        super().close()


def on_a_terminal(argv: list[str], environ: Mapping[str, str], cwd: Path) -> tuple[str, int]:
    """Run a command that asks whether to follow, on a pseudo-terminal; answer y, then Ctrl-C. Return what it said."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    command = subprocess.Popen(
        ["setsid", "--ctty", *argv], env=environ, cwd=cwd, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    drawn = bytearray()

    def shows(text: str) -> bool:
        try:
            while chunk := os.read(master, 65536):
                drawn.extend(chunk)
        except (BlockingIOError, OSError):  # nothing more for now, or the other side has closed
            pass
        return text in drawn.decode("utf-8", "replace")

    try:
        wait_until(lambda: shows("Follow it?"), timeout_s=60, what="the question")
        os.write(master, b"y\r")
        wait_until(lambda: shows("Following the demo that is running"), timeout_s=60, what="that it follows")
        wait_until(lambda: shows("[1/7]"), timeout_s=60, what="the first step")
        os.write(master, b"\x03")
        wait_until(lambda: shows("`paddock demo` shows it again"), timeout_s=60, what="how to come back")
        return drawn.decode("utf-8", "replace"), command.wait(60)
    finally:
        if command.poll() is None:
            command.kill()
            command.wait(10)
        os.close(master)
