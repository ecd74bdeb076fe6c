"""Asking a server one question with nothing but the standard library: for works and checks that must stay small."""

from __future__ import annotations

import contextlib
from typing import Final, cast

from backend.ollama.address import Address
from backend.ollama.reply import Json, tables, text
from data.jsontext import parse_json

_LIMIT_BYTES: Final = 8 << 20


def version_at(address: Address, *, timeout_s: float = 2.0) -> str | None:
    """Return the version of the Ollama server at ``address``; None when none answers. Asks no proxy."""
    return text(_get(address, "/api/version", timeout_s) or {}, "version") or None


def has_loaded_models(address: Address, *, timeout_s: float = 5.0) -> bool | None:
    """Say whether the server has a model in memory; None when it does not answer."""
    value = _get(address, "/api/ps", timeout_s)
    return None if value is None else bool(tables(value, "models"))


def _get(address: Address, path: str, timeout_s: float) -> Json | None:
    import http.client  # noqa: PLC0415 - the email package comes with it: not for those who only import this

    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=timeout_s)
    try:
        connection.request("GET", (f"/{address.path}" if address.path else "") + path)
        response = connection.getresponse()
        if response.status != 200:
            return None
        with contextlib.suppress(ValueError):
            value: object = parse_json(response.read(_LIMIT_BYTES))
            return cast("Json", value) if isinstance(value, dict) else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None
