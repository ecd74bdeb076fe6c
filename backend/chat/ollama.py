"""The engine that talks to a model of an Ollama server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from backend.chat.engine import Chunk, Finished, Text, Thinking
from backend.ollama import reply
from backend.ollama.client import Client
from data.chats import Conversation, Stats

Locate = Callable[[], Awaitable[str]]
"""Gives the server's address; asked before each answer, since a private server ends itself when it was idle."""


class OllamaEngine:
    """A ``ChatEngine`` over ``/api/chat``."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate

    async def answer(self, conversation: Conversation) -> AsyncGenerator[Chunk]:
        """Yield the answer; see ``ChatEngine``."""
        async with Client(await self._locate()) as client:
            stream = client.chat(
                conversation.model, messages(conversation), options=conversation.options, think=conversation.think
            )
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    if delta.thinking:
                        yield Thinking(delta.thinking)
                    if delta.text:
                        yield Text(delta.text)
                    if delta.stats is not None:
                        yield Finished(_stats(delta.stats))

    async def close(self) -> None:
        """Nothing is held between answers."""


def messages(conversation: Conversation) -> list[dict[str, object]]:
    """Return the turns as Ollama takes them; the thoughts of former turns are left out, as models are trained.

    A system prompt of "" is sent too: it takes the place of the model's own default.
    """
    made: list[dict[str, object]] = []
    if conversation.system is not None:
        made.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        made.append({"role": turn.role, "content": turn.text})  # noqa: PERF401 - a comprehension would narrow the type
    return made


def _stats(stats: reply.Stats) -> Stats:
    return Stats(
        prompt_tokens=stats.prompt_tokens,
        answer_tokens=stats.answer_tokens,
        load_s=stats.load_s,
        prompt_s=stats.prompt_s,
        answer_s=stats.answer_s,
        total_s=stats.total_s,
        ended_by=stats.done_reason,
    )
