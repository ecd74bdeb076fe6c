"""A hub to push to: the little server of tests/programs/hub_stub.py, and an environment in which it is the hub."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support import Yard, program, wait_until


class Hub:
    """The server at ``url``."""

    def __init__(self, url: str, *, is_xet: bool) -> None:
        self.url = url
        self._is_xet = is_xet

    def environ(self, yard: Yard, account: str = "good") -> dict[str, str]:
        """Return the environment in which it is the hub, and ``account`` the token."""
        storage = {} if self._is_xet else {"HF_HUB_DISABLE_XET": "1"}
        return {**yard.environ, **storage, "HF_ENDPOINT": self.url, "HF_TOKEN": account}

    def seen(self) -> dict[str, object]:
        """Return what is there: ``files``, ``uploads`` and ``commits``."""
        return httpx.get(f"{self.url}/stub/seen", timeout=30).json()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files in ``folder``, as the hub tells them."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@contextmanager
def serving(folder: Path, mode: str = "ok", *, is_xet: bool = True) -> Generator[Hub]:
    """Yield a hub of ``mode`` whose address is written into ``folder``; it ends with the block.

    Large files go to its xet storage, as on the real hub, or by git-lfs, as with HF_HUB_DISABLE_XET.
    """
    file = folder / f"hub-{mode}"
    with subprocess.Popen(program("hub_stub.py", file, mode), stderr=subprocess.DEVNULL) as server:
        try:
            yield Hub(wait_until(lambda: file.read_text() if file.exists() else None, what="the hub"), is_xet=is_xet)
        finally:
            server.kill()
