"""``paddock chat``: talk with a model; in the app on a terminal, plainly everywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

from backend.deploy.server import Server
from backend.ollama.client import Client
from backend.ollama.reply import Stats
from data.errors import AppError, RequestError
from data.i18n import _
from data.text import inert
from tui.commands.console import Console
from tui.commands.form import argument, command, option, plain_option
from tui.commands.model_servers import server_with, tell_passed_over
from tui.commands.session import Session
from tui.services import Services

_PROMPT: Final = ">>> "


@command(
    "chat",
    _(
        "Talk with a model.\n\nOn a terminal the app opens at the chat. With --plain it asks line by line; with -p, or "
        "when the input is not a terminal, it answers one message and ends."
    ),
    argument("model"),
    option("--prompt", "-p", metavar="TEXT", about=_("The one message to answer.")),
    option("--system", metavar="TEXT", about=_("System prompt.")),
    option("--host", metavar="HOST", about=_("Ollama server, as in OLLAMA_HOST.")),
    option("--temperature", type=float, metavar="X", about=_("0 gives the same answer each time.")),
    plain_option(),
)
def chat(
    session: Session, model: str, prompt: str | None, system: str | None, host: str | None, temperature: float | None
) -> int:
    """Answer one message, or talk until the input ends."""
    console = session.console
    interactive = prompt is None and sys.stdin.isatty()
    if interactive and console.is_live and not console.as_json and not (host or system or temperature is not None):
        from tui.launch import open_app  # noqa: PLC0415 - Textual, for the app alone

        return open_app(language=session.language, chat=model)
    if interactive and console.as_json:
        raise RequestError(_("JSON answers one message"), "", _("Give it with -p, or on the standard input."))
    services = session.services(adopt=True)
    options: dict[str, object] = {} if temperature is None else {"temperature": temperature}
    talk = _Talk(console, services, model, system or "", options)
    if interactive:
        return talk.until_end(host or "")
    text = (sys.stdin.read() if prompt is None else prompt).strip()
    if not text:
        raise RequestError(_("There is nothing to answer"), _("The message is empty."), _("Give it with -p TEXT."))
    return talk.once(text, host or "")


class _Talk:
    """One conversation on one server."""

    def __init__(
        self, console: Console, services: Services, model: str, system: str, options: Mapping[str, object]
    ) -> None:
        self._console = console
        self._services = services
        self._model = model
        self._options = options
        self._messages: list[Mapping[str, object]] = [{"role": "system", "content": system}] if system else []

    def once(self, text: str, host: str) -> int:
        """Answer one message."""
        with asyncio.Runner() as runner:
            server = runner.run(server_with(self._services, self._model, host))
            tell_passed_over(self._console, [server])
            answer, stats = runner.run(self._answer(server, text))
        self._console.emit(self._as_json(server, answer, stats))
        return 0

    def until_end(self, host: str) -> int:
        """Answer line after line until the input ends; Ctrl-C stops an answer, and at the prompt it leaves."""
        with asyncio.Runner() as runner:
            server = runner.run(server_with(self._services, self._model, host))
            tell_passed_over(self._console, [server])
            self._console.say(_("{model} on {host}. Ctrl-D ends.", model=self._model, host=server.host))
            while True:
                try:
                    text = input(_PROMPT)
                except EOFError:
                    self._console.say()
                    return 0
                if not text.strip():
                    continue
                try:
                    runner.run(self._answer(server, text))
                except KeyboardInterrupt:
                    self._console.say()
                    self._console.say(_("Stopped; this message and its answer are forgotten."))

    async def _answer(self, server: Server, text: str) -> tuple[str, Stats]:
        """Print the answer as it comes; remember both sides. Raises AppError."""
        messages: list[Mapping[str, object]] = [*self._messages, {"role": "user", "content": text}]
        pieces: list[str] = []
        stats: Stats | None = None
        async with Client(server.host) as client:
            async for delta in client.chat(self._model, messages, options=self._options):
                stats = delta.stats or stats
                pieces.append(delta.text)
                if delta.text and not self._console.as_json:
                    # What a model says is shown on a terminal, never obeyed; into a file or a pipe it goes as it is.
                    self._console.out.write(inert(delta.text) if self._console.out.isatty() else delta.text)
                    self._console.out.flush()
        self._console.say()
        answer = "".join(pieces)
        if stats is None:
            raise AppError(_("The answer was cut off"), answer[-200:], _("The server ended in the middle; ask again."))
        self._messages = [*messages, {"role": "assistant", "content": answer}]
        return answer, stats

    def _as_json(self, server: Server, answer: str, stats: Stats) -> dict[str, object]:
        return {
            "model": self._model,
            "host": server.host,
            "answer": answer,
            "prompt_tokens": stats.prompt_tokens,
            "answer_tokens": stats.answer_tokens,
            "tokens_per_s": stats.tokens_per_s,
            "done_reason": stats.done_reason,
        }
