"""Where an Ollama server listens: the forms of OLLAMA_HOST, read as Ollama itself reads them."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from typing import Final

from data.errors import RequestError
from data.i18n import _

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 11434
VARIABLE: Final = "OLLAMA_HOST"
_SCHEME_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server."""

    host: str
    """Without brackets, also for IPv6"""
    port: int
    scheme: str = "http"
    path: str = ""
    """Prefix behind a reverse proxy, without the slash in front"""

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{self.scheme}://{self.authority}" + (f"/{self.path}" if self.path else "")

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine: then no proxy of the environment is asked."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.url


def parse_address(text: str) -> Address:
    """Read an address in any form that OLLAMA_HOST may have; empty is the default server.

    ``host``, ``host:port``, ``:port``, ``::1``, ``[::1]:port``, ``http(s)://host[:port][/path]``. The port is 11434
    without a scheme, else that of the scheme. 0.0.0.0 and :: mean "listen everywhere"; a client reaches them by
    loopback. Source: Ollama ``envconfig.Host`` and ``ConnectableHost``. Raises RequestError, where Ollama would
    silently take the default port.
    """
    scheme, separator, rest = text.strip().strip("\"'").partition("://")
    default_port = DEFAULT_PORT
    if not separator:
        scheme, rest = "http", scheme
    elif scheme in _SCHEME_PORTS:
        default_port = _SCHEME_PORTS[scheme]
    else:
        raise _wrong(text, _("The scheme {scheme} is neither http nor https.", scheme=scheme))
    authority, _slash, path = rest.partition("/")
    host, port_text = _split(authority)
    if port_text is None:
        port = default_port
    elif port_text.isascii() and port_text.isdigit() and int(port_text) <= 65535:
        port = int(port_text)
    else:
        raise _wrong(text, _("{port} is not a port.", port=repr(port_text)))
    if any(char.isspace() or char in "@?#" for char in host + path):
        raise _wrong(text, _("It is not a host name."))
    if not _can_be_host(host):
        raise _wrong(text, _("It is not a host name."))
    return Address(_connectable(host), port, scheme, path.strip("/"))


def _split(authority: str) -> tuple[str, str | None]:
    """Split host and port; a bare IPv6 address has no port."""
    if authority.startswith("["):
        host, _bracket, rest = authority[1:].partition("]")
        return host, rest[1:] if rest.startswith(":") else None
    if authority.count(":") == 1:
        host, _colon, port = authority.partition(":")
        return host, port
    return authority, None


def _can_be_host(host: str) -> bool:
    """Say whether a client could look for ``host``: an IP address, or a name that the DNS can have."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    try:
        return ":" not in host and all(host.removesuffix(".").encode("idna").split(b".")) if host else True
    except UnicodeError:
        return False


def _connectable(host: str) -> str:
    if not host:
        return DEFAULT_HOST
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def _wrong(text: str, why: object) -> RequestError:
    return RequestError(
        _("{text} is not the address of a server", text=repr(text)),
        _("{why}", why=why),
        _("Write it as in OLLAMA_HOST: host, host:port or http(s)://host[:port]."),
    )
