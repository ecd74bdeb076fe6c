"""A Hugging Face model folder: its small files, and what it must not be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.convert.quantised import Json, method_of, refusal
from backend.lf.peft import ADAPTER_CONFIG
from data.errors import RequestError
from data.i18n import Message, _


@dataclass(frozen=True, slots=True)
class Limits:
    """What a JSON file may hold at most: a parser needs a hundred bytes of memory for what takes three in the file."""

    size_bytes: int
    containers: int
    """Objects and arrays together"""
    values: int

    def exceeded_by(self, raw: bytes) -> bool:
        """Say whether ``raw`` holds more, by counting its brackets and commas before anything is parsed."""
        return (
            len(raw) > self.size_bytes
            or raw.count(b"{") + raw.count(b"[") > self.containers
            or raw.count(b",") + raw.count(b":") > self.values
        )


CONFIG_LIMITS: Final = Limits(16 * 1024 * 1024, 100_000, 2_000_000)
GENERATION: Final = "generation_config.json"
# JSON's escapes, one after the other: group 1 is half of a surrogate pair without its other half.
_SURROGATES: Final = re.compile(rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F]))")
_PICKLED: Final = ("pytorch_model*.bin", "*.pt", "*.pth", "consolidated*.pth")


class ModelFolder:
    """A folder with config.json and safetensors; RequestError tells what else it is, and the remedy.

    UnknownHereError where others may take what it holds.
    """

    def __init__(self, path: Path, *, weights: bool = True) -> None:
        """Look at ``path``; without ``weights`` the small files are enough, and what its weights are does not count."""
        self.path = path
        if not path.is_dir():
            raise RequestError(
                _("There is no model folder {path}", path=str(path)),
                "",
                _("Give the folder that holds config.json and the .safetensors files."),
            )
        self._refuse_adapter()
        self.config = self.json("config.json")
        if self.config is None:
            raise RequestError(
                _("{path} is not a model folder", path=str(path)),
                _("It has no config.json."),
                _("Give the folder that holds config.json and the .safetensors files."),
            )
        if weights:
            if method_of(self.config):
                raise refusal(path, self.config)
            self._refuse_pickled()

    @property
    def architecture(self) -> str:
        """The first of config.json's ``architectures``; RequestError where there is none."""
        assert self.config is not None  # noqa: S101 - the constructor has looked
        names = self.config.get("architectures")
        first = cast("list[object]", names)[0] if isinstance(names, list) and names else None
        if not isinstance(first, str):
            raise RequestError(
                _("The architecture of {path} is unknown", path=str(self.path)),
                _("config.json names no architectures."),
                _("Save the model again with transformers' save_pretrained, which writes them."),
            )
        return first

    def has(self, name: str) -> bool:
        """Say whether the folder has the file ``name``."""
        return (self.path / name).is_file()

    def text(self, name: str) -> str:
        """Return a text file; RequestError where it cannot be read or is longer than any such file should be."""
        return read_text(self.path / name)

    def json(self, name: str, *, limits: Limits = CONFIG_LIMITS) -> Json | None:
        """Return a JSON object; None where there is no such file, RequestError for anything else, or too much."""
        return read_json(self.path / name, limits=limits)

    def _refuse_adapter(self) -> None:
        if self.has(ADAPTER_CONFIG) and not self.has("config.json"):
            raise RequestError(
                _("{path} holds an adapter, not a whole model", path=str(self.path)),
                _("A LoRA adapter is only the difference to its base model."),
                _("Merge it first (paddock export). `paddock convert --adapter` makes a GGUF adapter of it."),
            )

    def _refuse_pickled(self) -> None:
        if any(self.path.glob("*.safetensors")) or self.has("model.safetensors.index.json"):
            return
        pickled = [file.name for pattern in _PICKLED for file in sorted(self.path.glob(pattern))]
        if pickled:
            raise RequestError(
                _("The weights of {path} are pickled ({file})", path=str(self.path), file=pickled[0]),
                _("A pickle runs whatever program its maker put into it when it is opened."),
                _("If you trust it, load it with transformers and save it again with save_pretrained: .safetensors."),
            )
        raise RequestError(
            _("{path} holds no weights", path=str(self.path)),
            _("There is no .safetensors file in it."),
            _("Give the folder of the merged model; an interrupted export or download leaves such folders."),
        )


def unusable(name: str, value: object) -> RequestError:
    """Return the refusal of an entry of config.json."""
    return RequestError(
        _("config.json of the model has no usable {name}", name=name),
        _("It is {value}.", value=repr(value)),
        _("Export or download the model again, or correct config.json."),
    )


def read_text(file: Path) -> str:
    """Return a model's text file; RequestError where it cannot be read or is longer than any such file should be.

    Its lines end as in Python's text mode, by which transformers and llama.cpp's script read it.
    """
    try:
        text = _bytes(file, CONFIG_LIMITS.size_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(file, str(error)) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(file: Path, *, limits: Limits = CONFIG_LIMITS) -> Json | None:
    """Return a model's JSON object; None where there is no such file, RequestError for anything else, or too much."""
    if not file.is_file():
        return None
    value = _parsed(file, limits)
    if not isinstance(value, dict):
        raise _unreadable(file, _("a JSON object is expected"))
    return cast("Json", value)


def read_generation(folder: Path) -> tuple[Json, tuple[Message, ...]]:
    """Return what generation_config.json in ``folder`` says, and what is odd about it; nothing where there is none.

    One that is no JSON is left out, as llama.cpp's script does (gguf-py `metadata.py`: "not all models have valid
    generation_config.json"). RequestError for JSON that is no object.
    """
    file = folder / GENERATION
    if not file.is_file():
        return {}, ()
    try:
        value = _parsed(file, CONFIG_LIMITS)
    except RequestError as error:
        return {}, (_("Left out of the GGUF: {reason}", reason=error.detail),)
    if not isinstance(value, dict):
        raise _unreadable(file, _("a JSON object is expected"))
    return cast("Json", value), ()


def _parsed(file: Path, limits: Limits) -> object:
    raw = _bytes(file, limits.size_bytes)
    if limits.exceeded_by(raw):
        raise _unreadable(
            file, _("more than {objects} objects or {values} values", objects=limits.containers, values=limits.values)
        )
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, str(error)) from error
    if any(match[1] for match in _SURROGATES.finditer(raw)):
        raise _unreadable(file, _("half of a surrogate pair is no text"))
    return value


def _bytes(file: Path, limit_bytes: int) -> bytes:
    try:
        with file.open("rb") as stream:
            raw = stream.read(limit_bytes + 1)
    except OSError as error:
        raise _unreadable(file, str(error)) from error
    if len(raw) > limit_bytes:
        raise _unreadable(file, _("more than {count} bytes", count=limit_bytes))
    return raw


def _unreadable(file: Path, reason: Message | str) -> RequestError:
    return RequestError(
        _("{file} of the model cannot be read", file=file.name),
        _("{path}: {reason}", path=file, reason=reason),
        _("The file may be damaged: export or download the model again."),
    )
