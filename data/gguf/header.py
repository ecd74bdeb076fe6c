"""The header of a GGUF file: keys, tensors, where the data begins. Safe on files made to do harm."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.errors import AppError, RequestError
from data.gguf import layout
from data.gguf.layout import Array, Scalar, TensorInfo, Value
from data.gguf.source import Source, malformed
from data.i18n import _
from data.text import shell_word

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_DECODE_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the weights of a GGUF file."""

    path: Path
    version: int
    keys: Mapping[str, Value]
    """In the order of the file"""
    types: Mapping[str, str]
    """The type of each key's value, e.g. ``uint32``, ``array[string]``"""
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    size_bytes: int
    spans: Mapping[str, tuple[int, int]]
    """Where each key stands in the file with its name and value: its first byte, and the one behind its last"""
    table: tuple[int, int]
    """The same of the table of tensors"""

    @property
    def architecture(self) -> str:
        """The value of ``general.architecture``; empty where there is none."""
        return self.text("general.architecture")

    @property
    def is_adapter(self) -> bool:
        """Whether the file is an adapter, which is loaded beside a model."""
        return self.text("general.type") == "adapter"

    def text(self, name: str) -> str:
        """Return a key that is text; empty where it is missing or something else."""
        value = self.keys.get(name)
        return value if isinstance(value, str) else ""

    def whole(self, name: str) -> int | None:
        """Return a key that is a whole number; None where it is missing or something else."""
        value = self.keys.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def array(self, name: str) -> Array | None:
        """Return a key that is an array; None where it is missing or something else."""
        value = self.keys.get(name)
        return value if isinstance(value, Array) else None


