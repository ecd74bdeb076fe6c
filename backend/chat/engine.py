"""What every engine that talks has in common: a conversation goes in, pieces of the answer come out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, assert_never

from data.chats import Conversation, Stats, Turn


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer that came to its end."""

    stats: Stats


Chunk = Text | Thinking | Finished


class ChatEngine(Protocol):
    """Answers conversations. One answer at a time; ``close`` when nobody will ask any more."""

    def answer(self, conversation: Conversation) -> AsyncGenerator[Chunk]:
        """Yield the answer to the last turn, ``Finished`` at the end; raises AppError.

        Closing the generator (``aclose``, or cancelling the task that iterates) makes the engine stop generating.
        """
        ...

    async def close(self) -> None:
        """Give back what the engine holds."""
        ...


class Answer:
    """Gathers chunks into a turn."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._stats: Stats | None = None

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        match chunk:
            case Text(text):
                self._text.append(text)
            case Thinking(text):
                self._thinking.append(text)
            case Finished(stats):
                self._stats = stats
            case _:
                assert_never(chunk)

    @property
    def turn(self) -> Turn:
        """The assistant's turn so far; partial until the end has come."""
        thinking = "".join(self._thinking)
        return Turn("assistant", "".join(self._text), thinking, self._stats, is_partial=self._stats is None)


async def answer_whole(engine: ChatEngine, conversation: Conversation) -> Turn:
    """Return the whole answer to the last turn."""
    answer = Answer()
    async with aclosing(engine.answer(conversation)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
    return answer.turn
