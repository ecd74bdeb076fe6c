"""Put a new model in the place of an old one: under a temporary tag first, so that a name always has a whole model."""

from __future__ import annotations

import contextlib
from typing import Final

from backend.ollama.client import Client
from backend.ollama.name import ModelName
from data.errors import AppError
from data.i18n import _

NEW_TAG: Final = "paddock-new-"
OLD_TAG: Final = "paddock-old-"
MEND: Final = "mend"
"""The token of every mend, which is no job of its own: what one that was killed has left goes with the next"""


class Replacement:
    """A model that is made as ``new`` and then gets ``name``; ``token`` tells its tags from those of others."""

    def __init__(self, client: Client, name: ModelName, token: str) -> None:
        self._client = client
        self._name = str(name)
        self.new = str(name.tagged(NEW_TAG + token))
        self.old = str(name.tagged(OLD_TAG + token))
        left = (str(name.tagged(tag + MEND)) for tag in (NEW_TAG, OLD_TAG))
        self._temporary: tuple[str, ...] = (self.new, self.old, *left)

    async def publish(self) -> None:
        """Replace what has the name; removing the old tag afterwards also removes layers that nobody else needs.

        The former model is taken out of memory: under its name, nobody could do that any more.
        """
        replaces = await self._client.has(self._name)
        if replaces:
            await self._client.copy(self._name, self.old)
            with contextlib.suppress(AppError):
                await self._client.unload(self._name)
        try:
            await self._client.copy(self.new, self._name)
        except AppError as error:
            if replaces:
                await self._restore(error)
            raise

    async def _restore(self, cause: AppError) -> None:
        """Give the former model its name back: Ollama writes names in place, so a full disk may have cut it off."""
        try:
            await self._client.copy(self.old, self._name)
        except AppError as error:
            self._temporary = tuple(tag for tag in self._temporary if tag != self.old)
            raise AppError(
                cause.title,
                _("{why}\nThe former model is safe as {old}.", why=cause.detail, old=self.old),
                cause.hint,
            ) from error

    async def clean(self) -> None:
        """Remove the temporary tags; what cannot be removed is in nobody's way."""
        with contextlib.suppress(AppError):
            for model in await self._client.list():
                if model.name in self._temporary:
                    await self._client.delete(model.name)
