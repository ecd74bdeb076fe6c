"""What places ask of the app around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from data.errors import AppError
from tui.services import Services, Snapshot

Answer = TypeVar("Answer")


class Shell(Protocol):
    """The app, as places know it."""

    services: Services
    snapshot: Snapshot
    has_looked: bool

    @property
    def workspace_words(self) -> str:
        """The workspace as a person writes it."""
        ...

    async def attempt(self, work: Callable[[], Answer]) -> Answer | None:
        """Run ``work`` in a thread; a failure is shown and gives None."""
        ...

    async def attempt_async(self, work: Awaitable[Answer]) -> Answer | None:
        """Await ``work``; a failure is shown and gives None."""
        ...

    def fail(self, error: AppError) -> None:
        """Show what failed."""
        ...

    def look_soon(self) -> None:
        """Look at the jobs now: something was just changed."""
        ...

    async def look(self) -> None:
        """Read the jobs, and show them."""
        ...

    def open_run(self, job_id: str) -> None:
        """Show one job."""
        ...

    async def open_chat(self, model: str, host: str = "") -> None:
        """Talk with a model."""
        ...

    async def open_export(self, path: str = "") -> None:
        """Export the weights at ``path``, or let the person choose."""
        ...

    async def open_gguf(self, path: str) -> None:
        """Show what a GGUF consists of."""
        ...

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52."""
        ...
