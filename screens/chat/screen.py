"""Chat: talk with a model that Ollama has."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar, assert_never

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.worker import Worker

from backend.chat.engine import Finished, Text, Thinking
from data import chats
from data.errors import AppError
from data.i18n import _
from data.size import size
from data.text import inert
from screens.failure import failure_words
from screens.finder import Finder
from screens.place import Place
from tui.chatting import ModelOffer
from tui.keys import bindings
from tui.widgets.cells import Parts, part, width_of
from tui.widgets.editor import Editor
from tui.widgets.pane import entitle
from tui.widgets.prose import Prose
from tui.widgets.table import Row
from tui.widgets.transcript import Transcript, Turn
from tui.wording import duration, number

_NAME_CELLS = 30
"""Least room for the names of models where they are chosen"""


class ChatScreen(Place):
    """A conversation with ``model`` on ``host``; with no model a person chooses one."""

    PLACE = "chat"
    CSS_PATH = "chat.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("chat")

    def __init__(self, model: str = "", host: str = "") -> None:
        super().__init__()
        self._model = model
        self._host = host
        self._has_models = False
        """There was one to choose when Ollama was asked last"""
        self._messages: list[chats.Turn] = []
        self._replying: Worker[None] | None = None

    def body(self) -> ComposeResult:
        """Lay out the conversation above the composer."""
        with Vertical(id="talk", classes="pane"):
            yield Prose(id="hint")
            yield Transcript(id="transcript")
        with Vertical(id="write", classes="pane"):
            yield Editor(id="composer")

    def on_mount(self) -> None:
        """Be ready to write."""
        self._composer.focus()
        self._say_state()
        if not self._model:
            self._find_model()

    # -- which model ----------------------------------------------------------------------------------------------

    def where(self) -> str:
        """Name the model."""
        return inert(self._model)

    def use(self, model: str, host: str) -> None:
        """Go on with another model; the conversation so far is its own history, too."""
        self._model, self._host = model, host
        self.show_places()
        self._say_state()

    @work(exclusive=True, group="models")
    async def _find_model(self, *, asked: bool = False) -> None:
        """Take the only model there is, or let the person choose; say that there is none to who has ``asked``."""
        self._hint([part(str(_("Looking for models in Ollama…")), "muted")])
        offers = await self._offers()
        if not offers:
            self._say_state()
            if asked and offers is not None:
                self.say(_("Ollama has no model yet."))
        elif len(offers) == 1:
            self.use(offers[0].name, offers[0].host)
        else:
            await self._choose(offers)

    @work(exclusive=True, group="models")
    async def action_choose_model(self) -> None:
        """Choose another model."""
        offers = await self._offers()
        if offers:
            await self._choose(offers)
        elif offers is not None:
            self.say(_("Ollama has no model yet."))

    async def _offers(self) -> list[ModelOffer] | None:
        """Return the models that can be talked with; None where asking failed, which is shown."""
        offers = await self.attempt_async(self.services.model_offers())
        self._has_models = bool(offers)
        return offers

    async def _choose(self, offers: list[ModelOffer]) -> None:
        rows = [
            Row(
                str(index),
                (part(inert(offer.name), "strong"), part(offer.host, "muted"), part(size(offer.size_bytes), "muted")),
                f"{inert(offer.name)} {offer.host}",
            )
            for index, offer in enumerate(offers)
        ]
        present = next((row.key for row, offer in zip(rows, offers, strict=True) if self._uses(offer)), "")
        wanted = max(width_of(row.cells[0]) for row in rows)
        answer = await self.choose(
            Finder(
                _("Talk with which model?"),
                _("Type a part of its name"),
                rows,
                name_cells=min(max(_NAME_CELLS, wanted), self.size.width // 2),
                present=present,
            )
        )
        if answer:
            self.use(offers[int(answer)].name, offers[int(answer)].host)
        else:
            self._say_state()

    def _uses(self, offer: ModelOffer) -> bool:
        return (offer.name, offer.host) == (self._model, self._host)

    # -- what is shown --------------------------------------------------------------------------------------------

    def language_changed(self) -> None:
        """Say everything again."""
        self._say_state()
        super().language_changed()

    def _say_state(self) -> None:
        talk, write = self.query_one("#talk"), self.query_one("#write")
        entitle(talk, inert(self._model) or str(_("Chat")), self._host)
        entitle(write, str(_("Your message")))
        if self._messages:
            self.remove_class("-empty")
        elif self._model:
            self._hint(
                [
                    part(str(_("Say something to {model}.", model=inert(self._model))), "strong"),
                    (),
                    part(str(_("The conversation stays here; nothing leaves this machine and its Ollama.")), "muted"),
                ]
            )
        else:
            self._hint(unchosen_lines() if self._has_models else no_model_lines())

    def _hint(self, lines: list[Parts]) -> None:
        self.add_class("-empty")
        self.query_one("#hint", Prose).show(lines)

    @property
    def is_replying(self) -> bool:
        """A reply is coming."""
        return self._replying is not None and self._replying.is_running

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a key only where it does something."""
        match action:
            case "stop_reply":
                return self.is_replying
            case "retry":
                return bool(self._messages) and not self.is_replying
            case "clear" | "copy_reply":
                return bool(self._messages)
            case _:
                return super().check_action(action, parameters)

    # -- talking --------------------------------------------------------------------------------------------------

    def action_send(self) -> None:
        """Send what is written, with the letters that wait to be put into it: keys of priority overtake them."""
        self._composer.call_later(self._send)

    async def _send(self) -> None:
        composer = self._composer
        text = composer.text.strip()
        if not text or self.is_replying:
            return
        if not self._model:
            self._find_model(asked=True)
            return
        composer.clear()
        self.remove_class("-empty")
        self._messages.append(chats.Turn("user", text))
        await self._transcript.add(Turn((("▌ ", "key"), (str(_("you")), "strong")), text, plain=True))
        self._replying = self._reply()

    def action_newline(self) -> None:
        """Begin a new line, behind the letters that wait."""
        self._composer.call_later(self._composer.insert, "\n")

    def action_stop_reply(self) -> None:
        """Stop the reply; what has come is kept."""
        if self._replying is not None:
            self._replying.cancel()

    async def action_retry(self) -> None:
        """Ask for the last reply once more."""
        if self._messages and self._messages[-1].role == "assistant":
            self._messages.pop()
        turns = list(self._transcript.query(Turn))
        if turns and len(turns) > sum(1 for message in self._messages if message.role == "user") * 2 - 1:
            await turns[-1].remove()
        if self._messages:
            self._replying = self._reply()

    async def action_clear(self) -> None:
        """Begin a new conversation."""
        self.action_stop_reply()
        self._messages.clear()
        await self._transcript.clear()
        self._say_state()
        self.refresh_keys()

    def action_copy_reply(self) -> None:
        """Copy the last reply."""
        replies = [message.text for message in self._messages if message.role == "assistant"]
        if replies:
            self.copy("reply", replies[-1])

    @property
    def _composer(self) -> Editor:
        return self.query_one("#composer", Editor)

    @property
    def _transcript(self) -> Transcript:
        return self.query_one("#transcript", Transcript)

    @work(group="reply", exclusive=True)
    async def _reply(self) -> None:
        """Stream one reply into a new turn; a failure is said in the turn, with the key that tries again."""
        title: Parts = (("▌ ", "running"), (inert(self._model), "strong"), ("  ", ""))
        turn = Turn((*title, (str(_("waiting for the model…")), "muted")))
        await self._transcript.add(turn)
        self.refresh_keys()
        note: list[Parts] = []
        stats: chats.Stats | None = None
        try:
            stats = await self._stream(turn, title)
        except AppError as error:
            note = [*failure_words(error), (("ctrl+r ", "key"), (str(_("Again")), "muted"))]
        except asyncio.CancelledError:
            note = [part(str(_("stopped")), "warn")]
            raise
        finally:
            self._replying = None
            if turn.text:
                self._messages.append(chats.Turn("assistant", turn.text, stats=stats, is_partial=stats is None))
            if self.is_there and turn.is_there:  # somebody may have left, or begun a new conversation
                turn.show_title(title[:2] if not note else (*title, (str(_("not finished")), "warn")))
                await turn.finish(note)
                entitle(self.query_one("#write"), subtitle=speed_words(stats) if stats else "")
                self.refresh_keys()

    async def _stream(self, turn: Turn, title: Parts) -> chats.Stats | None:
        thinking = ""
        stats: chats.Stats | None = None
        chunks = self.services.chat_engine(self._host).answer(chats.Conversation(self._model, tuple(self._messages)))
        async with aclosing(chunks):
            async for chunk in chunks:
                match chunk:
                    case Thinking(text):
                        thinking += text
                        turn.show_title((*title, (str(_("thinking…")), "muted")))
                        turn.show_thinking(thinking)
                    case Text(text):
                        if not turn.text:
                            turn.show_title(title[:2])
                        await turn.grow(text)
                    case Finished(stats):
                        pass
                    case _:
                        assert_never(chunk)
        return stats