def read_header(path: Path) -> Header:
    """Read the header of ``path``; memory stays small, arrays are decoded only when asked for.

    Raises RequestError for what is no regular file, and AppError where it cannot be read, is not GGUF 2 or 3 in
    little-endian order, is cut off inside the header, or claims a count or length beyond the limits of
    ``data.gguf.layout``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
    except OSError as error:
        raise AppError(
            _("{path} cannot be read", path=str(path)),
            error.strerror or str(error),
            _("Check the path and its permissions."),
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise RequestError(
                _("{path} is not a file", path=str(path)),
                _("It is a folder, a pipe, a socket or a device; a GGUF is read from a regular file."),
                _("Name a GGUF file; what comes through a pipe has to be written to one first."),
            )
        return _read(Source(path, handle))
    except OSError as error:  # a folder, or a disk that fails
        raise AppError(
            _("{path} cannot be read", path=str(path)),
            error.strerror or str(error),
            _("Check the path and its permissions."),
        ) from error
    finally:
        os.close(handle)


def _read(source: Source) -> Header:
    if source.size_bytes < 24 or source.take(4) != layout.MAGIC:
        raise malformed(source.path, _("it does not begin with GGUF's magic bytes"))
    version = int(source.number(_U32))
    if version not in layout.VERSIONS:
        raise _unreadable_version(source.path, version)
    tensor_count = source.count(_U64, layout.MAX_TENSORS, _("number of tensors"))
    key_count = source.count(_U64, layout.MAX_KEYS, _("number of keys"))
    keys: dict[str, Value] = {}
    types: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    strings = text_bytes = 0
    for _number in range(key_count):
        begin = source.position
        name = _name(source, layout.MAX_KEY_BYTES)
        if name in keys:
            raise source.error(_("the key {name} occurs twice", name=name))
        keys[name], types[name] = _value(source)
        spans[name] = (begin, source.position)
        value = keys[name]
        if isinstance(value, str):
            text_bytes += len(value)
        elif isinstance(value, Array) and value.element_type == layout.STRING:
            strings += value.count
        if strings > layout.MAX_STRINGS or text_bytes > layout.MAX_TEXT_BYTES:
            raise source.error(_("it holds more text than any model needs"))
    alignment = _alignment(source, keys)
    begin = source.position
    tensors = _tensors(source, tensor_count)
    table = (begin, source.position)
    data_offset = -(-source.position // alignment) * alignment
    return Header(source.path, version, keys, types, tensors, alignment, data_offset, source.size_bytes, spans, table)


def _unreadable_version(path: Path, version: int) -> AppError:
    """Say what a file is whose version cannot be read, and what makes one of it that can."""
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, *layout.VERSIONS):
        return malformed(
            path,
            _("it is big-endian: made for machines that write the bytes of a number the other way round"),
            _(
                "Turn it round, which changes the file: `gguf-convert-endian {file} little` of the PyPI package gguf. "
                "Or convert the model again on this machine.",
                file=shell_word(path),
            ),
        )
    if version == 1:
        return malformed(
            path,
            _("it has version 1 of the format, of August 2023, which neither Ollama nor llama.cpp reads any more"),
            _("Convert the model again, or download a newer file of it."),
        )
    return malformed(
        path,
        _("it has version {version} of the format; 2 and 3 can be read", version=version),
        _("If it is not damaged, it is newer than this Paddock: update Paddock, or convert the model again."),
    )


def _name(source: Source, limit: int) -> str:
    raw = source.string(limit, _("length of a name"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise source.error(_("a name is not UTF-8")) from error


def _value(source: Source) -> tuple[Value, str]:
    kind = int(source.number(_U32))
    if kind in layout.SCALARS:
        return source.number(layout.SCALARS[kind]), layout.VALUE_TYPES[kind]
    if kind == layout.STRING:
        raw = source.string(layout.MAX_STRING_BYTES, _("length of a string"))
        return raw.decode("utf-8", "replace"), layout.VALUE_TYPES[kind]
    if kind != layout.ARRAY:
        raise source.error(_("unknown type of value {kind}", kind=kind))
    array = _array(source)
    return array, f"array[{array.type_name}]"


def _array(source: Source) -> Array:
    kind = int(source.number(_U32))
    if kind == layout.STRING:
        count = source.count(_U64, layout.MAX_STRINGS, _("length of an array"))
        offset = source.position
        source.skip_strings(count)
    elif kind in layout.SCALARS:
        size = layout.SCALARS[kind].size
        count = source.count(_U64, layout.MAX_ARRAY_BYTES // size, _("length of an array"))
        offset = source.position
        source.skip(count * size)
    else:
        raise source.error(_("unknown type of array elements {kind}", kind=kind))
    path = source.path
    return Array(kind, count, offset, lambda: _pieces(path, kind, count, offset))


def _pieces(path: Path, kind: int, count: int, offset: int) -> Iterator[Sequence[Scalar | bytes]]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        source = Source(path, handle)
        source.skip(offset)
        if kind == layout.STRING:
            yield from source.strings(count)
            return
        form = layout.SCALARS[kind]
        done = 0
        while done < count:
            part = min(_DECODE_AT_ONCE, count - done)
            yield [value for (value,) in form.iter_unpack(source.take(part * form.size))]
            done += part
    finally:
        os.close(handle)


def _alignment(source: Source, keys: Mapping[str, Value]) -> int:
    value = keys.get("general.alignment", layout.DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or value <= 0 or value > 2**20 or value & (value - 1):
        raise source.error(_("general.alignment is not a power of two"))
    return value


def _tensors(source: Source, count: int) -> tuple[TensorInfo, ...]:
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    for _number in range(count):
        name = _name(source, layout.MAX_NAME_BYTES)
        if name in names:
            raise source.error(_("the tensor {name} occurs twice", name=name))
        names.add(name)
        tensors.append(_tensor(source, name))
    return tuple(tensors)


def _tensor(source: Source, name: str) -> TensorInfo:
    dimensions = source.count(_U32, layout.MAX_DIMENSIONS, _("number of dimensions"))
    shape = tuple(int(source.number(_U64)) for _number in range(dimensions))
    kind = int(source.number(_U32))
    offset = int(source.number(_U64))
    if kind not in layout.TENSOR_TYPES:
        raise source.error(_("the tensor {name} has the unknown type {kind}", name=name, kind=kind))
    weights = 1
    for size in shape:
        weights *= size
        if size < 1 or weights > layout.MAX_WEIGHTS:
            raise source.error(_("the tensor {name} has the impossible shape {shape}", name=name, shape=str(shape)))
    packing = layout.TENSOR_TYPES[kind]
    if (shape[0] if shape else 1) % packing.block_size:
        raise source.error(
            _(
                "the tensor {name} has rows that {type} cannot hold: {shape}",
                name=name,
                type=packing.name,
                shape=str(shape),
            )
        )
    return TensorInfo(name, shape, packing, offset, weights // packing.block_size * packing.block_bytes)
