"""Why a download or an installation failed, from what pip, Go or a C++ build wrote, as an error that helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from data.errors import AppError
from data.i18n import Message, _

# Set before what pip says of an index that gave it nothing (see pip.py), for the causes below and for the person.
NO_INDEX: Final = "No answer of use"
NO_PACKAGES: Final = "An answer without packages"

_NO_SPACE: Final = re.compile(r"No space left on device|Errno 28|disk quota exceeded|Errno 122", re.IGNORECASE)
_CERTIFICATE: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED|x509:|certificate verify failed|SSLError", re.IGNORECASE)
_PROXY: Final = re.compile(r"ProxyError|Cannot connect to proxy|proxyconnect", re.IGNORECASE)
_NETWORK: Final = re.compile(
    r"NewConnectionError|Name or service not known|Temporary failure in name resolution|ConnectTimeout|ReadTimeout"
    r"|Connection refused|Network is unreachable|Max retries exceeded|no such host|i/o timeout|connection reset"
    r"|No route to host|RemoteDisconnected|IncompleteRead|dial tcp|from versions: none|didn't respond within"
    r"|incomplete-download",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(r"\b(401|403|407) (Client Error|Forbidden|Unauthorized)|HTTP error 40[137]", re.IGNORECASE)
_DOWN: Final = re.compile(
    r"too many 5\d\d error responses|\b5\d\d Server Error|HTTP error 5\d\d|: 50\d [A-Z][a-z]+ ", re.IGNORECASE
)
_NO_REGISTRY: Final = re.compile(
    rf"^{NO_PACKAGES}|^{NO_INDEX}: .*404 Client Error|JSONDecodeError|invalid response from proxy"
    r"|: (404 Not Found|410 Gone)",
    re.MULTILINE,
)
_NOT_THERE: Final = re.compile(
    r"No matching distribution found for (?P<what>\S+)|ResolutionImpossible|404 Client Error|unknown revision",
    re.IGNORECASE,
)
_TAMPERED: Final = re.compile(r"DO NOT MATCH THE HASHES|checksum mismatch|SECURITY ERROR")
_MEMORY: Final = re.compile(r"Killed signal terminated program|out of memory|MemoryError|std::bad_alloc", re.IGNORECASE)
_SURPRISE: Final = re.compile(r"^ERROR: Exception:$")
_ERROR_LINE: Final = re.compile(r"^\s*(ERROR|FAILED|CMake Error|error)\b|: (fatal )?error: ")

# The order matters: a full disk or a refused certificate also leaves "Max retries" behind.
_CAUSES: Final[tuple[tuple[re.Pattern[str], Message], ...]] = (
    (_NO_SPACE, _("The disk is full: free some space (paddock doctor shows where), then run it again.")),
    (
        _TAMPERED,
        _("The mirror gave another file than the one that was published: use another mirror, and tell its operator."),
    ),
    (_MEMORY, _("The machine ran out of memory: close other programs, then run it again.")),
    (
        _CERTIFICATE,
        _("A certificate was not accepted: set SSL_CERT_FILE and PIP_CERT to your organisation's certificates."),
    ),
    (_PROXY, _("The proxy cannot be reached: check https_proxy and no_proxy.")),
    (
        _DOWN,
        _(
            "The package registry is out of order: try again later, or name another one (pip's index-url, Go's "
            "GOPROXY)."
        ),
    ),
    (
        _NO_REGISTRY,
        _(
            "What answers is no package registry, or lacks the package: check its address (pip's index-url, Go's "
            "GOPROXY), and whether the network wants a login first (a login page answers in its place)."
        ),
    ),
    (_REFUSED, _("The package mirror refuses access: check its address and credentials in pip's configuration.")),
    (
        _NETWORK,
        _(
            "The package registry cannot be reached: check the network, https_proxy, and the registry's address (pip's "
            "index-url, Go's GOPROXY)."
        ),
    ),
    (
        _NOT_THERE,
        _("The mirror does not have this version for this Python and machine: use another mirror or Python 3.11–3.13."),
    ),
)

_SERVED: Final = (_NETWORK, _NOT_THERE, _REFUSED, _DOWN, _NO_REGISTRY)


def remedy_for(lines: Sequence[str], *, unreachable: Message | None = None) -> Message | None:
    """Return what a person can do about the failure that ``lines`` show, or None where they show nothing known.

    ``unreachable`` is the remedy where it is not a package registry that cannot be reached.
    """
    text = "\n".join(lines)
    for pattern, remedy in _CAUSES:
        if pattern.search(text):
            return unreachable if unreachable is not None and pattern in _SERVED else remedy
    return None


def is_missing_version(lines: Sequence[str]) -> bool:
    """Say whether the registry answered, but does not have (or cannot combine) what was asked for."""
    text = "\n".join(lines)
    return _NOT_THERE.search(text) is not None and not any(
        pattern.search(text) for pattern in (_NO_SPACE, _CERTIFICATE, _PROXY, _REFUSED, _NETWORK, _DOWN, _NO_REGISTRY)
    )


def failed(title: Message, lines: Sequence[str], *, fallback: Message | None = None) -> AppError:
    """Return the error for a program that ended badly after writing ``lines``."""
    said = [line for line in lines if line.strip()]
    answers = [line for line in said if line.startswith((NO_INDEX, NO_PACKAGES))]
    errors = [line for line in said if _ERROR_LINE.search(line)]
    if any(_SURPRISE.search(line) for line in errors):
        errors = said[-1:]  # of a traceback, the last line is the one that says something
    # What a registry answered is the cause; else the first errors are, the later ones follow from them.
    shown = [answer.removeprefix(f"{NO_INDEX}: ") for answer in answers]
    detail = "\n".join(shown[:3] or errors[:3] or said[-3:])
    hint = remedy_for(lines) or fallback or _("The job's log has all of its output; running it again continues.")
    return AppError(title, detail, hint)