def speed_words(stats: chats.Stats) -> str:
    """Return the measures of a reply: speed, tokens, time."""
    words: list[str] = []
    if stats.tokens_per_s is not None:
        words.append(str(_("{speed} tokens/s", speed=number(round(stats.tokens_per_s, 1)))))
    if stats.answer_tokens is not None:
        words.append(str(_("{count} tokens", count=stats.answer_tokens)))
    if stats.total_s is not None:
        words.append(duration(stats.total_s))
    return " · ".join(words)


def unchosen_lines() -> list[Parts]:
    """Return what Chat says where none of the models has been chosen."""
    return [
        part(str(_("No model is chosen yet.")), "strong"),
        (),
        (("  ctrl+o   ", "key"), (str(_("chooses one")), "text")),
    ]


def no_model_lines() -> list[Parts]:
    """Return what Chat says when there is nobody to talk with."""
    return [
        part(str(_("There is no model to talk with yet.")), "strong"),
        (),
        part(str(_("A model comes here when a deployment has put it into Ollama:")), "muted"),
        (("  esc, d   ", "key"), (str(_("the demo trains and deploys one")), "text")),
        (
            ("  ", ""),
            ("paddock deploy FILE.gguf NAME", "accent"),
            ("   ", ""),
            (str(_("a GGUF that you have")), "muted"),
        ),
        (
            ("  ", ""),
            ("ollama pull NAME", "accent"),
            ("                ", ""),
            (str(_("one of Ollama's own")), "muted"),
        ),
        (),
        (("  ctrl+o   ", "key"), (str(_("looks again")), "text")),
    ]
