"""A GGUF that another program made of a folder: looked at, its keys set, put under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from backend.convert.converter import ConvertReport, Digests, Imported, Scripted
from backend.convert.digest import digest_of
from backend.convert.folder import ModelFolder
from backend.convert.keys import Keys
from backend.convert.plan import FILE_TYPES
from backend.convert.planning import count_eyes
from backend.convert.rekey import rekey
from backend.convert.stream import Stopped
from backend.convert.target import settle
from backend.convert.weights import Weight, read_weights
from data.errors import AppError, RequestError
from data.gguf import Header, check, read_header
from data.gguf.facts import shares_of
from data.i18n import _


def looked_at(part: Path, maker: str) -> Header:
    """Return the header of what ``maker`` wrote; AppError where it is no whole model."""
    header = read_header(part)
    problems = check(header)
    if problems:
        raise AppError(
            _("The file of {program} is not what was asked for", program=maker),
            problems[0].message,
            _("Nothing was kept. A more recent one may do better: the setting llama_cpp_dir, or paddock setup ollama."),
        )
    return header


def adopt(
    header: Header,
    source: Path,
    weights: Sequence[Weight],
    target: Path,
    changes: Keys,
    made_by: Scripted | Imported,
    outtype: str,
    *,
    replace: bool,
    progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
) -> ConvertReport:
    """Give the file of ``header``, which ``made_by`` made of the folder ``source``, its name, with ``changes``.

    ``weights`` are those of ``source``, as far as they can be read.

    Raises AppError and Stopped, and leaves ``target`` as it was then.
    """
    digests = {path: _digest(path, stop_requested) for path in files_of_weights(source)}
    if len(changes):
        digest = rekey(header.path, target, changes, progress, stop_requested, replace=replace)
    else:
        digest = _digest(header.path, stop_requested)
        settle(header.path, target, replace=replace)
    return ConvertReport(
        target,
        header.architecture,
        type_of(header) or outtype,
        len(header.tensors),
        target.stat().st_size,
        header.text("tokenizer.ggml.pre"),
        "",
        Digests(digest, digests),
        source,
        ModelFolder(source, weights=False).architecture,
        count_eyes(weights),
        made_by,
    )


def ids_of(header: Header) -> Callable[[str], int | None]:
    """Return what knows the id of a token of the GGUF; None for a text that is no token."""
    tokens = header.array("tokenizer.ggml.tokens")

    def id_of(text: str) -> int | None:
        raw = text.encode()
        return next((number for number, token in enumerate(tokens.values()) if token == raw), None) if tokens else None

    return id_of


def readable_weights(source: Path) -> tuple[Weight, ...]:
    """Return the weights of ``source`` where they are safetensors; other programs take other folders, too."""
    try:
        return read_weights(ModelFolder(source))
    except RequestError:
        return ()


def files_of_weights(source: Path) -> Iterator[Path]:
    """Yield the files that hold the weights of ``source``."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        yield from sorted(source.glob(pattern))


def type_of(header: Header) -> str | None:
    """Return the type that most of the weights have; None for one that is none of ours."""
    name = shares_of(header)[0].type_name.lower()
    return name if name in FILE_TYPES else None


def _digest(path: Path, stop_requested: Callable[[], bool]) -> str:
    if stop_requested():
        raise Stopped
    return digest_of(path)
