"""HTTP with one Ollama server: requests, streams of JSON lines, and every failure as an AppError.

httpx is imported on first use: whoever only names these types must not pay for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from backend.ollama import failure
from backend.ollama.address import Address, parse_address
from backend.ollama.reply import Json, text
from data.errors import AppError
from data.i18n import Message, _
from data.jsontext import parse_json

if TYPE_CHECKING:  # late at run time, see above
    import httpx

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 60.0
_PROBE_S: Final = 3.0
_ANNOYED: Final = (401, 403, 407)


class Connection:
    """A connection to the server at ``address``; use it with ``async with`` or call ``close``.

    No idle connection is kept: the private server takes an open one for somebody who uses it.
    """

    def __init__(self, address: Address | str = "") -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            import httpx  # noqa: PLC0415 - late, see the module's docstring

            self._http = httpx.AsyncClient(
                base_url=self.address.url,
                timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
                limits=httpx.Limits(max_keepalive_connections=0),
                trust_env=not self.address.is_loopback,  # a proxy cannot reach our loopback
            )
        return self._http

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        doing: Message,
        model: str = "",
        answer_s: float | None = _ANSWER_S,
    ) -> Json:
        """Send a request and return the object that is answered; {} for an empty answer.

        ``doing`` and ``model`` say in an error what was tried. ``answer_s`` None waits without end.
        """
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        timeout = httpx.Timeout(answer_s, connect=_CONNECT_S)
        try:
            response = await self._client().request(method, path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise await self._explain(error, doing) from error
        if response.status_code >= 400:
            raise self._refusal(response.status_code, response.content, doing, model)
        return self._object(response.content) if response.content.strip() else {}

    async def exists(self, path: str, *, doing: Message) -> bool:
        """Send a HEAD request; False for 404."""
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        try:
            response = await self._client().head(path)
        except httpx.HTTPError as error:
            raise await self._explain(error, doing) from error
        if response.status_code == 404:
            return False
        if response.status_code >= 400:
            raise self._refusal(response.status_code, response.content, doing, "")
        return True

    async def send(self, path: str, content: AsyncIterator[bytes], size_bytes: int, *, doing: Message) -> None:
        """POST ``content`` of known size as the body."""
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        try:
            response = await self._client().post(
                path,
                content=content,
                headers={"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"},
                timeout=httpx.Timeout(None, connect=_CONNECT_S),  # a slow disk or line is no failure
            )
        except httpx.HTTPError as error:
            raise await self._explain(error, doing) from error
        if response.status_code >= 400:
            raise self._refusal(response.status_code, response.content, doing, "")

    async def lines(
        self, path: str, body: Mapping[str, object], *, doing: Message, model: str = "", last: str = "done"
    ) -> AsyncGenerator[Json]:
        """POST and yield each object of the answered stream; closing the iterator makes the server stop its work.

        The stream must end with an object in which ``last`` is true or "success": else it was cut off, and that
        is an error like the others.
        """
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        complete = False
        timeout = httpx.Timeout(None, connect=_CONNECT_S)  # loading or quantising a large model may take minutes
        try:
            async with self._client().stream("POST", path, json=body, timeout=timeout) as response:
                if response.status_code >= 400:
                    raise self._refusal(response.status_code, await response.aread(), doing, model)
                async for line in response.aiter_lines():
                    if not line.strip():
                        continue
                    value = self._object(line.encode())
                    if "error" in value:
                        raise failure.said_no(0, text(value, "error") or repr(value["error"]), doing)
                    complete = value.get(last) in (True, "success")
                    yield value
        except httpx.HTTPError as error:
            raise await self._explain(error, doing) from error
        if not complete:
            raise await self._explain_end(doing)

    def _object(self, content: bytes) -> Json:
        with contextlib.suppress(ValueError):
            value: object = parse_json(content)
            if isinstance(value, dict):
                return cast("Json", value)
        raise failure.not_ollama(self.address, content.decode(errors="replace"))

    def _refusal(self, status: int, content: bytes, doing: Message, model: str) -> AppError:
        said = content.decode(errors="replace").strip()
        try:
            value: object = parse_json(content)
        except ValueError:
            value = None
        ours = isinstance(value, dict)
        if ours:
            said = text(cast("Json", value), "error") or said
        if status == 404 and model and "not found" in said.lower() and ours:
            return failure.missing(model, self.address)
        if not ours and status in _ANNOYED:
            return failure.not_ollama(self.address, f"HTTP {status}: {said}")
        if not ours and status == 404:
            return failure.not_ollama(self.address, f"HTTP 404: {said}")
        return failure.said_no(status, said, doing)

    async def _explain(self, error: httpx.HTTPError, doing: Message) -> AppError:
        """Turn an error of the transport into words; asks once more whether the server still lives."""
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        why = str(error) or type(error).__name__
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)):
            return failure.unreachable(self.address, why)
        if await self._lives():
            if isinstance(error, httpx.TimeoutException):
                return AppError(
                    _("Ollama took too long while {doing}", doing=doing),
                    _("{url} lives, but did not answer in time.", url=self.address.url),
                    _("It may be busy loading a model: try again, or see `paddock models ps`."),
                )
            return failure.cut(self.address, doing, why)
        return failure.died(self.address, doing, why)

    async def _explain_end(self, doing: Message) -> AppError:
        why = "end of stream"
        return failure.cut(self.address, doing, why) if await self._lives() else failure.died(self.address, doing, why)

    async def _lives(self) -> bool:
        """Ask on a connection of its own."""
        import httpx  # noqa: PLC0415 - late, see the module's docstring

        try:
            async with httpx.AsyncClient(timeout=_PROBE_S, trust_env=not self.address.is_loopback) as http:
                return (await http.get(f"{self.address.url}/api/version")).status_code < 500
        except httpx.HTTPError:
            return False
