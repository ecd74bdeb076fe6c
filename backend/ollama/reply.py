"""What an Ollama server answers, as values; fields that a version leaves out have explicit empty values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model in the server's store (``/api/tags``)."""

    name: str
    digest: str
    size_bytes: int
    modified_at: datetime | None
    family: str
    parameter_size: str
    quantization: str


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory (``/api/ps``)."""

    name: str
    size_bytes: int
    vram_bytes: int
    """How much of it is on a GPU"""
    expires_at: datetime | None
    context_length: int | None


@dataclass(frozen=True, slots=True)
class ShownModel:
    """What the server knows of a model (``/api/show``)."""

    modelfile: str
    template: str
    """The effective Go template; it may differ from the Modelfile's"""
    system: str
    parameters: str
    """As in a Modelfile, without the word PARAMETER"""
    license: str
    family: str
    parameter_size: str
    quantization: str
    capabilities: tuple[str, ...]
    model_info: Mapping[str, object] = field(default_factory=dict[str, object])
    """The GGUF's keys; long arrays are null"""

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was trained for; None where the GGUF does not say."""
        return number(self.model_info, f"{text(self.model_info, 'general.architecture')}.context_length")


@dataclass(frozen=True, slots=True)
class Progress:
    """A line of create or pull: what is done, and how far by bytes where the server says it."""

    status: str
    digest: str = ""
    completed_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """The measures at the end of an answer; durations in seconds, None where the server gave none."""

    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    total_s: float | None = None
    load_s: float | None = None
    prompt_s: float | None = None
    answer_s: float | None = None
    done_reason: str = ""
    """stop, length, load, unload"""

    @property
    def tokens_per_s(self) -> float | None:
        """The speed of the answer."""
        if not self.answer_tokens or not self.answer_s:
            return None
        return self.answer_tokens / self.answer_s


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; the last one has ``stats``."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[Json, ...] = ()
    stats: Stats | None = None


def read_list(value: Json) -> list[ListedModel]:
    """Read ``/api/tags``."""
    return [
        ListedModel(
            name=text(entry, "name"),
            digest=text(entry, "digest"),
            size_bytes=number(entry, "size") or 0,
            modified_at=moment(entry, "modified_at"),
            family=text(table(entry, "details"), "family"),
            parameter_size=text(table(entry, "details"), "parameter_size"),
            quantization=text(table(entry, "details"), "quantization_level"),
        )
        for entry in tables(value, "models")
    ]


def read_loaded(value: Json) -> list[LoadedModel]:
    """Read ``/api/ps``."""
    return [
        LoadedModel(
            name=text(entry, "name"),
            size_bytes=number(entry, "size") or 0,
            vram_bytes=number(entry, "size_vram") or 0,
            expires_at=moment(entry, "expires_at"),
            context_length=number(entry, "context_length"),
        )
        for entry in tables(value, "models")
    ]


def read_shown(value: Json) -> ShownModel:
    """Read ``/api/show``."""
    details = table(value, "details")
    capabilities = value.get("capabilities")
    return ShownModel(
        modelfile=text(value, "modelfile"),
        template=text(value, "template"),
        system=text(value, "system"),
        parameters=text(value, "parameters"),
        license=text(value, "license"),
        family=text(details, "family"),
        parameter_size=text(details, "parameter_size"),
        quantization=text(details, "quantization_level"),
        capabilities=tuple(map(str, cast("list[object]", capabilities))) if isinstance(capabilities, list) else (),
        model_info=table(value, "model_info"),
    )


def read_progress(value: Json) -> Progress:
    """Read a line of a create or pull stream."""
    return Progress(
        status=text(value, "status"),
        digest=text(value, "digest"),
        completed_bytes=number(value, "completed"),
        total_bytes=number(value, "total"),
    )


def read_chat(value: Json) -> Delta:
    """Read a line of a chat stream."""
    message = table(value, "message")
    return Delta(
        text=text(message, "content"),
        thinking=text(message, "thinking"),
        tool_calls=tuple(tables(message, "tool_calls")),
        stats=read_stats(value) if value.get("done") is True else None,
    )


def read_generate(value: Json) -> Delta:
    """Read a line of a generate stream."""
    return Delta(
        text=text(value, "response"),
        thinking=text(value, "thinking"),
        stats=read_stats(value) if value.get("done") is True else None,
    )


def read_stats(value: Json) -> Stats:
    """Read the measures of a last line; Ollama counts in nanoseconds."""
    return Stats(
        prompt_tokens=number(value, "prompt_eval_count"),
        answer_tokens=number(value, "eval_count"),
        total_s=_seconds(value, "total_duration"),
        load_s=_seconds(value, "load_duration"),
        prompt_s=_seconds(value, "prompt_eval_duration"),
        answer_s=_seconds(value, "eval_duration"),
        done_reason=text(value, "done_reason"),
    )


def text(value: Json, key: str) -> str:
    """Return the text under ``key``; empty when there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def number(value: Json, key: str) -> int | None:
    """Return the whole number under ``key``."""
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def table(value: Json, key: str) -> Json:
    """Return the object under ``key``; empty when there is none."""
    found = value.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}


def tables(value: Json, key: str) -> list[Json]:
    """Return the objects in the list under ``key``."""
    found = value.get(key)
    if not isinstance(found, list):
        return []
    return [cast("Json", entry) for entry in cast("list[object]", found) if isinstance(entry, dict)]


def moment(value: Json, key: str) -> datetime | None:
    """Return the time under ``key``; Go writes nanoseconds, which Python cuts off."""
    try:
        return datetime.fromisoformat(text(value, key))
    except ValueError:
        return None


def _seconds(value: Json, key: str) -> float | None:
    found = number(value, key)
    return None if found is None else found / 1e9
