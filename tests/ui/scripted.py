"""Services whose answers are written down: what else depends on the machine, its time and its ports is told to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from backend.chat.engine import Chunk, Finished, Text
from backend.export.plan import ExportPlan
from backend.export.source import Run, Source
from backend.setup.sizes import Forecast, Part
from data.chats import Conversation, Stats
from data.errors import AppError
from data.i18n import _
from data.jobs.library import Job
from tui import exporting
from tui.chatting import ModelOffer
from tui.exporting import Prospect
from tui.inspecting import Inspection
from tui.proving import ProofView
from tui.services import Services

HOST: Final = "http://127.0.0.1:11434"
STATS: Final = Stats(prompt_tokens=31, answer_tokens=142, answer_s=3.4, total_s=3.8, ended_by="stop")
BARE: Final = Forecast(
    (
        Part(
            "llamafactory",
            present=False,
            words=_("LLaMA-Factory {version} with torch, in an environment of its own", version="0.9.5"),
            download_bytes=820_000_000,
            disk_bytes=2_900_000_000,
            minutes=3,
        ),
        Part(
            "ollama",
            present=False,
            words=_(
                "Ollama {version}; where its release cannot be reached, it is built here in about {minutes} minutes",
                version="0.32.7",
                minutes=14,
            ),
            download_bytes=1_400_000_000,
            disk_bytes=2_100_000_000,
            minutes=3,
        ),
    )
)
"""A machine with nothing on it"""


@dataclass
class ScriptedModel:
    """A model that says ``pieces``, then waits for ever, fails with ``error``, or ends."""

    pieces: Sequence[str] = ()
    waits: bool = False
    error: AppError | None = None

    async def answer(self, conversation: Conversation) -> AsyncGenerator[Chunk]:
        """Yield what is written down, whatever was asked."""
        for piece in self.pieces:
            yield Text(piece)
        if self.waits:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        yield Finished(STATS)

    async def close(self) -> None:
        """Nothing to give back."""


class Exports:
    """What Export asks, answered by a workspace without any weights."""

    awaits: str = ""
    """What never comes: runs, source, modelfile, gguf or proof"""

    def runs(self) -> list[Run]:
        """Return the runs that there are."""
        return []

    def source(self, path: Path) -> Source:
        """Return what lies at ``path``."""
        raise NotImplementedError

    def modelfile(self, plan: ExportPlan) -> str:
        """Return the Modelfile of ``plan``."""
        raise NotImplementedError

    def prospect(self, plan: ExportPlan) -> Prospect:
        """Return what ``plan`` takes."""
        raise NotImplementedError


@dataclass
class ScriptedServices(Services):
    """Services that start nothing and ask no server."""

    model: ScriptedModel = field(default_factory=ScriptedModel)
    offers: tuple[ModelOffer, ...] | None = ()
    """None: the server never answers"""
    forecast: Forecast = BARE
    exports: Exports = field(default_factory=Exports)
    silence: threading.Event = field(default_factory=threading.Event)
    """At its end comes what ``exports`` awaits"""

    def _wait(self, what: str) -> None:
        if self.exports.awaits == what:
            self.silence.wait()

    def inspect_gguf(self, path: str) -> Inspection:
        """Look into a real file."""
        self._wait("gguf")
        return super().inspect_gguf(path)

    def proof(self, job: Job) -> ProofView:
        """Read a real proof."""
        self._wait("proof")
        return super().proof(job)

    def adopt(self) -> list[str]:
        """Leave jobs as they lie: an adoption starts a supervisor."""
        return []

    async def model_offers(self) -> list[ModelOffer]:
        """Return what is written down."""
        if self.offers is None:
            await asyncio.Event().wait()
        return list(self.offers or ())

    async def gguf_of(self, offer: ModelOffer) -> Path:
        """Fail as of a server on another machine."""
        raise AppError("The GGUF cannot be read here", offer.host)

    def chat_engine(self, host: str) -> ScriptedModel:
        """Return the model that is written down."""
        return self.model

    def demo_forecast(self) -> Forecast:
        """Return what is written down."""
        return self.forecast

    def export_runs(self) -> list[Run]:
        """Return what is written down."""
        self._wait("runs")
        return self.exports.runs()

    def export_draft(self, path: Path) -> ExportPlan:
        """Draft for what is written down."""
        self._wait("source")
        return exporting.plan(self.exports.source(path), self.workspace)

    async def export_prospect(self, plan: ExportPlan) -> Prospect:
        """Return what is written down."""
        return self.exports.prospect(plan)

    def export_modelfile(self, plan: ExportPlan) -> str:
        """Return what is written down."""
        self._wait("modelfile")
        return self.exports.modelfile(plan)
