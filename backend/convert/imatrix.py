"""Importance matrices, by which llama-quantize knows what matters: whether a type needs one, whether a file is one.

Source of the two forms: llama.cpp `common/imatrix-loader.cpp`.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final

from backend.convert.quants import BITS, NEED_IMATRIX
from data.errors import AppError, RequestError
from data.gguf import read_header
from data.gguf.layout import MAGIC
from data.i18n import Message, _

_KEYS: Final = ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
_SUMS: Final = ".in_sum2"
_COUNTS: Final = ".counts"
_WHOLE: Final = struct.Struct("<i")
_MOST_ENTRIES: Final = 100_000
_LONGEST_NAME: Final = 1024


def misfit(outtype: str, imatrix: Path | None) -> RequestError | None:
    """Return what is wrong with a matrix, or with none, for a type; looks at no file."""
    if outtype not in BITS and imatrix is not None:
        return RequestError(
            _("An importance matrix has no use for the type {type}", type=outtype),
            _("It tells llama-quantize which weights matter most; this type keeps them all alike."),
            _("Leave it out, or choose a type such as q4_k_m or iq4_xs."),
        )
    if outtype in NEED_IMATRIX and imatrix is None:
        return RequestError(
            _("The type {type} needs an importance matrix", type=outtype),
            _("With so few bits a weight, llama-quantize has to know which weights matter."),
            _("Give one (--imatrix FILE; llama.cpp's llama-imatrix makes it), or choose iq4_xs or q4_k_m."),
        )
    return None


def check_file(path: Path) -> None:
    """Raise RequestError where ``path`` is no importance matrix that llama-quantize would take; reads headers only."""
    hint = _("Give the file that llama.cpp's llama-imatrix wrote.")
    if not path.is_file():
        raise RequestError(_("There is no importance matrix {path}", path=str(path)), "", hint)
    try:
        with path.open("rb") as stream:
            is_gguf = stream.read(len(MAGIC)) == MAGIC
            wrong = None if is_gguf else _wrong_in_older(stream)
        wrong = _wrong_in_gguf(path) if is_gguf else wrong
    except OSError as error:
        raise RequestError(
            _("The importance matrix cannot be read"),
            str(error),
            _("Check the path and its permissions."),
        ) from error
    except AppError as error:  # of a GGUF that is damaged
        raise RequestError(error.title, error.detail, hint) from error
    if wrong is not None:
        raise RequestError(_("{path} is no importance matrix", path=str(path)), wrong, hint)


def _wrong_in_gguf(path: Path) -> Message | None:
    header = read_header(path)
    missing = [name for name in _KEYS if name not in header.keys]
    if missing:
        return _("It is another kind of GGUF: it lacks {names}.", names=", ".join(missing))
    kinds = {tensor.name: tensor.type.name for tensor in header.tensors}
    entries = {name.removesuffix(end) for name in kinds for end in (_SUMS, _COUNTS) if name.endswith(end)}
    if not entries:
        return _("It has no entries.")
    wrong = [name for name in sorted(entries) if {kinds.get(name + _SUMS), kinds.get(name + _COUNTS)} != {"F32"}]
    if wrong:
        return _("The entry {name} is not whole.", name=wrong[0])
    end = max(tensor.offset + tensor.size_bytes for tensor in header.tensors) + header.data_offset
    return _("It is cut off.") if end > header.size_bytes else None


def _wrong_in_older(stream: BinaryIO) -> Message | None:
    """Walk over the entries: name, calls and values of each, every length bound by the file."""
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    count = _number(stream)
    if not 1 <= count <= _MOST_ENTRIES:
        return _("It is neither a GGUF nor of the older form.")
    for _entry in range(count):
        length = _number(stream)
        if not 1 <= length <= _LONGEST_NAME:
            return _("It is neither a GGUF nor of the older form.")
        stream.seek(length + _WHOLE.size, os.SEEK_CUR)  # how often it was called says nothing here
        values = _number(stream)
        if values < 1 or stream.tell() + 4 * values > size:
            return _("It is cut off.")
        stream.seek(4 * values, os.SEEK_CUR)
    return None


def _number(stream: BinaryIO) -> int:
    raw = stream.read(_WHOLE.size)
    return int(_WHOLE.unpack(raw)[0]) if len(raw) == _WHOLE.size else 0
