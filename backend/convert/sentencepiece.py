"""Read the pieces of a SentencePiece model (tokenizer.model) without its library.

Source of the format: google/sentencepiece `sentencepiece_model.proto`: ``ModelProto.pieces`` is field 1, a piece has
its text in field 1, its score (float) in field 2 and its type in field 3; ``ModelProto.normalizer_spec`` is field 3,
its ``add_dummy_prefix`` (true where it is not said) field 3 of that, ``precompiled_charsmap`` field 2 and
``remove_extra_whitespaces`` (true as well) field 4; ``trainer_spec`` is field 2, its ``model_type`` (unigrams where it
is not said) field 3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from backend.convert.unigram import Unigrams
from data.errors import RequestError
from data.i18n import _

FILE: Final = "tokenizer.model"
BYTE_TOKEN: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_MAX_BYTES: Final = 64 * 1024 * 1024
_NORMAL: Final = 1
_UNIGRAM: Final = 1
_Parsed = TypeVar("_Parsed")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Piece:
    """One token: ``type`` has the numbers of ``backend.convert.vocabulary.TokenType``."""

    text: bytes
    score: float
    type: int


def read_pieces(path: Path) -> list[Piece]:
    """Return all pieces in the order of their ids; RequestError where the file is damaged."""
    return _read(path, lambda raw: [_piece(value) for value in _messages(raw, 1)])


def adds_prefix(path: Path) -> bool:
    """Say whether a text gets a space before it; RequestError where the file is damaged."""
    return _read(path, _adds_prefix)


def unigrams(path: Path) -> Unigrams | None:
    """Return how texts are changed before they are cut into unigrams; None for a model that merges by rank.

    RequestError where the file is damaged.
    """
    return _read(path, _unigrams)


def _unigrams(raw: bytes) -> Unigrams | None:
    trainers = [value for number, value in _fields(raw) if number == 2 and isinstance(value, bytes)]
    kinds = [value for trainer in trainers for number, value in _fields(trainer) if number == 3]
    if not trainers or (kinds and kinds[-1] != _UNIGRAM):
        return None
    found = {number: value for message in _messages(raw, 3) for number, value in _fields(message)}
    charsmap = found.get(2, b"")
    return Unigrams(charsmap if isinstance(charsmap, bytes) else b"", bool(found.get(3, 1)), bool(found.get(4, 1)))


def _read(path: Path, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    try:
        with path.open("rb") as stream:
            return parse(stream.read(_MAX_BYTES))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise RequestError(
            _("{file} of the model cannot be read", file=FILE),
            f"{path}: {error}",
            _("Copy the tokenizer files of the base model into the folder."),
        ) from error


def _adds_prefix(raw: bytes) -> bool:
    flags = [bool(value) for message in _messages(raw, 3) for number, value in _fields(message) if number == 3]
    return flags[-1] if flags else True


def _messages(raw: bytes, wanted: int) -> Iterator[bytes]:
    for number, value in _fields(raw):
        if number == wanted and isinstance(value, bytes):
            yield value


def _piece(raw: bytes) -> Piece:
    text, score, kind = b"", 0.0, _NORMAL
    for number, value in _fields(raw):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, float):
            score = value
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _fields(raw: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of each field of a protocol buffer message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(raw, at)
            if size > len(raw) - at:
                msg = "cut off"
                raise ValueError(msg)
            yield number, raw[at : at + size]
            at += size
        elif wire in (_FIXED32, _FIXED64):
            form = "<f" if wire == _FIXED32 else "<d"
            yield number, struct.unpack_from(form, raw, at)[0]
            at += struct.calcsize(form)
        else:
            msg = f"unknown wire type {wire}"
            raise ValueError(msg)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            msg = "a number is too long"
            raise ValueError(msg)
