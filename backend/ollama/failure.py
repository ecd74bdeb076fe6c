"""What goes wrong with an Ollama server, in words: what failed, why, and what to do."""

from __future__ import annotations

from typing import Final

from backend.ollama.address import Address
from backend.ollama.version import OLDEST
from data.errors import AppError
from data.i18n import Message, _, verbatim

_SHOWN_CHARACTERS: Final = 600


class UnreachableError(AppError):
    """Nothing answers at the address."""


class ServerDiedError(AppError):
    """The server answered at first, and is gone now."""


class ModelMissingError(AppError):
    """The server does not have the model."""


def unreachable(address: Address, why: str) -> UnreachableError:
    """Return the error for a server that cannot be connected to."""
    return UnreachableError(
        _("No Ollama server answers at {url}", url=address.url),
        why,
        _("Start it (`ollama serve`), or correct its address."),
    )


def died(address: Address, doing: Message, why: str) -> ServerDiedError:
    """Return the error for a server that went away in the middle; ``doing`` names the model."""
    return ServerDiedError(
        _("The Ollama server died while {doing}", doing=doing),
        _("{url} does not answer any more ({why}).", url=address.url, why=why),
        _(
            "A server that dies on a model usually met a GGUF with an inconsistent vocabulary, or too little memory: "
            "its log's last lines say which. Start the server again, then try another model or quantisation."
        ),
    )


def cut(address: Address, doing: Message, why: str) -> AppError:
    """Return the error for a connection that broke although the server lives."""
    return AppError(
        _("The connection to Ollama broke while {doing}", doing=doing),
        _("{url} still answers, but ended this connection: {why}", url=address.url, why=why),
        _("Try again. If a proxy lies between, its limits on size and time are the usual cause."),
    )


def not_ollama(address: Address, got: Message | str) -> AppError:
    """Return the error for something else that listens there, or a proxy's page."""
    return AppError(
        _("What answers at {url} is not an Ollama server", url=address.url),
        got[:_SHOWN_CHARACTERS] if isinstance(got, str) else got,
        _("Check the address: the port may belong to another program, or a proxy may answer in its place."),
    )


def too_old(address: Address, version: str, oldest: str = OLDEST) -> AppError:
    """Return the error for a server below the oldest usable version."""
    return AppError(
        _("The Ollama server at {url} is too old", url=address.url),
        _("It is version {version}; Paddock needs {oldest} or later.", version=version, oldest=oldest),
        _("Update it (https://ollama.com/download), or name another server."),
    )


def missing(model: str, address: Address) -> ModelMissingError:
    """Return the error for a model that is not there."""
    return ModelMissingError(
        _("There is no model {model}", model=model),
        _("The Ollama server at {url} does not have it.", url=address.url),
        _("`paddock models list` names the models; `paddock deploy` makes one, `paddock models pull` fetches one."),
    )


def said_no(status: int, text: str, doing: Message) -> AppError:
    """Return the error for what the server itself said, with what helps against the causes that we know."""
    return AppError(
        _("Ollama failed while {doing}", doing=doing),
        verbatim(f"HTTP {status}: {text[:_SHOWN_CHARACTERS]}" if status else text[:_SHOWN_CHARACTERS]),
        _remedy(text.lower()),
    )


def _remedy(text: str) -> Message:
    for words, remedy in _REMEDIES:
        if any(word in text for word in words):
            return remedy
    return _("The server's log has the details.")


_REMEDIES: Final = (
    (
        ("no space left on device", "disk quota exceeded"),
        _(
            "The disk with Ollama's models is full. Remove models (`paddock models remove`), or move OLLAMA_MODELS to "
            "a larger disk; creating takes up to the source and three times the GGUF. Nothing was changed."
        ),
    ),
    (
        ("pull model manifest: file does not exist",),
        _("The registry has no model of that name and tag: check its spelling."),
    ),
    (
        ("pull model manifest", "dial tcp", "no such host", "proxyconnect", "tls:"),
        _(
            "The server cannot reach the registry. It fetches by its own network: where a proxy is needed, start it "
            "with HTTPS_PROXY set."
        ),
    ),
    (
        ("system memory", "out of memory", "unable to allocate"),
        _("Too little memory: unload other models, or create the model with a smaller quantisation or num_ctx."),
    ),
    (
        ("runner", "llama-server", "llama server", "unexpectedly"),
        _(
            "The engine that runs the model crashed, not the server. The server's log says why; too little memory and "
            "a GGUF that the engine does not know are the usual causes."
        ),
    ),
    (
        ("permission denied",),
        _("The server may not read or write its files: check the owner of its OLLAMA_MODELS folder."),
    ),
    (
        ("quantiz",),
        _("Quantising needs a GGUF in f32, f16 or bf16: convert the merged model with one of these types."),
    ),
    (
        ("unknown type", "gguf", "architecture"),
        _("The file is damaged or newer than this Ollama: check it with `paddock gguf show`, or update Ollama."),
    ),
    (
        ("jinja", "parser for this template", "json schema error"),
        _("The GGUF's own template, which is in force, cannot be used for this: deploy the model with a TEMPLATE."),
    ),
    (("template",), _("Correct the TEMPLATE: it must be a Go template; the message names the place.")),
)
"""Words of the server (0.24, 0.32) in lower case, the more telling first, and what helps."""
