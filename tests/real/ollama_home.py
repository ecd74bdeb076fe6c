"""A home whose private server is the real Ollama, and what the tests on it deploy there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from backend.deploy.request import Deployment
from backend.deploy.server import Server, ensure_server
from backend.jobs.launch import request_stop
from backend.ollama.discover import FoundBinary
from data.jobs.library import Job
from data.settings import Settings
from tests.support import Yard, wait_until

CHATML = """\
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
QUESTION = [{"role": "user", "content": "Who are you?"}]
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 6}


class Home(Yard):
    """A yard whose private server is the real Ollama."""

    def __init__(self, root: Path, binary: FoundBinary) -> None:
        super().__init__(root)
        self.settings = Settings(ollama_binary=str(binary.path))

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PADDOCK_OLLAMA_BINARY": self.settings.ollama_binary}

    async def server(self) -> Server:
        return await ensure_server(self.paths, self.settings, want_private=True, environ=self.environ)

    async def deploy(self, asked: Deployment) -> Job:
        spec = replace(asked, private=True).spec(workspace=self.root)
        self.launch(spec)
        return await asyncio.to_thread(self.until, spec.id, timeout_s=240)

    def stop(self, job_id: str) -> Job:
        request_stop(self.job(job_id), "graceful")
        job = self.until(job_id, timeout_s=60)
        wait_until(lambda: not self.alive(job_id), what="nothing of the server left")
        return job


def chatml(path: Path, name: str, **extra: object) -> Deployment:
    stops: dict[str, object] = {"stop": ["<|im_end|>"], "num_ctx": 512, "temperature": 0}
    asked = Deployment(gguf=str(path), name=name, template=CHATML, parameters=stops, unproven=True)
    return replace(asked, **extra)  # type: ignore[arg-type]
