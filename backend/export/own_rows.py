"""The first rows of what a run was trained on, as conversations of its proof: local files that its record names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.parity.cases import Case, first_rows
from backend.train.record import Data
from data.errors import RequestError
from data.i18n import Message, _
from data.jsontext import parse_json

ROWS: Final = 3
"""Of each data set"""
_DATASETS: Final = 4
_INFO: Final = "dataset_info.json"
_LIMIT_BYTES: Final = 16 << 20
_KINDS: Final = (".json", ".jsonl")

_Json = Mapping[str, object]
# What a row is called where dataset_info.json says nothing, and the roles of sharegpt (LLaMA-Factory data/parser.py,
# DatasetAttr).
_USUAL_COLUMNS: Final[_Json] = {"prompt": "instruction", "query": "input", "messages": "conversations"}
_ROLES: Final[Mapping[str, tuple[str, str]]] = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant"),
    "observation_tag": ("observation", "observation"),
    "function_tag": ("function_call", "function_call"),
    "system_tag": ("system", "system"),
}
_MEDIA: Final = ("images", "videos", "audios")


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Conversations out of a run's own data, and why some of it is not among them."""

    cases: tuple[Case, ...] = ()
    left_out: tuple[Message, ...] = ()


def own_rows(data: Data, workspace: Path) -> OwnRows:
    """Return the first rows of each data set of a run, named NAME:ROW; relative paths count from ``workspace``.

    Never raises: what cannot be used is said in ``left_out``.
    """
    folder = workspace / Path(data.folder).expanduser()
    cases: list[Case] = []
    left_out: list[Message] = []
    for name in data.names[:_DATASETS]:
        try:
            entry = _entry(folder, name)
            found = first_rows(_file(folder, entry), name, lambda row, entry=entry: _usual(row, entry), ROWS)
        except (OSError, ValueError, TypeError) as error:
            left_out.append(_why_not(name, error))
        except RequestError as error:
            left_out.append(_why_not(name, error.detail))
        else:
            cases += found
            if not found:
                left_out.append(_why_not(name, _("none of its first rows is a conversation of text alone")))
    if len(data.names) > _DATASETS:
        names = ", ".join(data.names[_DATASETS:])
        left_out.append(_("Of {names} no row is among the conversations: the first data sets are enough.", names=names))
    return OwnRows(tuple(cases), tuple(left_out))


def _why_not(name: str, why: object) -> Message:
    if isinstance(why, Exception):
        why = why.args[0] if why.args and isinstance(why.args[0], Message) else str(why)
    return _("No row of {name} is among the conversations: {why}.", name=name, why=why)


def _entry(folder: Path, name: str) -> _Json:
    """Return what dataset_info.json says of ``name``; raises OSError and ValueError."""
    with (folder / _INFO).open("rb") as stream:
        info = parse_json(stream.read(_LIMIT_BYTES))
    entry = cast("_Json", info).get(name) if isinstance(info, dict) else None
    if isinstance(entry, dict):
        return cast("_Json", entry)
    raise ValueError(_("{file} does not know it", file=str(folder / _INFO)))


def _file(folder: Path, entry: _Json) -> Path:
    """Return the file that LLaMA-Factory reads first; raises OSError and ValueError."""
    if any(key in entry for key in ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")):
        raise ValueError(_("it is no file of this machine"))
    path = folder / str(entry.get("file_name"))
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if file.suffix in _KINDS:
            return file
    raise ValueError(_("{file} is neither JSON nor JSONL", file=str(path)))


def _usual(row: _Json, entry: _Json) -> _Json:
    """Return ``row`` under the names that a data set without columns and tags has; raises ValueError for media."""
    columns = _table(entry.get("columns")) or _USUAL_COLUMNS
    if any(row.get(str(columns.get(kind))) for kind in _MEDIA):
        raise ValueError("media")
    made = {ours: row[str(theirs)] for ours, theirs in columns.items() if row.get(str(theirs)) is not None}
    if entry.get("formatting", "alpaca") == "alpaca":
        if not made.get("prompt") and not made.get("query"):
            raise ValueError("no question")
        return {"instruction": "", **made}
    tags = _table(entry.get("tags"))
    role, content = str(tags.get("role_tag", "from")), str(tags.get("content_tag", "value"))
    roles = {str(tags.get(tag, usual)): ours for tag, (usual, ours) in _ROLES.items()}
    messages = list(_messages(made.get("messages"), role, content, roles))
    form = "messages" if entry.get("formatting") == "openai" else "conversations"
    return {form: messages, "system": made.get("system"), "tools": made.get("tools")}


def _messages(messages: object, role: str, content: str, roles: Mapping[str, str]) -> Iterator[_Json]:
    for message in cast("Sequence[_Json]", messages):
        made = {"role": roles.get(str(message[role]), "unknown"), "content": message.get(content)}
        yield {**made, **({"tool_calls": message["tool_calls"]} if message.get("tool_calls") else {})}


def _table(value: object) -> _Json:
    return cast("_Json", value) if isinstance(value, dict) else {}
