"""The ``ask`` job: one question to a model in Ollama, answered the same way each time.

Params: ``model``, ``prompt``; ``gguf`` (an absolute path: the model is made of it, with ``template`` or the demo's,
when the server has no such model); ``host`` or ``private`` (which server; neither looks for one); ``expect`` (text
that the answer must contain). Result: ``answer``, ``model``, ``host``, ``tokens_per_s``.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from backend.demo import recipe
from backend.deploy.server import ensure_server
from backend.ollama import blob
from backend.ollama.client import Client, Creation
from backend.ollama.failure import ModelMissingError
from backend.ollama.reply import Stats
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.paths import Paths
from data.settings import load_settings

OPTIONS: Final[Mapping[str, object]] = {"temperature": 0, "seed": 42, "num_predict": 128}
"""Greedy, and bounded: a model that does not stop must not hold up the chain."""


@dataclass(frozen=True, slots=True)
class Question:
    """The params of the job, checked."""

    model: str
    prompt: str
    host: str = ""
    private: bool = False
    gguf: Path | None = None
    template: str = recipe.GO_TEMPLATE
    expect: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> Question:
        """Read the job's params; raises RequestError for what is missing or has a wrong type."""
        wanted = {
            "model": str,
            "prompt": str,
            "host": str,
            "private": bool,
            "gguf": str,
            "template": str,
            "expect": str,
        }
        for name, kind in wanted.items():
            value = params.get(name)
            needed = name in ("model", "prompt")
            if (needed and not value) or not (value is None or isinstance(value, kind)):
                raise RequestError(
                    _("The question's {name} has a wrong value", name=name),
                    _("{value} is not {kind}.", value=repr(value), kind=kind.__name__),
                    _("Lay the job down again with {name} corrected.", name=name),
                )
        gguf = params.get("gguf")
        return cls(
            model=str(params["model"]),
            prompt=str(params["prompt"]),
            host=str(params.get("host") or ""),
            private=params.get("private") is True,
            gguf=Path(str(gguf)) if gguf else None,
            template=str(params.get("template") or recipe.GO_TEMPLATE),
            expect=str(params.get("expect") or ""),
        )


async def ask(client: Client, question: Question, report: Reporter) -> tuple[str, Stats | None]:
    """Return the model's answer, without blanks around it, and its measures; makes the model first when it must."""
    if question.gguf is not None and not await _is_made(client, question):
        await _make(client, question, question.gguf, report)
    report.stage("answer", _("Asking {model}", model=question.model))
    pieces: list[str] = []
    stats: Stats | None = None
    messages = [{"role": "user", "content": question.prompt}]
    async for delta in client.chat(question.model, messages, options=OPTIONS):
        pieces.append(delta.text)
        stats = delta.stats or stats
    return "".join(pieces).strip(), stats


async def _is_made(client: Client, question: Question) -> bool:
    """Say whether the server has the model with this template: one of an older Paddock may have another."""
    try:
        shown = await client.show(question.model)
    except ModelMissingError:
        return False
    return shown.template.strip() == question.template.strip()


async def _make(client: Client, question: Question, gguf: Path, report: Reporter) -> None:
    report.stage("create", _("Creating {model} in Ollama", model=question.model))
    digest = await blob.digest(gguf)
    await client.upload(gguf, digest, lambda done, total: report.progress(done, total, "bytes"))
    creation = Creation(files={gguf.name: digest}, template=question.template, parameters=recipe.OLLAMA_PARAMETERS)
    async for _step in client.create(question.model, creation):
        pass


def check(answer: str, expect: str) -> None:
    """Raise AppError when ``answer`` lacks ``expect``; upper and lower case count alike."""
    if expect.casefold() not in answer.casefold():
        raise AppError(
            _("The answer does not contain {name}", name=expect),
            _("It was: {answer}", answer=answer),
            _("The model has not learnt it: look at the loss of the training, and run it again."),
        )


def _work(folder: JobFolder, report: Reporter) -> None:
    question = Question.from_params(folder.read_spec().params)
    answer = asyncio.run(_ask_somewhere(question, report))
    sys.stdout.write(f"> {question.prompt}\n{answer}\n")
    check(answer, question.expect)


async def _ask_somewhere(question: Question, report: Reporter) -> str:
    paths = Paths.default()
    report.stage("server", _("Looking for an Ollama server"))
    settings = load_settings(paths.settings).values
    server = await ensure_server(paths, settings, want_private=question.private, host=question.host)
    async with Client(server.host) as client:
        answer, stats = await ask(client, question, report)
    speed = stats.tokens_per_s if stats else None
    report.result(answer=answer, model=question.model, host=server.host, tokens_per_s=speed)
    return answer


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # closes the stream, so that the server stops generating


def main(argv: list[str]) -> int:
    """Run the work of the job folder ``argv[1]``."""
    signal.signal(signal.SIGTERM, _end)
    return run_work(lambda report: _work(JobFolder(Path(argv[1])), report))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
